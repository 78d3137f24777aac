"""The sweeper's keys, registered with Hydra as `hydra/sweeper=ray_tune`, and their rules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.ray_tune_sweeper._messages import SweepError, key_of, number

ABOVE = "hydra.sweeper"  # where the sweeper's own keys are
RETURNED = "objective"  # the metric's name where the task returns it and the config names none


@dataclass
class Resources:
    """What one trial occupies while it runs."""

    cpus: float = 1.0  # cores; fractions share one
    gpus: float = 0.0  # devices; fractions share one


@dataclass
class RayTuneSweeperConf:
    """Keys of `hydra.sweeper`."""

    _target_: str = "hydra_plugins.ray_tune_sweeper.ray_tune_sweeper.RayTuneSweeper"
    _recursive_: bool = False  # nodes below are built when the sweep starts, so that bad overrides stay cheap
    _convert_: str = "all"
    # the space: key -> Hydra's sweep grammar, as text
    params: dict[str, Any] | None = field(default_factory=dict)
    search: Any = "random"  # grid, random, or a node with the _target_ of a ray.tune.search algorithm
    # a node with the _target_ of a ray.tune scheduler; null = every trial runs to its end
    scheduler: Any = None
    metric: str | None = None  # what trials report; null = what the task returns
    mode: str = "min"  # min or max
    num_samples: Any = 10  # trials of every search but grid, >= 1
    max_concurrent: Any = None  # trials at once, >= 1; null = as many as the cluster can run
    # seconds (> 0) after which no trial starts and running ones stop at their next report
    time_budget_s: Any = None
    resources: Resources = field(default_factory=Resources)
    seed: int = 0  # of random search, and of the generators of each job
    retries: int = 1  # how often a trial whose worker died is started again, >= 0
    empty_space: str = "error"  # error, or once: run the single job there is
    callbacks: Any = None  # name -> node with the _target_ of a ray.tune.Callback
    init: Any = None  # arguments of ray.init; null = hydra.launcher.ray.init where there is one
    verbose: bool = False  # show what Ray Tune prints


ConfigStore.instance().store(
    group="hydra/sweeper", name="ray_tune", node=RayTuneSweeperConf, provider="ray_tune_sweeper"
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The keys of a sweeper, checked."""

    node: Any  # hydra.sweeper, interpolations in place
    params: dict[str, Any]
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
    names: dict[str, str]  # for `connect`: what the user calls its arguments
    verbose: bool

    @classmethod
    def of(cls, keys: Mapping[str, Any], config: DictConfig) -> Settings:
        """Those of a sweeper.

        Args:
            keys: of `hydra.sweeper`, resolved.
            config: with Hydra's own node.

        Raises:
            SweepError: a value is not what its key takes; the text names the key the user set.
        """
        node: Any = config.hydra.sweeper
        name = partial(key_of, node, above=ABOVE)
        search, scheduler, metric = keys["search"], keys["scheduler"], keys["metric"]
        if search not in ("grid", "random") and not _has_target(search):
            raise SweepError(
                f"{name('search')}={search}: must be grid, random or a node with the _target_ of a search algorithm"
            )
        if scheduler is not None and not _has_target(scheduler):
            raise SweepError(f"{name('scheduler')}={scheduler}: must be null or a node with a _target_")
        for key, options in {"mode": ("min", "max"), "empty_space": ("error", "once")}.items():
            if keys[key] not in options:
                raise SweepError(f"{name(key)}={keys[key]}: must be {' or '.join(options)}")
        if scheduler is not None and metric is None:
            raise SweepError(
                f"{name('metric')}=null: a scheduler compares trials by what they report; name it"
            )
        budget = keys["time_budget_s"]
        if budget is not None and (
            isinstance(budget, bool) or not isinstance(budget, int | float) or not 0 < budget < math.inf
        ):
            raise SweepError(f"{name('time_budget_s')}={budget}: must be a number of seconds > 0, or null")

        def whole(key: str, least: int) -> int:
            return int(number(name(key), keys[key], whole=True, least=least))

        init, address = keys["init"], name("init.address")
        if init is None and OmegaConf.select(config, "hydra.launcher.ray.init") is not None:
            init = config.hydra.launcher.ray.init
            address = key_of(config.hydra.launcher, "ray.init.address", above="hydra.launcher")
        if isinstance(init, DictConfig):
            init = OmegaConf.to_container(init, resolve=True)
        names = {"cpus": name("resources.cpus"), "gpus": name("resources.gpus"), "address": address}
        return cls(
            node=node,
            params=keys["params"] or {},
            search=search,
            scheduler=scheduler,
            metric=metric or RETURNED,
            mode=keys["mode"],
            needed=metric is not None or _has_target(search),
            num_samples=1 if search == "grid" else whole("num_samples", 1),
            max_concurrent=None if keys["max_concurrent"] is None else whole("max_concurrent", 1),
            time_budget_s=None if budget is None else float(budget),
            cpus=number(names["cpus"], keys["resources"]["cpus"], least=0),
            gpus=number(names["gpus"], keys["resources"]["gpus"], least=0),
            seed=keys["seed"],
            retries=whole("retries", 0),
            empty_space=keys["empty_space"],
            callbacks=keys["callbacks"] or {},
            init={str(key): value for key, value in dict(init or {}).items()},
            names=names,
            verbose=keys["verbose"],
        )

    def name(self, key: str) -> str:
        """The key a user would set."""
        return key_of(self.node, key, above=ABOVE)

    def built(self, key: str, node: Any) -> Any:
        """The object of a node with a `_target_`.

        Raises:
            SweepError: it cannot be built.
        """
        from hydra.errors import InstantiationException
        from hydra.utils import instantiate

        try:
            return instantiate(node, _convert_="all")
        except InstantiationException as error:
            cause = error.__cause__ or error
            reason = " ".join(str(cause).split()) or type(cause).__name__
            raise SweepError(f"{self.name(key)}: {node['_target_']} cannot be made: {reason}") from error


def _has_target(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("_target_"), str)
