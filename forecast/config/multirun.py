"""Start a task through Hydra: one run, or the jobs of a sweep, which a session may watch over."""

from __future__ import annotations

import inspect
import math
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, chdir, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Protocol

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override as flags
from omegaconf.errors import OmegaConfBaseException

from forecast.config.composing import CONFIG_NAME, CONFIG_PATH, VERSION_BASE, readable_override, task_of
from forecast.config.messages import to_message
from forecast.config.renamed import rename_targets
from forecast.errors import UserError
from forecast.files import refused_by_disk
from hydra_plugins.ray_tune_sweeper import key_of, planned

Task = Callable[[DictConfig], float | None]


@dataclass(frozen=True, kw_only=True)
class SweepContext:
    """What is known of a sweep before its first job."""

    directory: Path  # absolute; the jobs' directories are below it
    root: Path  # absolute: the part of hydra.sweep.dir that every issue of the command has in common
    folder: Path  # absolute: where the command was given
    overrides: list[str]  # as typed
    total: int | None  # jobs, where that can be said beforehand
    config: DictConfig  # the task config without what is swept


@dataclass(frozen=True, kw_only=True)
class JobContext:
    """One job of a sweep."""

    number: int
    overrides: list[str]
    directory: Path  # absolute; it exists


JobRunner = Callable[[JobContext, DictConfig, Task], float | None]


class SweepSession(Protocol):
    """Accounts for a sweep, in the process that was started."""

    def begin(self, context: SweepContext) -> JobRunner:
        """Called once, before the first job; what it returns runs each job, pickled where that is elsewhere."""
        ...

    def end(self, error: BaseException | None) -> int:
        """The exit code, once all jobs are over, or the launcher gave up with an error."""
        ...


class Launch:
    """One start of a task with the arguments in `sys.argv`.

    Args:
        check: refuses a config of which some groups are looked into, for an objective that no run reports too.
        session: makes who watches over a sweep; None: there is none.
    """

    def __init__(
        self,
        task: Task,
        *,
        config_name: str = CONFIG_NAME,
        check: Callable[[DictConfig, Collection[str]], None] | None = None,
        session: Callable[[], SweepSession] | None = None,
    ) -> None:
        self.task = task
        self.check = check
        self.config_name = config_name
        self.started = False  # the task was
        self.saved = False  # the config is one that a run saved, not conf/run.yaml
        self._make_session = session
        self._context: SweepContext | None = None
        self._session: SweepSession | None = None
        self._runner: JobRunner | None = None
        self._directory: Path | None = None  # of the run or the sweep
        self._key = ""  # that names it
        self._missing: list[Path] = []  # it and folders above it that Hydra will have made
        self._failed: Exception | None = None  # what a single run raised

    def run(self, arguments: list[str], *, config_name: str | None) -> int | None:
        """Run all jobs; the exit code of the session of a sweep, None where there was none.

        A single run's failure, and what is refused before a first job, is raised.

        Raises:
            UserError: something was asked for that cannot be.
        """
        global _current
        self.saved = config_name is not None and config_name.removesuffix(".yaml") != self.config_name
        before, _current = _current, self
        error: BaseException | None = None
        try:
            if "${" in (folder := os.getcwd()):
                raise UserError(
                    f"{folder}: Hydra reads ${{...}} in a folder's name as a key; work in another"
                )
            with _hydra_reads([readable_override(word, saved=self.saved) for word in arguments]):
                hydra.main(CONFIG_PATH, self.config_name, VERSION_BASE)(self.job())()
        except BaseException as raised:  # noqa: BLE001 - raised again unless there is a sweep to account for it
            error = raised
        finally:
            _current = before
        if self._session is None:
            self._remove_empty()
            if error is not None:
                self._raise(error, arguments)
            if self._failed is not None:
                raise self._failed
            return None
        refused = None if error is None else refused_by_disk(error, str(self._directory))
        if isinstance(error, HydraException) and (message := to_message(error)):  # a sweeper's own
            refused = UserError(message)
        if refused is not None and not isinstance(error, UserError):
            refused.__cause__ = error
            error = refused
        try:
            return self._session.end(error)
        finally:
            self._remove_empty()

    def job(self) -> Task:
        """What Hydra's launchers call, or pickle and call in another process."""
        return _Job(self)

    def starts(self, directory: Path, key: str) -> None:
        """Called before Hydra makes the directory of a run or a sweep, with the key that names it."""
        self._directory, self._key = directory, key
        self._missing = [path for path in (directory, *directory.parents) if not path.exists()]

    def announce(self, context: SweepContext) -> None:
        """Called with what is known of a sweep; it is begun once nothing can refuse it any more."""
        self._context = context

    def begin(self) -> JobRunner:
        """Begin the sweep at the first call.

        Raises:
            UserError: the config, one of the user's own, says nothing of sweeps.
        """
        if self._runner is None:
            if self._context is None or self._make_session is None:
                raise UserError("hydra.callbacks: without those of conf/run.yaml nothing is swept over")
            session = self._make_session()
            self._runner, self._session = session.begin(self._context), session
        return self._runner

    def alone(self, config: DictConfig) -> float | None:
        """Run the task once, without a sweep."""
        self.started = True
        node = HydraConfig.get()
        try:
            _no_sweep_was_meant(node.overrides.task)
            if not str(node.run.dir):
                raise UserError("hydra.run.dir=: names no folder; hydra.run.dir=. is this one")
            return run_in(Path(node.runtime.output_dir), config, self.task)
        except Exception as error:  # noqa: BLE001 - raised by run(): Hydra would add words of its own
            self._failed = error
            return None

    def _remove_empty(self) -> None:
        """Remove the folders that Hydra made, unless something is in them that is not Hydra's."""
        for path in self._missing:
            with suppress(OSError):  # not empty, or never made: both are as they should be
                if os.listdir(path) == ["multirun.yaml"]:
                    (path / "multirun.yaml").unlink()
                path.rmdir()

    def _raise(self, error: BaseException, arguments: list[str]) -> NoReturn:
        """Raise what Hydra let out, as a UserError where it is about what the user wrote."""
        message = None
        if isinstance(error, Exception):
            full = refused_by_disk(error, str(self._directory))
            message = self._not_made(error) or (str(full) if full else to_message(error, saved=self.saved))
        if message is None or isinstance(error, UserError):
            raise error
        plain = not any(word.startswith("-") for word in arguments)  # else other files, or several jobs
        if plain and len(arguments) > 1:
            from forecast.config.checking import further_faults

            conf = Path(inspect.getfile(self.task)).absolute().parent / CONFIG_PATH
            lines = further_faults(
                message, arguments, folder=conf, config_name=self.config_name, check_objective=self.check
            )
            message = "\n".join(lines)
        raise UserError(message) from error

    def _not_made(self, error: Exception) -> str | None:
        """What to say of a run directory that cannot be made."""
        if not isinstance(error, OSError) or self._directory is None:
            return None
        if Path(os.path.abspath(str(error.filename))) not in (self._directory, *self._directory.parents):
            return None
        return f"{error.filename}: cannot be made ({error.strerror}); choose another folder by {self._key}"


_current: Launch | None = None  # this process's


class SweepCallback(Callback):
    """Hydra's callback, in conf/run.yaml: what will be run where, before any folder is made."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Called with the whole config of a single run."""
        # What cannot be resolved is refused by Hydra, next.
        with suppress(OmegaConfBaseException, ValueError):
            if _current is not None:
                key = key_of(config.hydra, "run.dir", above="hydra")
                _current.starts(Path(str(config.hydra.run.dir)).absolute(), key)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Called with the config that is common to all jobs, before any of them is composed."""
        if _current is None:
            return
        node = OmegaConf.to_container(config.hydra.sweep, resolve=False)
        assert isinstance(node, dict)
        written = str(node["dir"])
        fixed = written if "${" not in written else written.partition("${")[0].rpartition("/")[0]
        directory = Path(str(config.hydra.sweep.dir)).absolute()
        # A worker elsewhere would take a relative one for its own.
        quoted = str(directory).replace("\\", "\\\\").replace("'", "\\'")
        with flags(config, ["struct", "readonly"], [False, False]):
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{quoted}'")
            config.hydra.sweep.dir = str(directory)
        _current.starts(directory, "hydra.sweep.dir")
        _current.announce(
            SweepContext(
                directory=directory,
                root=Path(fixed).absolute(),
                folder=Path.cwd(),
                overrides=list(config.hydra.overrides.task),
                total=_total(config),
                config=task_of(config),
            )
        )


Announce = SweepCallback  # as earlier saved configs name it


class _Job:
    """What Hydra's launchers call, or pickle and call in another process.

    No sweep is begun before the first of them is called or pickled: until then it may still be refused.
    """

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.__wrapped__ = launch.task  # Hydra looks for conf/ beside it

    def __call__(self, config: DictConfig) -> float | None:
        """Run one job."""
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return _run_job(self.launch.begin(), self.launch.task, config)
        return self.launch.alone(config)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial, (_run_job, self.launch.begin(), self.launch.task)


def _run_job(runner: JobRunner, task: Task, config: DictConfig) -> float | None:
    node = HydraConfig.get()
    directory = Path(node.runtime.output_dir)
    job = JobContext(number=int(node.job.num), overrides=list(node.overrides.task), directory=directory)
    return runner(job, config, lambda config: run_in(directory, config, task))


def run_in(directory: Path, config: DictConfig, task: Task) -> float | None:
    """Run a task whose directory can be written to; with hydra.job.chdir=true, there.

    Raises:
        UserError: the directory cannot be written to.
    """
    node = HydraConfig.get()
    rename_targets(config)
    _must_be_writable(directory)
    where: AbstractContextManager[None] = nullcontext()
    if node.job.chdir:
        from forecast.config.saving import absolute_paths

        absolute_paths(config, Path(node.runtime.cwd))
        where = chdir(directory)
    with where:
        return task(config)


def _must_be_writable(directory: Path) -> None:
    """Refuse a directory that cannot be written to before hours are spent on what goes into it."""
    try:
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise UserError(
            f"hydra.run.dir={directory}: cannot be written to ({error.strerror}); choose another folder"
        ) from error


def _no_sweep_was_meant(overrides: list[str]) -> None:
    """Refuse a tuner or a cluster, which apply to sweeps alone, where a single run was started."""
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        if key.partition(".")[0] in ("tuner", "cluster") and value not in ("none", "null", "local"):
            raise UserError(f"{override}: applies to a sweep alone; add -m")


def _total(config: DictConfig) -> int | None:
    """How many jobs will come of it; None where only the sweeper knows, or will refuse it."""
    sweeper, overrides = config.hydra.sweeper, list(config.hydra.overrides.task)
    try:
        loader = GlobalHydra.instance().config_loader()
        if str(sweeper.get("_target_")).startswith("hydra_plugins.ray_tune_sweeper."):
            return planned(config, overrides, loader)
        texts = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]
        parsed = OverridesParser.create(config_loader=loader).parse_overrides([*texts, *overrides])
        values = {
            item.get_key_element(): len(list(item.sweep_string_iterator())) if item.is_sweep_override() else 1
            for item in parsed
        }
    except Exception:  # noqa: BLE001 - the sweeper reads the same texts and says what is wrong with them
        return None
    return math.prod(values.values())


@contextmanager
def _hydra_reads(words: list[str]) -> Iterator[None]:
    """Have Hydra read these arguments, and let its errors out instead of printing them and leaving with 1."""
    arguments, full = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = [arguments[0], *words], "1"
    try:
        yield
    finally:
        sys.argv = arguments
        del os.environ["HYDRA_FULL_ERROR"]
        if full is not None:
            os.environ["HYDRA_FULL_ERROR"] = full
