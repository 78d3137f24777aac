"""What watches the epochs of a training."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl

from forecast.model.training import SHOWN

if TYPE_CHECKING:
    from forecast.model.forecaster import Forecaster
    from forecast.model.training import ForecastModule

log = logging.getLogger(__name__)


class BestWeights(pl.Callback):
    """Keep the weights of the epoch with the best objective, in memory: no file, no pickle.

    Args:
        forecaster: whose network is trained.
        metric: the objective.
        mode: `min` or `max`.
    """

    def __init__(self, *, forecaster: Forecaster, metric: str, mode: str) -> None:
        self.forecaster = forecaster
        self.metric = metric
        self.sign = 1.0 if mode == "min" else -1.0
        self.best = math.inf
        self.epoch: int | None = None
        self._weights: dict[str, Any] = {}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Compare the epoch that just ended."""
        value = trainer.callback_metrics.get(self.metric)
        if value is not None and math.isfinite(value) and self.sign * float(value) < self.best:
            self.best = self.sign * float(value)
            self.epoch = trainer.current_epoch
            weights = self.forecaster.network.state_dict()
            self._weights = {name: value.detach().clone() for name, value in weights.items()}

    def restore(self) -> None:
        """Put the best weights back."""
        self.forecaster.network.load_state_dict(self._weights)


class EpochLog(pl.Callback):
    """Hand each epoch's metrics on, and log a line where no progress bar shows them.

    Args:
        on_epoch: takes the epoch's number and metrics.
        quiet: no lines.
    """

    def __init__(self, *, on_epoch: Callable[[int, dict[str, float]], None], quiet: bool) -> None:
        self.on_epoch = on_epoch
        self.level = logging.DEBUG if quiet else logging.INFO

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: ForecastModule) -> None:  # type: ignore[override]
        """After validation."""
        metrics = {key: value for key, value in pl_module.history[-1].items() if key != "epoch"}
        self.on_epoch(trainer.current_epoch, metrics)
        shown = ", ".join(f"{name} {metrics[name]:.5g}" for name in SHOWN if name in metrics)
        log.log(self.level, "epoch %d: %s", trainer.current_epoch, shown)


def stop_early(metric: str, mode: str, *, patience: int, min_delta: float) -> pl.Callback:
    """Lightning's EarlyStopping on the objective; a missing or non-finite one ends training at once."""
    from pytorch_lightning.callbacks import EarlyStopping

    return EarlyStopping(monitor=metric, mode=mode, patience=patience, min_delta=min_delta, strict=False)
