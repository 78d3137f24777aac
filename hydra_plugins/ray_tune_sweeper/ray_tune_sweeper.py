"""The class Hydra sees; what it does is in `_core`, imported when a sweep starts."""

from __future__ import annotations

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.ray_tune_sweeper import _config  # noqa: F401  registers hydra/sweeper=ray_tune


class RayTuneSweeper(Sweeper):
    """Runs a sweep as trials of Ray Tune; keys as in `_config.RayTuneSweeperConf`."""

    def __init__(
        self,
        *,
        params: dict[str, Any] | None,
        search: Any,
        scheduler: Any,
        metric: str | None,
        mode: str,
        num_samples: Any,
        max_concurrent: Any,
        time_budget_s: Any,
        resources: dict[str, float],
        seed: int,
        retries: int,
        empty_space: str,
        callbacks: dict[str, Any] | None,
        init: dict[str, Any] | None,
        verbose: bool,
    ) -> None:
        self.params = params
        self.search = search
        self.scheduler = scheduler
        self.metric = metric
        self.mode = mode
        self.num_samples = num_samples
        self.max_concurrent = max_concurrent
        self.time_budget_s = time_budget_s
        self.resources = resources
        self.seed = seed
        self.retries = retries
        self.empty_space = empty_space
        self.callbacks = callbacks
        self.init = init
        self.verbose = verbose
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.task_function: TaskFunction | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take note of what is to be swept."""
        self.config = config
        self.hydra_context = hydra_context
        self.task_function = task_function

    def sweep(self, arguments: list[str]) -> Any:
        """Run every trial; one batch of job returns, as Hydra's own sweeper gives.

        Raises:
            SweepError: the sweep cannot be run as asked.
            TrialsFailed: it ran, and some trials failed or none succeeded.
        """
        from hydra_plugins.ray_tune_sweeper import _core

        return _core.sweep(self, arguments)
