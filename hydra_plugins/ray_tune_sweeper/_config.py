"""The sweeper's keys, registered with Hydra as `hydra/sweeper=ray_tune`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore


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
    params: dict[str, Any] | None = field(
        default_factory=dict
    )  # the space: key -> Hydra's sweep grammar, as text
    search: Any = "random"  # grid, random, or a node with the _target_ of a ray.tune.search algorithm
    scheduler: Any = (
        None  # a node with the _target_ of a ray.tune scheduler; null = every trial runs to its end
    )
    metric: str | None = None  # what trials report; null = what the task returns
    mode: str = "min"  # min or max
    num_samples: Any = 10  # trials of every search but grid, >= 1
    max_concurrent: Any = None  # trials at once, >= 1; null = as many as the cluster has room for
    time_budget_s: Any = (
        None  # seconds (> 0) after which no trial starts and running ones stop at their next report
    )
    resources: Resources = field(default_factory=Resources)
    seed: int = 0  # of random search, and of the generators each job finds
    retries: int = 1  # how often a trial whose worker died is started again, >= 0
    empty_space: str = "error"  # error, or once: run the single job there is
    callbacks: Any = None  # name -> node with the _target_ of a ray.tune.Callback
    init: Any = None  # arguments of ray.init; null = hydra.launcher.ray.init where there is one
    verbose: bool = False  # let Ray Tune talk


ConfigStore.instance().store(
    group="hydra/sweeper", name="ray_tune", node=RayTuneSweeperConf, provider="ray_tune_sweeper"
)
