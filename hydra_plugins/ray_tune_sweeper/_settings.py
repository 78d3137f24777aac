"""The sweeper's keys, checked; searches and schedulers built from their nodes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from hydra_plugins.ray_tune_sweeper._errors import SweepError
from hydra_plugins.ray_tune_sweeper._keys import ABOVE, key_of, number

if TYPE_CHECKING:
    from hydra_plugins.ray_tune_sweeper._space import Space
    from hydra_plugins.ray_tune_sweeper.ray_tune_sweeper import RayTuneSweeper

RETURNED = "objective"  # the metric's name where the task returns it and the config names none


@dataclass(frozen=True)
class Settings:
    """What a sweep was asked for; see `_config` for the keys."""

    node: Any  # hydra.sweeper, uninterpolated
    search: Any
    scheduler: Any
    metric: str
    mode: str
    needed: bool  # a trial that does not give the metric failed
    num_samples: int
    max_concurrent: int | None
    time_budget_s: float | None
    cpus: float
    gpus: float
    seed: int
    retries: int
    empty_space: str
    callbacks: dict[str, Any]
    init: dict[str, Any]
    names: dict[str, str]  # of what `connect` is told
    verbose: bool

    @classmethod
    def of(cls, sweeper: RayTuneSweeper, config: DictConfig) -> Settings:
        """Those of a sweeper.

        Raises:
            SweepError: a value is not what its key takes; the text names the key the user set.
        """
        node: Any = config.hydra.sweeper
        name = partial(key_of, node, above=ABOVE)
        if sweeper.search not in ("grid", "random") and not _has_target(sweeper.search):
            raise SweepError(
                f"{name('search')}={sweeper.search}: must be grid, random or a node with the _target_ of a search "
                "algorithm"
            )
        if sweeper.scheduler is not None and not _has_target(sweeper.scheduler):
            raise SweepError(
                f"{name('scheduler')}={sweeper.scheduler}: must be null or a node with a _target_"
            )
        if sweeper.mode not in ("min", "max"):
            raise SweepError(f"{name('mode')}={sweeper.mode}: must be min or max")
        if sweeper.empty_space not in ("error", "once"):
            raise SweepError(f"{name('empty_space')}={sweeper.empty_space}: must be error or once")
        if sweeper.scheduler is not None and sweeper.metric is None:
            raise SweepError(
                f"{name('metric')}=null: a scheduler compares trials by what they report; name it"
            )
        grid = sweeper.search == "grid"
        init = sweeper.init
        names = {
            "cpus": name("resources.cpus"),
            "gpus": name("resources.gpus"),
            "address": name("init.address"),
        }
        if init is None and OmegaConf.select(config, "hydra.launcher.ray.init") is not None:
            init = config.hydra.launcher.ray.init
            names["address"] = key_of(config.hydra.launcher, "ray.init.address", above="hydra.launcher")
        return cls(
            node=node,
            search=sweeper.search,
            scheduler=sweeper.scheduler,
            metric=sweeper.metric or RETURNED,
            mode=sweeper.mode,
            needed=sweeper.metric is not None or _has_target(sweeper.search),
            num_samples=1
            if grid
            else int(number(name("num_samples"), sweeper.num_samples, whole=True, least=1)),
            max_concurrent=_whole_or_none(name("max_concurrent"), sweeper.max_concurrent),
            time_budget_s=_positive_or_none(name("time_budget_s"), sweeper.time_budget_s),
            cpus=number(name("resources.cpus"), sweeper.resources["cpus"], least=0),
            gpus=number(name("resources.gpus"), sweeper.resources["gpus"], least=0),
            seed=sweeper.seed,
            retries=int(number(name("retries"), sweeper.retries, whole=True, least=0)),
            empty_space=sweeper.empty_space,
            callbacks=sweeper.callbacks or {},
            init=_plain(init),
            names=names,
            verbose=sweeper.verbose,
        )

    def name(self, key: str) -> str:
        """The key a user would set."""
        return key_of(self.node, key, above=ABOVE)

    def built_search(self, space: Space) -> tuple[Any, int]:
        """Where points come from, and how many trials that makes."""
        from ray.tune.search import Searcher

        from hydra_plugins.ray_tune_sweeper._searching import Listed, draw

        search: Any
        if not space.axes:
            search = Listed([()])
        elif self.search == "grid":
            search = Listed(space.grid())
        elif self.search == "random":
            search = Listed(draw(space, num_samples=self.num_samples, seed=self.seed))
        else:
            search = self._built("search", self.search)
            if not isinstance(search, Searcher):
                raise SweepError(
                    f"{self.name('search')}: {self.search['_target_']} is no ray.tune.search.Searcher"
                )
        return search, space.trials(self.search, self.num_samples)

    def built_scheduler(self) -> Any:
        """What ends trials early; None where nothing does."""
        from ray.tune import schedulers

        from hydra_plugins.ray_tune_sweeper._stopping import pauses

        if self.scheduler is None:
            return None
        scheduler = self._built("scheduler", self.scheduler)
        if not isinstance(scheduler, schedulers.TrialScheduler):
            raise SweepError(
                f"{self.name('scheduler')}: {self.scheduler['_target_']} is no ray.tune scheduler"
            )
        pausing = (
            schedulers.HyperBandScheduler,
            schedulers.PopulationBasedTraining,
            schedulers.ResourceChangingScheduler,
        )
        if isinstance(scheduler, pausing):
            raise SweepError(pauses(self.name("scheduler"), scheduler))
        return scheduler

    def built_callbacks(self) -> list[Any]:
        """Those that hear of every result."""
        return [self._built(f"callbacks.{name}", node) for name, node in self.callbacks.items()]

    def _built(self, key: str, node: Any) -> Any:
        from hydra.errors import InstantiationException
        from hydra.utils import instantiate

        try:
            return instantiate(node, _convert_="all")
        except InstantiationException as error:
            cause = error.__cause__ or error
            told = " ".join(str(cause).split()) or type(cause).__name__
            raise SweepError(f"{self.name(key)}: {node['_target_']} cannot be made: {told}") from error


def _plain(node: Any) -> dict[str, Any]:
    values: Any = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    return {str(name): value for name, value in dict(values or {}).items()}


def _has_target(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("_target_"), str)


def _whole_or_none(name: str, value: Any) -> int | None:
    return None if value is None else int(number(name, value, least=1, whole=True))


def _positive_or_none(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise SweepError(f"{name}={value}: must be a number of seconds > 0, or null")
    return float(value)
