"""The class Hydra loads when it looks for plugins; the sweep itself is in `_sweep`, imported when one starts."""

from __future__ import annotations

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

# In a module of its own: Hydra executes this one before Python knows it by name, which dataclasses need.
from hydra_plugins.ray_tune_sweeper._settings import Settings


class RayTuneSweeper(Sweeper):
    """Runs a sweep as trials of Ray Tune.

    Args:
        keys: those of `RayTuneSweeperConf`, which Hydra has checked.
    """

    def __init__(self, **keys: Any) -> None:
        self.keys = keys
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.task_function: TaskFunction | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store what is to be swept."""
        self.config = config
        self.hydra_context = hydra_context
        self.task_function = task_function

    def sweep(self, arguments: list[str]) -> Any:
        """Run every trial; one batch of job returns, as Hydra's own sweeper gives.

        Raises:
            SweepError: the sweep cannot be run as asked.
            TrialsFailed: it ran, and some trials failed or none succeeded.
        """
        from hydra_plugins.ray_tune_sweeper import _sweep

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.task_function is not None
        settings = Settings.of(self.keys, self.config)
        return _sweep.sweep(settings, arguments, self.config, self.hydra_context, self.task_function)
