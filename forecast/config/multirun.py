"""A sweep as Hydra conducts it: announced to whoever watches over it, its jobs run here or elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf import flag_override as flags

from forecast.config.composing import task_of
from forecast.config.folders import must_be_writable
from forecast.config.refusals import refusal
from forecast.errors import UserError
from hydra_plugins.ray_tune_sweeper import planned

Task = Callable[[DictConfig], float | None]


@dataclass(frozen=True, kw_only=True)
class SweepFacts:
    """What is known of a sweep before its first job."""

    directory: Path  # absolute; the jobs' directories are below it
    root: Path  # absolute: the part of hydra.sweep.dir that every issue of the command has in common
    overrides: list[str]  # as typed
    total: int | None  # jobs, where that can be told beforehand
    config: DictConfig  # the task config without what is swept


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    """One job of a sweep."""

    number: int
    overrides: list[str]
    directory: Path  # absolute; it exists


Conduct = Callable[[JobFacts, DictConfig, Task], float | None]


class Sweep(Protocol):
    """Watches over a sweep, in the process that was started."""

    def begin(self, facts: SweepFacts) -> Conduct:
        """Called once, before the first job; what it returns conducts each job, pickled where that is elsewhere."""
        ...

    def end(self, error: BaseException | None) -> int:
        """The exit code, once all jobs are over, or the launcher gave up with an error."""
        ...


_listener: Callable[[SweepFacts], None] | None = None


class Watch:
    """Has a sweep watched over, if one comes of the command and is not refused before its first job.

    Args:
        sweep: makes who watches; None = nobody does.
    """

    def __init__(self, sweep: Callable[[], Sweep] | None) -> None:
        self._make = sweep
        self._facts: SweepFacts | None = None
        self._sweep: Sweep | None = None
        self._conduct: Conduct | None = None
        self.code: int | None = None  # the exit code, of a sweep that was begun

    @contextmanager
    def over(self) -> Iterator[None]:
        """Listen for a sweep while the block runs, and end one that was begun, whatever it ended of."""
        global _listener
        before, _listener = _listener, self._note
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:  # noqa: BLE001 - raised again unless there is a sweep to account for it
            error = raised
        finally:
            _listener = before
        if self._sweep is None:
            if error is not None:
                raise error
            return
        told = refusal(error) if isinstance(error, HydraException) else None  # a sweeper's own
        self.code = self._sweep.end(error if told is None else UserError(told))

    def conduct(self) -> Conduct | None:
        """Begin the sweep at the first call; None where there is none to watch over."""
        if self._conduct is None and self._facts is not None:
            assert self._make is not None
            self._sweep = self._make()
            self._conduct = self._sweep.begin(self._facts)
        return self._conduct

    def _note(self, facts: SweepFacts) -> None:
        self._facts = facts if self._make is not None else None


class Announce(Callback):
    """Hydra's callback, in conf/run.yaml: tells the facts of a sweep, and makes its directory an absolute one."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Called with the config that is common to all jobs, before any of them is composed."""
        if _listener is None:
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
        _listener(
            SweepFacts(
                directory=directory,
                root=Path(fixed).absolute(),
                overrides=list(config.hydra.overrides.task),
                total=_total(config),
                config=task_of(config),
            )
        )


class SweepJob:
    """What Hydra's launchers call, or pickle and call in another process.

    Nothing is begun before the first of them is called or pickled: until then the sweep may still be refused.

    Args:
        task: the task itself.
        alone: runs it where there is no sweep to watch over.
        conductor: begins the sweep, once; None where it was not announced.
    """

    def __init__(self, *, task: Task, alone: Task, conductor: Callable[[], Conduct | None]) -> None:
        self.__wrapped__ = task  # Hydra looks for conf/ beside it
        self.task = task
        self.alone = alone
        self.conductor = conductor

    def __call__(self, config: DictConfig) -> float | None:
        """Run one job."""
        node = HydraConfig.get()
        conduct = self.conductor() if node.mode == RunMode.MULTIRUN else None
        return self.alone(config) if conduct is None else _conducted(conduct, config, self.task)

    def __reduce__(self) -> tuple[Any, ...]:
        conduct = self.conductor()
        if conduct is None:
            return object.__reduce__(self)  # type: ignore[return-value]
        return _ShippedJob, (self.task, conduct)


class _ShippedJob:
    """A job as it arrives in another process."""

    def __init__(self, task: Task, conduct: Conduct) -> None:
        self.task, self.conduct = task, conduct

    def __call__(self, config: DictConfig) -> float | None:
        return _conducted(self.conduct, config, self.task)


def _conducted(conduct: Conduct, config: DictConfig, task: Task) -> float | None:
    node = HydraConfig.get()
    directory = Path(node.runtime.output_dir)
    facts = JobFacts(number=int(node.job.num), overrides=list(node.overrides.task), directory=directory)

    def checked(config: DictConfig) -> float | None:
        must_be_writable(directory)
        return task(config)

    return conduct(facts, config, checked)


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
