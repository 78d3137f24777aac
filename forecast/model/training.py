"""The Lightning module and its callbacks: an optimisation step costs what its arithmetic costs.

Lightning's per-step machinery and a DataLoader's per-sample collation cost more than the step of a small network.
So a `training_step` here is a chunk of many batches: windows are gathered and normalised for the whole chunk at
once, and the loop over its batches is bare.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytorch_lightning as pl
import torch

from forecast.model.forecaster import OnEpoch, Score
from forecast.model.network import Ensemble
from forecast.model.neural import NetworkForecaster, Training
from forecast.model.optimisation import Adam, AdamW, Loss, clip_gradients

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.windows import WindowBatch, WindowIndex

log = logging.getLogger(__name__)

# A chunk is gathered and normalised at once: large enough to hide the cost of a call, small beside a large panel.
_CHUNK_BYTES = 16 * 2**20

# What a user watches while it trains.
_REPORTED = ("train_loss", "val_loss", "val_rmse", "val_theil_u")


class Chunks:
    """Chunks of a split's windows, for one epoch at a time.

    Args:
        windows: of the split.
        batch_size: chunks hold whole batches, the last one of an epoch excepted; none is dropped.
        seed: of the order; None = in order. Epoch n's order depends on the seed and n alone.
    """

    def __init__(self, windows: WindowIndex, *, batch_size: int, seed: int | None) -> None:
        self.windows = windows
        self.seed = seed
        self.epoch = 0
        one = 4 * (windows.lookback + windows.horizon) * windows.panel.values.shape[1]
        self.size = int(batch_size * max(1, _CHUNK_BYTES // (one * batch_size)))

    def __len__(self) -> int:
        return -(-len(self.windows) // self.size)

    def __iter__(self) -> Iterator[WindowBatch]:
        # int32 halves what the order of a large panel costs
        small = len(self.windows) < 2**31
        order: NDArray[Any] = np.arange(len(self.windows), dtype=np.int32 if small else np.int64)
        if self.seed is not None:
            np.random.default_rng((self.seed, self.epoch)).shuffle(order)
        self.epoch += 1
        for start in range(0, len(order), self.size):
            yield self.windows.take(order[start : start + self.size])


class ForecastModule(pl.LightningModule):
    """A loss in normalised units, fused Adam, gradient clipping, one schedule step an epoch.

    The members of an Ensemble are trained as if each stood alone: on a loss and with a
    clipped gradient of its own.

    Args:
        forecaster: what is trained.
        settings: of the trainer.
        loss: of the network's answers and what they should have been, in normalised units.
        data: prepared; the score looks up what came of its windows.
        score: metrics of the validation rows of an epoch.
    """

    def __init__(
        self,
        *,
        forecaster: NetworkForecaster,
        settings: Training,
        loss: Loss,
        data: MarketData,
        score: Score,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.forecaster = forecaster
        self.settings = settings
        self.loss = loss
        self.data = data
        self.score = score
        self.history: list[dict[str, float]] = []

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        # Kept bare: Lightning's wrapper would cost as much as the step of a small network.
        parameters, rate = self.forecaster.network.parameters(), self.settings.learning_rate
        if self.settings.decay == "decoupled":
            # AdamW takes off learning_rate * weight_decay: a share of its own, that another learning rate leaves as it
            # is and the schedule lowers with it, as Loshchilov and Hutter have it.
            self._adam: Adam | AdamW = AdamW(
                parameters, learning_rate=rate, weight_decay=self.settings.weight_decay / rate
            )
        else:
            self._adam = Adam(parameters, learning_rate=rate, weight_decay=self.settings.weight_decay)
        return self._adam

    def transfer_batch_to_device(self, batch: WindowBatch, device: torch.device, _: int) -> dict[str, Any]:
        """Raw windows and what followed, as tensors."""
        offset = self.forecaster.offset(batch)
        return {
            "offset": None if offset is None else offset.float().to(device),
            "windows": torch.from_numpy(batch.windows).to(device),
            "future": torch.from_numpy(batch.future).to(device),
            "rows": batch.rows,
        }

    def on_train_epoch_start(self) -> None:
        """Start counting, at the schedule's learning rate."""
        self._loss = torch.zeros((), device=self.device)
        self._seen = 0
        if self.settings.lr_schedule == "cosine":
            done = self.current_epoch / (self.trainer.max_epochs or 1)
            self._adam.param_groups[0]["lr"] = (
                self.settings.learning_rate * 0.5 * (1.0 + float(np.cos(np.pi * done)))
            )

    def training_step(self, batch: dict[str, Any], _: int) -> None:
        """Optimise on every batch of a chunk."""
        network, adam = self.forecaster.network, self._adam
        networks = list(network.members) if isinstance(network, Ensemble) else [network]
        parameters = [list(one.parameters()) for one in networks]
        with torch.no_grad():
            inputs = self.forecaster.fitted.inputs(batch["windows"])  # (chunk, L, F)
            targets = self.forecaster.fitted.targets(batch["windows"], batch["future"])  # (chunk, h)
            start = self.forecaster.start(inputs)  # (chunk, outputs), or None
        # What a network's answers are added to: a linear map's, or a reference's; never both.
        start = batch["offset"] if start is None else start
        starts = None if start is None else start.split(self.data.batch_size)
        losses, counts = [], []
        batches = zip(inputs.split(self.data.batch_size), targets.split(self.data.batch_size), strict=True)
        for number, (x, y) in enumerate(batches):
            for one, own in zip(networks, parameters, strict=True):
                answers = one(x) if starts is None else one(x) + starts[number]
                loss = self.loss(answers, y)
                loss.backward()
                if self.settings.gradient_clip is not None:
                    clip_gradients(own, self.settings.gradient_clip)
                losses.append(loss.detach())
                counts.append(x.shape[0])
            adam.step_and_clear()
        self._loss += torch.stack(losses) @ torch.tensor(counts, dtype=losses[0].dtype, device=self.device)
        self._seen += sum(counts)

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        self._val_loss, self._val_seen = 0.0, 0
        self._rows: list[NDArray[np.int64]] = []
        self._forecasts: list[NDArray[np.float64]] = []

    def validation_step(self, batch: dict[str, Any], _: int) -> None:
        """Forecast every validation row of a chunk."""
        windows, future = batch["windows"], batch["future"]
        normaliser = self.forecaster.fitted
        answers = self.forecaster.answers(windows)
        if batch["offset"] is not None:
            answers = answers + batch["offset"]
        loss = self.loss(answers, normaliser.targets(windows, future))
        self._val_loss += float(loss) * len(windows)
        self._val_seen += len(windows)
        self._rows.append(batch["rows"])
        forecast = normaliser.values(windows, self.forecaster.central(answers))
        self._forecasts.append(forecast.cpu().numpy())

    def on_validation_epoch_end(self) -> None:
        """Log what the epoch reached; callbacks and the progress bar read it."""
        metrics: dict[str, float] = {"val_loss": self._val_loss / self._val_seen}
        rows, forecast = np.concatenate(self._rows), np.concatenate(self._forecasts)
        self._rows, self._forecasts = [], []
        diverged = not np.isfinite(forecast).all()
        if diverged:
            metrics[self.settings.metric] = float("nan")  # which ends training
        else:
            found = self.score(data=self.data, rows=rows, forecast=forecast)
            metrics |= {name: value for name, value in found.items() if value is not None}
        metrics["learning_rate"] = self._adam.param_groups[0]["lr"]
        metrics["train_loss"] = float(self._loss) / max(self._seen, 1)
        self.history.append({"epoch": len(self.history), **metrics})
        # Each costs a millisecond or two: only what the progress bar shows and what stops training.
        self.log_dict({name: metrics[name] for name in _REPORTED if name in metrics}, prog_bar=True)
        if self.settings.metric not in _REPORTED and self.settings.metric in metrics:
            self.log(self.settings.metric, metrics[self.settings.metric])
        if self.settings.lr_schedule == "plateau" and not diverged:
            self._halve_on_plateau()

    def _halve_on_plateau(self) -> None:
        """Halve the learning rate after five epochs without a better objective."""
        values = np.array([epoch.get(self.settings.metric, np.nan) for epoch in self.history])
        if np.isnan(values).all():
            return  # the objective is not defined here, as `direction` is not where no price moved
        best = int(np.nanargmin(values) if self.settings.mode == "min" else np.nanargmax(values))
        stalled = len(values) - 1 - best
        if stalled and stalled % 5 == 0:
            self._adam.param_groups[0]["lr"] *= 0.5


class BestWeights(pl.Callback):
    """Keep the weights of the epoch with the best objective, in memory: no file, no pickle.

    While the objective is not defined, as ratios to a naive forecast that never errs are not, the smallest
    validation loss stands in for it.

    Args:
        forecaster: whose network is trained.
        metric: the objective.
        mode: `min` or `max`.
    """

    def __init__(self, *, forecaster: NetworkForecaster, metric: str, mode: str) -> None:
        self.forecaster = forecaster
        self.metric = metric
        self.sign = 1.0 if mode == "min" else -1.0
        self.best = math.inf
        self.epoch: int | None = None
        self.is_defined = False  # the objective, in any epoch
        self._weights: dict[str, Any] = {}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Compare the epoch that just ended."""
        metrics = trainer.callback_metrics
        value, loss = (float(metrics.get(name, math.nan)) for name in (self.metric, "val_loss"))
        if math.isfinite(value) and not self.is_defined:
            self.is_defined, self.best = True, math.inf
        score = self.sign * value if self.is_defined else loss
        if math.isfinite(score) and score < self.best:
            self.best = score
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

    def __init__(self, *, on_epoch: OnEpoch, quiet: bool) -> None:
        self.on_epoch = on_epoch
        self.level = logging.DEBUG if quiet else logging.INFO

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: ForecastModule) -> None:  # type: ignore[override]
        """After validation."""
        metrics = {key: value for key, value in pl_module.history[-1].items() if key != "epoch"}
        self.on_epoch(trainer.current_epoch, metrics)
        text = ", ".join(f"{name} {metrics[name]:.5g}" for name in _REPORTED if name in metrics)
        log.log(self.level, "epoch %d: %s", trainer.current_epoch, text)
