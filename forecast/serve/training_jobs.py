"""Training behind the server: start, watch and end jobs, each in a process of its own, from any HTTP process.

outputs/serve/training/.lock               held by the process that trains, for as long as it lives; names its job
outputs/serve/training/<job>/state.json    what was asked, how far it got, and what became of it
outputs/serve/training/<job>/run/          the run directory it made; promoted, it is copied
outputs/serve/training/<job>/log.txt       what it printed
"""

from __future__ import annotations

import fcntl
import logging
import math
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
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from forecast.errors import UserError
from forecast.files import read_json, write_whole

log = logging.getLogger(__name__)

SERVER = "serve.py"  # in the log of decisions
RUN, PID, CANCEL = "run", "pid", "cancel"
NOTHING_BEFORE = 3  # exit code of a rollback
_LOCK, _LOG, _STATE = ".lock", "log.txt", "state.json"
_MODULE = "forecast.serve.training_process"
_NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}")
_POLL_S = 0.05
_MAX_LOG = 2**18  # bytes of a log that are looked at
_ROLLBACK_S = 900.0
_GRACE_S = 10.0  # that a job has to end when it is asked to; then it is killed
# Share by which figures of the same forecasts may differ: batches of another size are summed in another order.
_ROUNDING = 1e-6
KEEP_JOBS = 10  # jobs whose folders are kept, run directories included
# The server's own keys are of no use to what it starts.
_SECRETS = ("FORECAST_API_KEY", "FORECAST_ADMIN_KEY")

Kind = Literal["train", "update"]
State = Literal["running", "promoted", "kept", "failed", "cancelled"]
Phase = Literal["starting", "fetching", "training", "comparing", "promoting", "ended"]
Figures = dict[str, int | float | None]


class BusyError(Exception):
    """Another job is at work; its name is the argument."""


class ClosingError(Exception):
    """The server is being stopped, and starts nothing any more."""


class NothingBeforeError(Exception):
    """There is no champion to return to."""


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Comparison(_Answer):
    """The new model and the champion on the same newest validation rows."""

    metric: str
    mode: Literal["min", "max"]
    newcomer: float | None = Field(description="of the new model")
    champion: float | None = Field(description="of the champion there was when this was asked for")
    naive_rmse: float | None = Field(description='Of "tomorrow = today" on the same rows')
    rows: int
    first_day: str
    last_day: str
    text: str

    @classmethod
    def of(cls, **figures: Any) -> Comparison:
        """With both figures, and whose they are, in its text."""
        newcomer, champion = (
            "undefined" if value is None else f"{value:.6g}"
            for value in (figures["newcomer"], figures["champion"])
        )
        text = (
            f"{figures['metric']} of the new model {newcomer}, of the champion {champion}, on the same "
            f"{figures['rows']:,} validation rows, {figures['first_day']} to {figures['last_day']}"
        )
        return cls(**figures, text=text)

    @property
    def holds(self) -> bool:
        """Whether the new model does no worse."""
        if self.newcomer is None or self.champion is None:
            return self.champion is None
        return self.newcomer <= self.champion if self.mode == "min" else self.newcomer >= self.champion

    @property
    def is_equal(self) -> bool:
        """Whether both forecast the same, up to rounding."""
        if self.newcomer is None or self.champion is None:
            return False
        return math.isclose(self.newcomer, self.champion, rel_tol=_ROUNDING)


class Job(_Answer):
    """How far a job got."""

    job: str
    kind: Kind
    state: State = Field(default="running", description="kept: the served model stays, on purpose")
    phase: Phase = "starting"
    began: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    ended: AwareDatetime | None = None
    seconds: float = Field(default=0.0, ge=0)
    progress: Figures = Field(
        default={}, description="epoch (from 1), max_epochs, and the figures of that epoch"
    )
    metrics: Figures = {}
    message: str = ""
    error: str | None = None
    comparison: Comparison | None = None
    model_path: str | None = None


class JobState(Job):
    """A job, and what it was asked to do, in a file that any process may read at any time."""

    server: str  # which one started it
    bundle: str  # run directory whose config is trained with
    champion: str | None  # folder of the champion when this was asked for: the only one it may replace
    period: str | None = None  # of the bars an update trains on, as `data.period`; None = the config's own
    force_download: bool = False  # have the source fetch the whole history again where it keeps a cache
    status: int | None = None  # HTTP status of a failure
    by: str = SERVER  # who asked, for the log of decisions

    @property
    def running(self) -> bool:
        """Whether it has not come to an end."""
        return self.state == "running"

    def end(self, state: State, message: str, *, status: int | None = None) -> None:
        """Note what became of it; `status` is the HTTP status of a failure."""
        self.state, self.phase, self.message, self.status = state, "ended", " ".join(message.split()), status
        self.error = self.message if state in ("failed", "cancelled") else None
        self.ended, self.seconds = datetime.now(UTC), _since(self.began)

    def save(self, folder: Path) -> None:
        """Write it into the folder of the job; raises OSError where the disk does not take it."""
        write_whole(folder / _STATE, self.model_dump_json(indent=2) + "\n")

    def note(self, folder: Path, **news: Any) -> None:
        """Save what is new, as far as the disk takes it: how far a job got is not worth failing for."""
        for name, value in news.items():
            setattr(self, name, value)
        with suppress(OSError):
            self.save(folder)

    @classmethod
    def load(cls, folder: Path) -> JobState | None:
        """Read it from the folder of a job; None where there is none, or one that another version wrote."""
        try:
            return cls.model_validate_json((folder / _STATE).read_bytes())
        except (OSError, ValueError):
            return None


@dataclass(frozen=True, kw_only=True)
class StartedJob:
    """A job this process started."""

    job: str  # its name
    # Set once it is over, and `on_end` was called.
    ended: threading.Event = field(default_factory=threading.Event)


class TrainingJobs:
    """The jobs of a server, one at a time, in a folder that all its processes share.

    Args:
        allow: modules or classes of plug-ins that a bundle's config may name, besides this package's own.
        by: who starts them, for the log of decisions.
        nice: how far a job stands back behind the server when both want the processor; 19 = as far as possible.
    """

    def __init__(
        self,
        *,
        folder: Path,
        champion: Path,
        allow: list[str] | None = None,
        by: str = SERVER,
        nice: Annotated[int, Ge(0), Le(19)] = 10,
    ) -> None:
        self.folder = folder
        self.champion = champion
        self.allow = list(allow or ())
        self.by, self.nice = by, nice
        # The same in all processes forked from the one that made this.
        self.server = secrets.token_hex(8)
        self._closing = multiprocessing.RawValue("b", 0)

    def start(
        self,
        kind: Kind,
        bundle: Path,
        *,
        period: str | None = None,
        force_download: bool = False,
        on_end: Callable[[JobState], None] = lambda _: None,
    ) -> StartedJob:
        """Start a job, see JobState, which may replace the champion there is now and no other.

        `on_end` is given what became of it, in a thread of this process.

        Raises:
            BusyError: there is one at work.
            ClosingError: the server is being stopped.
            UserError: the folder cannot be written to, or no process can be started.
        """
        state = JobState(
            job=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}",
            kind=kind,
            server=self.server,
            bundle=str(bundle),
            champion=str(self.champion.resolve()) if self.champion.exists() else None,
            period=period,
            force_download=force_download,
            by=self.by,
        )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = self._acquire()
            try:
                if self._closing.value:
                    raise ClosingError
                process = self._spawn(state, lock)
            finally:
                os.close(lock)  # the job has inherited it
        except OSError as error:
            raise UserError(
                f"{self.folder.name}: no training can be started there ({error.strerror or error}); "
                "nothing was changed"
            ) from error
        started = StartedJob(job=state.job)
        threading.Thread(
            target=self._attend, args=(process, started, on_end), name=f"training {state.job}", daemon=True
        ).start()
        return started

    def look(self, job: str) -> JobState | None:
        """The state of a job, None if there is none of that name; one whose process died unfinished has failed."""
        folder = self.folder / job
        state = JobState.load(folder) if _NAME.fullmatch(job) else None
        if state is None or not state.running:
            return state
        if self._lives(job):
            state.seconds = _since(state.began)
            return state
        state = JobState.load(folder)  # its last word may have come between the two looks
        if state is not None and state.running:
            self._settle(state, folder)
        return state

    def printed(self, job: str, count: int) -> list[str] | None:
        """The last lines that a job printed, None if there is none of that name."""
        folder = self.folder / job
        if not _NAME.fullmatch(job) or JobState.load(folder) is None:
            return None
        try:
            with (folder / _LOG).open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _MAX_LOG))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return []
        # A progress bar goes back to the start of its line.
        lines = [line.rpartition("\r")[2].rstrip() for line in text.replace("\r\n", "\n").split("\n")]
        return [line for line in lines if line][-count:]

    def current(self) -> JobState | None:
        """The job that is at work, None if there is none."""
        try:
            state = self.look((self.folder / _LOCK).read_text("utf-8").strip())
        except OSError:
            return None
        return state if state is not None and state.running else None

    def cancel(self, job: str) -> JobState | None:
        """End a job, waiting until it is dead; returns what became of it, None if there is none of that name."""
        state = self.look(job)
        if state is None or not state.running:
            return state
        folder = self.folder / job
        with suppress(OSError):  # a full disk must not keep it alive
            (folder / CANCEL).touch()
        deadline, signalled = time.monotonic() + _GRACE_S, False
        while self._lives(job):
            late = time.monotonic() > deadline
            if late or not signalled:
                signalled = _signal(folder, signal.SIGKILL if late else signal.SIGTERM)
            time.sleep(_POLL_S)
        return self.look(job)

    def close(self) -> None:
        """For the server's own end: start nothing any more, and end the job this server started, if it is at work."""
        self._closing.value = 1
        deadline = time.monotonic() + _GRACE_S
        with suppress(OSError):  # no folder, no job
            while (lock := acquire(self.folder / _LOCK)) is None:
                state = self.current()
                if state is not None and state.server == self.server:
                    self.cancel(state.job)
                elif state is not None or time.monotonic() > deadline:
                    return  # another server's
                time.sleep(_POLL_S)
            os.close(lock)

    def roll_back(self) -> str:
        """Make the champion before the present one the champion again; returns what was done, in a line.

        In a process of its own: MLflow hears of it there, and proving the earlier champion takes seconds.

        Raises:
            NothingBeforeError: there is none before.
            UserError: it is not what it was, or the disk does not take it; the champion stays.
        """
        try:
            done = subprocess.run(
                _command("rollback", str(self.champion)),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                env=_environment(),
                timeout=_ROLLBACK_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UserError(f"not done within {_ROLLBACK_S:.0f} s; the champion may be either") from error
        if done.returncode == 0:
            return done.stdout.splitlines()[-1]
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise (NothingBeforeError if done.returncode == NOTHING_BEFORE else UserError)(last)

    def _acquire(self) -> int:
        """The lock, also from a job that has said its last word and is about to be gone."""
        deadline = time.monotonic() + _GRACE_S
        while (lock := acquire(self.folder / _LOCK)) is None:
            state = self.current()
            if state is not None or time.monotonic() > deadline:
                raise BusyError("" if state is None else state.job)
            time.sleep(_POLL_S)
        return lock

    def _spawn(self, state: JobState, lock: int) -> subprocess.Popen[bytes]:
        self._prune()
        folder = self.folder / state.job
        folder.mkdir()
        try:
            (self.folder / _LOCK).write_text(state.job, "utf-8")
            state.save(folder)
            options = [f"--champion={self.champion}", f"--nice={self.nice}", f"--lock={lock}"]
            with (folder / _LOG).open("wb") as output:
                return subprocess.Popen(
                    _command("train", str(folder), *options, *(f"--allow={name}" for name in self.allow)),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(lock,),
                    start_new_session=True,  # Ctrl-C at the server's terminal is the server's affair
                    env=_environment(),
                )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _attend(
        self, process: subprocess.Popen[bytes], started: StartedJob, on_end: Callable[[JobState], None]
    ) -> None:
        """Wait for a job and hand on what became of it."""
        try:
            process.wait()
            state = self.look(started.job)
            if state is not None:
                on_end(state)
        except Exception:  # whoever waits for the event must not wait for ever
            log.exception("training %s: its end could not be attended to", started.job)
        finally:
            started.ended.set()

    def _lives(self, job: str) -> bool:
        """Whether the process of a job is there: it holds the lock, which names it."""
        path = self.folder / _LOCK
        return is_held(path) and path.read_text("utf-8").strip() == job

    def _settle(self, state: JobState, folder: Path) -> None:
        """Say what became of a job that died without a last word."""
        if is_champion(self.champion, folder / RUN):
            state.model_path = str(self.champion.resolve())
            state.end("promoted", "promoted; its process died right after")
        elif (folder / CANCEL).exists():
            state.end("cancelled", "cancelled; the model that was served still is", status=500)
        else:
            state.end(
                "failed",
                f"the training process died while {state.phase} (killed, or out of memory?); the model that was "
                f"served still is; {folder.name}/{_LOG} has its last words",
                status=500,
            )

    def _prune(self) -> None:
        """Remove the folders of the oldest jobs."""
        jobs = sorted(path for path in self.folder.iterdir() if _NAME.fullmatch(path.name))
        for folder in jobs[: max(0, len(jobs) + 1 - KEEP_JOBS)]:
            shutil.rmtree(folder, ignore_errors=True)


def acquire(path: Path) -> int | None:
    """Take a lock without waiting; the kernel releases it when the last process that has it dies.

    Unlike the locks of filelock it can be handed to a process that is started, so a job is never without it.
    Returns the descriptor that holds it; None: another process does.

    Raises:
        OSError: the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


def is_held(path: Path) -> bool:
    """Whether a living process holds a lock; asking keeps nobody from it who asks in this way only."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def is_champion(champion: Path, run: Path) -> bool:
    """Whether the champion, if there is one, is a copy of a run directory, as its metadata says."""
    try:
        metadata = read_json(champion / "metadata.json")
    except (OSError, ValueError):
        return False
    return isinstance(metadata, dict) and metadata.get("run_directory") == str(run.absolute())


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", _MODULE, *arguments]


def _environment() -> dict[str, str]:
    """Of a process started by the server: the same modules are found as here, and no key of the server."""
    inherited = {name: value for name, value in os.environ.items() if name not in _SECRETS}
    return inherited | {"PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)}


def _since(began: datetime) -> float:
    return round((datetime.now(UTC) - began).total_seconds(), 3)


def _signal(folder: Path, number: signal.Signals) -> bool:
    """Send a signal to a job and what it started; False while it has not said which process it is."""
    try:
        os.killpg(int((folder / PID).read_text("utf-8")), number)
    except FileNotFoundError:
        return False
    except ProcessLookupError:
        pass  # it has just ended
    return True
