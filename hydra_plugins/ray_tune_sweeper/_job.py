"""One job of a sweep: the reports of its task, its composed config, and a process that is clean after it."""

from __future__ import annotations

import copy
import gc
import logging
import os
import random
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import run_job, setup_globals
from hydra.errors import HydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException


class TrialStopped(Exception):  # noqa: N818 - a signal, not an error
    """Raised by `report` when the scheduler or the time budget ends the trial: save what there is, and return."""


class TrialSkipped(Exception):  # noqa: N818 - a signal, not an error
    """Raised by a task whose overrides do not fit together: the trial is skipped, which is no failure."""


Listener = Callable[[Mapping[str, float | None]], None]

# One task at a time in a process, in whatever thread it reports from.
_listener: Listener | None = None


def report(metrics: Mapping[str, float | None]) -> None:
    """Report the progress of a trial, once an epoch or so; outside of a trial it does nothing.

    Args:
        metrics: by name; the sweep's own `metric` among them. None and NaN count as the worst value there is.

    Raises:
        TrialStopped: the trial is over, and so is every later call.
    """
    if _listener is not None:
        _listener(metrics)


def in_trial() -> bool:
    """Whether this process runs a trial of a sweep."""
    return _listener is not None


def listen(listener: Listener | None) -> None:
    """Set who receives reports from now on."""
    global _listener
    _listener = listener


class Composer:
    """Returns what `ConfigLoader.load_sweep_config` returns, sooner.

    Composition takes Hydra some hundred milliseconds. Most jobs of a sweep differ in plain values alone, and Hydra
    sets those last, in a config that is composed already. So all other overrides are composed once, and copied.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig) -> None:
        self._loader, self._config = loader, config
        self._parsed: dict[str, Override] = {}
        self._groups: dict[str, bool] = {}  # key -> whether it is a config group
        self._composed: dict[tuple[str, ...], DictConfig] = {}  # by overrides, without the plain values

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The config of one job, with Hydra's own node.

        Raises:
            HydraException: Hydra refuses an override.
        """
        parsed = [self._parse(line) for line in overrides]
        keys = [item.key_or_group for item in parsed]
        plain = [self._is_plain(item, keys) for item in parsed]
        pairs = list(zip(parsed, plain, strict=True))
        try:
            config = self._copy(tuple(str(item.input_line) for item, later in pairs if not later))
            for item, later in pairs:
                if later:
                    OmegaConf.update(config, item.key_or_group, item.value(), merge=True)
        except (OmegaConfBaseException, HydraException):  # Hydra says what is wrong with all of them
            return self._loader.load_sweep_config(self._config, list(overrides))
        task = [item for item in parsed if not item.is_hydra_override()]
        named = config.hydra.job.config.override_dirname
        lines = sorted(str(item.input_line) for item in task if item.key_or_group not in named.exclude_keys)
        with open_dict(config.hydra):
            config.hydra.overrides.task = [item.input_line for item in task]
            config.hydra.job.override_dirname = re.sub("=", named.kv_sep, named.item_sep.join(lines))
        return config

    def _copy(self, overrides: tuple[str, ...]) -> DictConfig:
        if overrides not in self._composed:
            self._composed[overrides] = self._loader.load_sweep_config(self._config, list(overrides))
        config = copy.deepcopy(self._composed[overrides])
        # As Hydra does: one time stamp for all jobs.
        OmegaConf.copy_cache(from_config=self._config, to_config=config)
        return config

    def _parse(self, line: str) -> Override:
        if line not in self._parsed:
            (self._parsed[line],) = OverridesParser.create(config_loader=self._loader).parse_overrides([line])
        return self._parsed[line]

    def _is_plain(self, override: Override, keys: Sequence[str]) -> bool:
        """Whether it sets a value of its own, whatever the other overrides are."""
        key = override.key_or_group
        marked = override.is_add() or override.is_force_add() or override.is_delete()
        return not (
            marked
            or override.is_hydra_override()
            or override.is_sweep_override()
            or override.package is not None
            or keys.count(key) > 1
            or any(key.startswith(f"{other}.") or other.startswith(f"{key}.") for other in keys)
            or self._is_group(key)
        )

    def _is_group(self, key: str) -> bool:
        if key not in self._groups:
            node = self._config.hydra
            found = self._loader.get_group_options(
                key,
                results_filter=None,
                config_name=node.job.config_name,
                overrides=list(node.overrides.hydra),  # may name more folders
            )
            self._groups[key] = bool(found)
        return self._groups[key]


@dataclass(frozen=True)
class Job:
    """What distinguishes one job of a sweep from another."""

    number: int
    overrides: tuple[str, ...]
    trial_id: str


@dataclass(frozen=True)
class Jobs:
    """What all jobs of a sweep share; sent to each worker once."""

    hydra_context: HydraContext
    task_function: TaskFunction
    config: DictConfig  # composed without the space
    composer: Composer
    singletons: Any  # Hydra's process-wide state, as Singleton.get_state gives it
    folder: str  # the sweep was started in
    seed: int

    def install(self) -> None:
        """Set Hydra's globals in a worker process; to be called once."""
        setup_globals()
        Singleton.set_state(self.singletons)

    def compose(self, job: Job) -> DictConfig:
        """The config of a job, with Hydra's own node."""
        config = self.composer.compose(job.overrides)
        with open_dict(config):
            config.hydra.job.id = job.trial_id
            config.hydra.job.num = job.number
        return config

    def run(self, job: Job) -> Any:
        """Run the task in a clean state; what it returns or raises."""
        with clean_state(self.seed + job.number, folder=self.folder, singletons=self.singletons):
            done = run_job(
                hydra_context=self.hydra_context,
                task_function=self.task_function,
                config=self.compose(job),
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
            return done.return_value  # raises what the task raised


@contextmanager
def clean_state(
    seed: int | None = None, *, folder: str | os.PathLike[str] | None = None, singletons: Any = None
) -> Iterator[None]:
    """Run one job of a process that runs many: nothing it changes is seen by the next.

    Restored are the environment, the working directory, `sys.path` and `sys.argv`, logging, warning filters, Hydra's
    config and OmegaConf's resolvers, and torch's threads, default type and determinism; memory is freed. Imports
    stay: they are why a process is used again.

    Args:
        seed: of the generators of `random` and, where they are imported, NumPy and torch; None leaves them alone.
        folder: to work in; None is the present one.
        singletons: of `Singleton.get_state()`, where it was called before; None calls it, which takes 10 ms.
    """
    with ExitStack() as stack:
        stack.callback(_free_memory)
        for kept in (_environment(), _logging(), _hydra(singletons), _torch()):
            stack.callback(kept)
        stack.enter_context(warnings.catch_warnings())
        if folder is not None:
            os.chdir(folder)
        if seed is not None:
            _seed(seed)
        yield


def _seed(seed: int) -> None:
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def _environment() -> Callable[[], None]:
    variables, folder, path, argv = dict(os.environ), os.getcwd(), list(sys.path), list(sys.argv)

    def restore() -> None:
        for name in os.environ.keys() - variables.keys():
            del os.environ[name]
        os.environ.update(variables)
        os.chdir(folder)
        sys.path[:], sys.argv[:] = path, argv

    return restore


def _logging() -> Callable[[], None]:
    root = logging.getLogger()
    handlers, level, disabled = list(root.handlers), root.level, logging.root.manager.disable

    def restore() -> None:
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()  # a job's log file
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.disable(disabled)

    return restore


def _hydra(singletons: Any) -> Callable[[], None]:
    plugins = Plugins.instance()  # makes all of Hydra's singletons, where that has not been done
    state = Singleton.get_state() if singletons is None else singletons
    current, config = GlobalHydra.instance(), HydraConfig.instance()
    hydra, cfg = current.hydra, config.cfg

    def restore() -> None:
        current.hydra, config.cfg = hydra, cfg
        instances = {Plugins: plugins} | {kind: kind.instance() for kind in state["instances"]}
        Singleton.set_state({"instances": instances, "omegaconf_resolvers": state["omegaconf_resolvers"]})

    return restore


def _torch() -> Callable[[], None]:
    found: Any = sys.modules.get("torch")
    # Where the job itself imports torch its defaults are restored; how many threads it found is not known.
    threads, dtype, deterministic, warn_only, gradients = None, "float32", False, False, True
    if found is not None:
        threads, dtype = found.get_num_threads(), str(found.get_default_dtype()).removeprefix("torch.")
        deterministic = found.are_deterministic_algorithms_enabled()
        warn_only = found.is_deterministic_algorithms_warn_only_enabled()
        gradients = found.is_grad_enabled()

    def restore() -> None:
        torch: Any = sys.modules.get("torch")
        if torch is None:
            return
        if threads is not None:
            torch.set_num_threads(threads)
        torch.set_default_dtype(getattr(torch, dtype))
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.set_grad_enabled(gradients)

    return restore


def _free_memory() -> None:
    gc.collect()  # a network and its trainer refer to each other, and the next job needs the memory
    _exempt_imports()


@cache
def _exempt_imports() -> None:
    """Once a process: to search all imports after every job would take longer than the rest of the clean-up."""
    gc.freeze()
