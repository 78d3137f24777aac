"""Start, watch and end training jobs, from any process of a server."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Le

from forecast.errors import UserError
from forecast.serve.training.holding import hold, is_held
from forecast.serve.training.order import Order
from forecast.serve.training.state import RUN, JobState
from forecast.serve.training.title import holds_title

log = logging.getLogger(__name__)

LOCK, ALIVE, PID, CANCEL, LOG = ".lock", ".alive", "pid", "cancel", "log.txt"
_NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}")
_LOOK_S = 0.05
# Keys of the server's doors are no affair of what it starts.
_SECRETS = ("FORECAST_API_KEY", "FORECAST_ADMIN_KEY")


class BusyError(Exception):
    """Another job is at work; its name is the argument."""


class ClosingError(Exception):
    """The server is being stopped, and starts nothing any more."""


@dataclass(frozen=True, kw_only=True)
class Started:
    """A job this process started.

    Args:
        job: its name.
        ended: set once it is over and whoever asked to be told of that was.
    """

    job: str
    ended: threading.Event = field(default_factory=threading.Event)


class Training:
    """The jobs of a server, in a folder that all its processes share.

    A job is a process of its own session. It holds two locks from before it begins until it is dead, whatever it
    dies of: that of the folder, so that there is one at a time, and that of the job, so that it is known to live.

    Args:
        folder: of all jobs, made when needed.
        champion: link to the champion.
        allow: modules or classes of plug-ins that a bundle's config may name, besides this package's own.
        nice: how far a job stands back behind the server when both want the processor; 19 = as far as possible.
        keep: jobs whose folders are kept, run directories included.
        grace_s: seconds a job has to end when it is told to; then it is killed.
    """

    def __init__(
        self,
        *,
        folder: Path,
        champion: Path,
        allow: list[str] | None = None,
        nice: Annotated[int, Ge(0), Le(19)] = 10,
        keep: Annotated[int, Ge(1)] = 10,
        grace_s: Annotated[float, Gt(0)] = 10.0,
    ) -> None:
        self.folder = folder
        self.champion = champion
        self.allow = list(allow or ())
        self.nice = nice
        self.keep = keep
        self.grace_s = grace_s
        # The same in all processes forked from the one that made this.
        self.server = secrets.token_hex(8)
        self._closing = multiprocessing.RawValue("b", 0)

    def start(self, order: Order, *, on_end: Callable[[JobState], None] = lambda _: None) -> Started:
        """Start a job.

        Args:
            order: what to do.
            on_end: told what became of it, in a thread of this process.

        Raises:
            BusyError: there is one at work.
            ClosingError: the server is being stopped.
            UserError: the folder cannot be written to, or no process can be started.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = self._held()
            try:
                if self._closing.value:
                    raise ClosingError
                job, process = self._spawn(order, lock)
            finally:
                os.close(lock)  # the job has its own descriptor of it
        except OSError as error:
            raise UserError(
                f"{self.folder}: no training can be started there ({error.strerror or error}); nothing was changed"
            ) from error
        started = Started(job=job)
        threading.Thread(
            target=self._attend, args=(process, started, on_end), name=f"training {job}", daemon=True
        ).start()
        return started

    def look(self, job: str) -> JobState | None:
        """How far a job got, None if there is none of that name; one that died without a word is told as ended.

        Args:
            job: any text.
        """
        if not _NAME.fullmatch(job):
            return None
        folder = self.folder / job
        state = JobState.load(folder)
        if state is None or not state.running:
            return state
        if is_held(folder / ALIVE):
            state.seconds = _since(state.began)
            return state
        state = JobState.load(folder)  # its last word may have come between the two looks
        if state is not None and state.running:
            self._settle(state, folder)
        return state

    def current(self) -> JobState | None:
        """The job that is at work, None if there is none."""
        try:
            state = self.look((self.folder / LOCK).read_text("utf-8").strip())
        except OSError:
            return None
        return state if state is not None and state.running else None

    def cancel(self, job: str) -> JobState | None:
        """End a job, waiting until it is dead.

        Args:
            job: any text.

        Returns:
            what became of it, which may be that it had come to its end before; None if there is none of that name.
        """
        state = self.look(job)
        if state is None or not state.running:
            return state
        folder = self.folder / job
        with suppress(OSError):  # a full disk must not keep it alive
            (folder / CANCEL).touch()
        deadline, told = time.monotonic() + self.grace_s, False
        while is_held(folder / ALIVE):
            late = time.monotonic() > deadline
            if late or not told:
                told = _signal(folder, signal.SIGKILL if late else signal.SIGTERM)
            time.sleep(_LOOK_S)
        return self.look(job)

    def close(self) -> None:
        """For the server's own end: start nothing any more, and end the job this server started, if it is at work."""
        self._closing.value = 1
        deadline = time.monotonic() + self.grace_s
        with suppress(OSError):  # no folder, no job
            while (lock := hold(self.folder / LOCK)) is None:
                state = self.current()
                if state is not None and state.server == self.server:
                    self.cancel(state.job)
                elif state is not None or time.monotonic() > deadline:
                    return  # another server's
                time.sleep(_LOOK_S)
            os.close(lock)

    def _held(self) -> int:
        """The lock of the folder, also from a job that has said its last word and is about to be gone."""
        deadline = time.monotonic() + self.grace_s
        while (lock := hold(self.folder / LOCK)) is None:
            state = self.current()
            if state is not None or time.monotonic() > deadline:
                raise BusyError("" if state is None else state.job)
            time.sleep(_LOOK_S)
        return lock

    def _spawn(self, order: Order, lock: int) -> tuple[str, subprocess.Popen[bytes]]:
        self._prune()
        job = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
        folder = self.folder / job
        folder.mkdir()
        alive = None
        try:
            order.save(folder)
            alive = hold(folder / ALIVE)
            assert alive is not None  # nobody knows of it yet
            JobState(job=job, kind=order.kind, server=self.server).save(folder)
            (self.folder / LOCK).write_text(job, "utf-8")
            with (folder / LOG).open("wb") as output:
                process = subprocess.Popen(
                    [
                        sys.executable,
                        "-P",
                        "-m",
                        "forecast.serve.training",
                        str(folder),
                        *self._options(lock, alive),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(lock, alive),
                    start_new_session=True,  # Ctrl-C at the server's terminal is the server's affair
                    env=environment(),
                )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            if alive is not None:
                os.close(alive)
        return job, process

    def _options(self, lock: int, alive: int) -> list[str]:
        plugins = [f"--allow={name}" for name in self.allow]
        return [
            f"--champion={self.champion}",
            f"--nice={self.nice}",
            f"--held={lock}",
            f"--held={alive}",
            *plugins,
        ]

    def _attend(
        self, process: subprocess.Popen[bytes], started: Started, on_end: Callable[[JobState], None]
    ) -> None:
        """Wait for a job and have it told."""
        try:
            process.wait()
            state = self.look(started.job)
            if state is not None:
                on_end(state)
        except Exception:  # whoever waits for the event must not wait for ever
            log.exception("training %s: its end could not be attended to", started.job)
        finally:
            started.ended.set()

    def _settle(self, state: JobState, folder: Path) -> None:
        """Say what became of a job that died without a word."""
        state.seconds = _since(state.began)
        if holds_title(self.champion, folder / RUN):
            state.model_path = str(self.champion.resolve())
            state.end("promoted", "promoted; its process died right after")
        elif (folder / CANCEL).exists():
            state.end("cancelled", "cancelled; the model that was served still is", status=500)
        else:
            state.end(
                "failed",
                f"the training process died while {state.phase} (killed, or out of memory?); the model that was "
                f"served still is; {folder / LOG} has its last words",
                status=500,
            )

    def _prune(self) -> None:
        """Remove the folders of the oldest jobs."""
        jobs = sorted(path for path in self.folder.iterdir() if _NAME.fullmatch(path.name))
        for folder in jobs[: max(0, len(jobs) + 1 - self.keep)]:
            shutil.rmtree(folder, ignore_errors=True)


def environment() -> dict[str, str]:
    """Of a process started by the server: the same modules are found as here, and no key of its doors."""
    inherited = {name: value for name, value in os.environ.items() if name not in _SECRETS}
    return inherited | {"PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)}


def _since(began: str) -> float:
    return round((datetime.now(UTC) - datetime.fromisoformat(began)).total_seconds(), 3)


def _signal(folder: Path, number: signal.Signals) -> bool:
    """Send a signal to a job and what it started; False while it has not said which process it is."""
    try:
        pid = int((folder / PID).read_text("utf-8"))
        os.killpg(pid, number)
    except FileNotFoundError:
        return False
    except ProcessLookupError:
        pass  # it has just ended
    return True
