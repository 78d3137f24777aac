"""Start a task from the command line, and end with the exit code the contract names."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, overload

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from forecast.config.composing import CONFIG_NAME, CONFIG_PATH, VERSION_BASE
from forecast.config.folders import MadeFolders, must_be_writable
from forecast.config.helping import help_text
from forecast.config.multirun import Sweep, SweepJob, Task, Watch
from forecast.config.refusals import refusal
from forecast.errors import UserError

FINISHED, FAILED, USERS_MISTAKE, INTERRUPTED = 0, 1, 2, 130


@overload
def command(task: Task) -> Callable[[], NoReturn]: ...


@overload
def command(
    *, sweep: Callable[[], Sweep] | None = None, name: str = CONFIG_NAME
) -> Callable[[Task], Callable[[], NoReturn]]: ...


def command(
    task: Task | None = None, *, sweep: Callable[[], Sweep] | None = None, name: str = CONFIG_NAME
) -> Any:
    """Make a task the command `python run.py [group=option] [key=value]`.

    Exit codes: 0 finished; 1 failed, with a traceback; 2 the user's mistake, told on stderr, nothing left
    behind; 130 interrupted. With -m every job runs; then 1 if any failed, or 2 if all that failed were the
    user's mistake.

    Args:
        task: defined in the file beside the `conf` folder; gets the composed config, and gives the
            objective's value, which a sweeper may want, or None.
        sweep: makes who watches over a sweep; without one its jobs must run in this process to be all accounted
            for.
        name: of the primary config in that folder.
    """
    if task is None:
        return functools.partial(_made, sweep=sweep, name=name)
    return _made(task, sweep=sweep, name=name)


def _made(task: Task, *, sweep: Callable[[], Sweep] | None, name: str) -> Callable[[], NoReturn]:
    @functools.wraps(task)
    def start() -> NoReturn:
        sys.exit(_Start(task, sweep, name).exit_code())

    return start


class _Failure(NamedTuple):
    job: str
    error: Exception


class _Start:
    """One start of the command: its jobs and what became of them."""

    def __init__(self, task: Task, sweep: Callable[[], Sweep] | None = None, name: str = CONFIG_NAME) -> None:
        self.task = task
        self.name = name
        self.watch = Watch(sweep)
        self.folders = MadeFolders()
        self.jobs = 0
        self.failures: list[_Failure] = []
        self.saved_config = False  # one that a run saved, not conf/run.yaml

    def exit_code(self) -> int:
        asked, _ = get_args_parser().parse_known_args()
        self.saved_config = asked.config_name not in (None, self.name)
        try:
            if asked.help:
                print(self._help(asked))
                return FINISHED
            with _undigested_errors(), self.folders.watching(), self.watch.over():
                start = hydra.main(config_path=CONFIG_PATH, config_name=self.name, version_base=VERSION_BASE)
                start(SweepJob(task=self.task, alone=self._job(), conductor=self.watch.conduct))()
            return self._verdict() if self.watch.code is None else self.watch.code
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return INTERRUPTED
        except SystemExit as leaving:
            if leaving.code != FAILED or self.jobs:
                raise
            return USERS_MISTAKE  # told by Hydra itself: an unknown --package, for one
        except Exception as error:
            told, code = self._refused(error)
            if told is None:
                raise
            print(told, file=sys.stderr)
            return code
        finally:
            self.folders.remove_empty()  # of a refused run, or of one that had nothing to keep

    def _job(self) -> Callable[[DictConfig], float | None]:
        @functools.wraps(self.task)
        def job(config: DictConfig) -> float | None:
            self.jobs += 1
            node = HydraConfig.get()
            sweep = node.mode == RunMode.MULTIRUN
            name = f"job {node.job.num} ({' '.join(node.overrides.task) or 'no overrides'})" if sweep else ""
            if sweep:
                print(name, flush=True)
            try:
                if not sweep:
                    _no_sweep_was_meant(node.overrides.task)
                with self.folders.looking_away():
                    must_be_writable(Path(node.runtime.output_dir))
                    return self.task(config)
            except Exception as error:
                if sweep:
                    _tell(error, name)
                if sweep and not _hydras_own_sweep(node):
                    error.add_note(name)  # marks it as a job's, wherever it is raised again
                    raise
                # Hydra's own sweeper stops at the first failed batch, and tells only one failure.
                self.failures.append(_Failure(name, error))
                return None

        return job

    def _help(self, asked: Namespace) -> str:
        conf = Path(inspect.getfile(self.task)).absolute().parent / (asked.config_path or CONFIG_PATH)
        return help_text(conf, asked.config_name or self.name, asked.overrides, asked.config_dir)

    def _verdict(self) -> int:
        if not self.failures:
            return FINISHED
        if len(self.failures) == 1 and not self.failures[0].job:
            _tell(self.failures[0].error, "")
        else:
            print(f"{len(self.failures)} of {self.jobs} jobs failed:", file=sys.stderr)
            for failure in self.failures:
                print(f"  {failure.job}", file=sys.stderr)
        return USERS_MISTAKE if all(isinstance(f.error, UserError) for f in self.failures) else FAILED

    def _refused(self, error: Exception) -> tuple[str | None, int]:
        """What to tell the user about what Hydra let out, None when it is our fault; and the exit code."""
        job = getattr(error, "__notes__", None)
        if job:  # run elsewhere by a sweeper that tells only one: what the others failed of is not known
            return (f"{job[0]}: {error}" if isinstance(error, UserError) else None), FAILED
        if isinstance(error, OSError) and os.path.abspath(str(error.filename)) in self.folders.refused:
            where = "hydra.run.dir, of a sweep hydra.sweep.dir"
            told = f"{error.filename}: cannot be made ({error.strerror}); choose another folder by {where}"
            return told, USERS_MISTAKE
        return refusal(error, saved=self.saved_config), USERS_MISTAKE


def _no_sweep_was_meant(overrides: Sequence[str]) -> None:
    """Refuse what only a sweep heeds, where a single run was started.

    Raises:
        UserError: a tuner or a cluster was asked for.
    """
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        if key.partition(".")[0] in ("tuner", "cluster") and value not in ("none", "null", "local"):
            raise UserError(f"{override}: only a sweep heeds it; add -m")


def _tell(error: Exception, job: str) -> None:
    """A failure on stderr: the user's mistake in a line, ours with its traceback."""
    where = f"{job}: " if job else ""
    if isinstance(error, UserError):
        print(f"{where}{error}", file=sys.stderr, flush=True)
        return
    if where:
        print(f"{where}failed", file=sys.stderr)
    traceback.print_exception(error)


def _hydras_own_sweep(node: Any) -> bool:
    return bool(
        node.sweeper._target_ == "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
        and node.launcher._target_ == "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
    )


@contextmanager
def _undigested_errors() -> Iterator[None]:
    """Have Hydra let its errors out instead of printing them and leaving with 1."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before
