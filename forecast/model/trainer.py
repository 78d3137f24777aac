"""The `trainer` node of a config: pytorch-lightning's Trainer with what a forecast needs round it."""

from __future__ import annotations

import logging
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from forecast.errors import UserError
from forecast.model.forecaster import OnEpoch, Score, TrainingResult

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from forecast.data.market import MarketData
    from forecast.data.target import Target
    from forecast.model.neural import NetworkForecaster

log = logging.getLogger(__name__)


class TrainingDivergedError(RuntimeError):
    """No epoch gave a finite objective."""


@dataclass(kw_only=True, eq=False)
class Trainer:
    """Fit a forecaster, stop when the objective stalls, keep the best epoch's weights.

    Args:
        metric: the objective, one of the validation metrics of an epoch.
        mode: `min` or `max`.
        seed: of the order of training windows.
        max_epochs: at most.
        learning_rate: of Adam.
        weight_decay: share of each weight that a step takes off, lowered with the learning rate by the schedule
            (`decoupled`); of Adam (`l2`).
        decay: `decoupled` takes it off the weights by themselves (AdamW); `l2` adds it to the gradient, which switches
            a network off where little can be forecast, see optimisation.py.
        start: what the network's answers are added to: `linear` (see shrinkage.py) or `zero`; `auto` is linear with a
            decoupled decay and zero with `l2`, as it was before there was a choice.
        patience: epochs without a better objective before stopping; None = never stop early.
        min_delta: what counts as better, in the objective's units.
        gradient_clip: largest norm of the gradient; None = any.
        loss: what is made small, in units of the target's spread in training, see optimisation.py.
        quantiles: the levels a network answers with under `loss="quantile"`; ascending, 0.5 among them.
        lr_schedule: over the epochs.
        accelerator: auto = a GPU where there is one.
        precision: as pytorch-lightning's; bf16-mixed needs a GPU. (16-mixed would need its losses scaled and
            has no more to offer: bfloat16 has the range of 32 bits.)
        threads: torch threads; pinned, because sums in another order differ in the last bits.
        progress: a progress bar; auto = where standard error is a terminal.

    Raises:
        UserError: a GPU is asked for and there is none, or quantiles are out of order or lack 0.5.
    """

    metric: str
    mode: Literal["min", "max"]
    seed: int
    max_epochs: Annotated[int, Ge(1)] = 50
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    weight_decay: Annotated[float, Ge(0)] = 3e-3
    decay: Literal["decoupled", "l2"] = "l2"
    start: Literal["auto", "linear", "zero"] = "auto"
    patience: Annotated[int, Ge(1)] | None = 10
    min_delta: Annotated[float, Ge(0)] = 0.0
    gradient_clip: Annotated[float, Gt(0)] | None = 1.0
    loss: Literal["mse", "mae", "huber", "quantile"] = "mse"
    quantiles: Sequence[Annotated[float, Gt(0), Lt(1)]] = (0.05, 0.5, 0.95)
    lr_schedule: Literal["constant", "cosine", "plateau"] = "cosine"
    accelerator: Literal["cpu", "gpu", "auto"] = "cpu"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    threads: Annotated[int, Ge(1), Le(256)] = 1
    progress: Literal["auto", "on", "off"] = "auto"

    def __post_init__(self) -> None:
        if self.accelerator == "gpu" and not _has_gpu():
            raise UserError("trainer.accelerator=gpu: torch sees no GPU here; use cpu or auto")
        if self.precision != "32-true" and (self.accelerator == "cpu" or not _has_gpu()):
            raise UserError(f"trainer.precision={self.precision}: needs a GPU; use 32-true")
        if list(self.quantiles) != sorted(set(self.quantiles)) or 0.5 not in self.quantiles:
            raise UserError(
                f"trainer.quantiles={list(self.quantiles)}: must be ascending with 0.5, the forecast itself, among "
                "them; such as [0.05,0.5,0.95]"
            )
        if self.decay == "decoupled" and self.weight_decay >= 1:
            raise UserError(
                f"trainer.weight_decay={self.weight_decay:g}: a step cannot take that share off a weight; with "
                "trainer.decay=decoupled it must be below 1"
            )

    @property
    def quantile_levels(self) -> tuple[float, ...] | None:
        """What a forecaster trained here answers with besides the median; None: nothing."""
        return tuple(float(level) for level in self.quantiles) if self.loss == "quantile" else None

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Fix threads, algorithms and seeds, before a network draws its first weight.

        Threads and algorithms are given back afterwards, for a notebook's sake; the generators stay seeded.
        """
        import random

        import torch

        threads, strictness = torch.get_num_threads(), torch.get_deterministic_debug_mode()
        torch.set_num_threads(self.threads)
        # torch.use_deterministic_algorithms does the same and imports its compiler, which takes a second.
        torch.set_deterministic_debug_mode("warn")
        # Our own code reads no memory it has not written; filling every new tensor first would only cost time.
        memory: Any = torch.utils.deterministic
        filled, memory.fill_uninitialized_memory = memory.fill_uninitialized_memory, False
        random.seed(self.seed)
        np.random.seed(self.seed % 2**32)  # noqa: NPY002  for layers from elsewhere that draw from numpy
        torch.manual_seed(self.seed)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_deterministic_debug_mode(strictness)
            memory.fill_uninitialized_memory = filled

    def is_better(self, one: Mapping[str, float], other: Mapping[str, float]) -> bool:
        """Whether the metrics of one epoch are better than those of another.

        Args:
            one: of the later epoch.
            other: of the earlier one, which stays where neither has the objective.
        """
        sign = 1.0 if self.mode == "min" else -1.0
        name = self.metric if self.metric in one and self.metric in other else "val_loss"
        return sign * one[name] < sign * other[name] if name == self.metric else one[name] < other[name]

    def check_loss(self, target: Target) -> None:
        """Refuse a loss that a probability has not.

        Raises:
            UserError: it has none but the cross-entropy, which stands in for mse.
        """
        if target.relation == "probability" and self.loss != "mse":
            raise UserError(
                f"trainer.loss={self.loss}: target={target.name} is a probability and is trained with the "
                "cross-entropy alone; leave it at mse"
            )

    def fit(
        self, forecaster: NetworkForecaster, data: MarketData, *, score: Score, on_epoch: OnEpoch
    ) -> TrainingResult:
        """Train in place.

        Args:
            forecaster: left with the best epoch's weights.
            data: prepared.
            score: metrics of the validation rows of an epoch.
            on_epoch: takes the number and metrics of each epoch.

        Raises:
            UserError: the objective is no metric of an epoch.
            TrainingDivergedError: it was not a finite number in any epoch.
        """
        from forecast.model.optimisation import cross_entropy, loss_function
        from forecast.model.shrinkage import fit_linear
        from forecast.model.training import BestWeights, Chunks, EpochLog, ForecastModule

        score.check_objective(self.metric, self.mode)
        linear = self.start == "linear" or (self.start == "auto" and self.decay == "decoupled")
        linear = linear and forecaster.reference is None  # whose forecasts are the start
        forecaster.start_from(fit_linear(data) if linear else None)
        chance = data.target.relation == "probability"
        loss = cross_entropy if chance else loss_function(self.loss, levels=self.quantile_levels)
        module = ForecastModule(forecaster=forecaster, settings=self, loss=loss, data=data, score=score)
        best = BestWeights(forecaster=forecaster, metric=self.metric, mode=self.mode)
        bar = self.progress == "on" or (self.progress == "auto" and sys.stderr.isatty())
        train = Chunks(
            data.windows_["train"], batch_size=data.batch_size, seed=self.seed if data.shuffle else None
        )
        val = Chunks(data.windows_["val"], batch_size=data.batch_size, seed=None)
        began = time.monotonic()
        with _quiet_lightning(), _ctrl_c():
            self._lightning(best, EpochLog(on_epoch=on_epoch, quiet=bar), bar=bar).fit(module, train, val)
        if best.epoch is None:
            raise TrainingDivergedError(
                f"trainer.learning_rate={self.learning_rate}: {self.metric} was not a number in any of "
                f"{len(module.history)} epochs; try a smaller one"
            )
        if not best.is_defined:
            log.warning(
                "objective.metric=%s: is not defined on the validation rows, as ratios to the naive forecast are not "
                "where no value moves; the epoch with the smallest val_loss is kept",
                self.metric,
            )
        best.restore()
        forecaster.cpu()
        return TrainingResult(history=module.history, best_epoch=best.epoch, seconds=time.monotonic() - began)

    def _lightning(self, *callbacks: pl.Callback, bar: bool) -> pl.Trainer:
        """Lightning's trainer, which stops early where that is asked for."""
        import pytorch_lightning as pl
        from pytorch_lightning.callbacks import EarlyStopping

        early = []
        if self.patience is not None:
            # A missing or non-finite objective ends training at once.
            how: dict[str, Any] = {"patience": self.patience, "min_delta": self.min_delta, "strict": False}
            early.append(EarlyStopping(monitor=self.metric, mode=self.mode, **how))
        return pl.Trainer(
            max_epochs=self.max_epochs,
            accelerator=self.accelerator,
            devices=1,  # training steps sum no gradients over processes
            precision=self.precision,
            callbacks=[*callbacks, *early],
            enable_progress_bar=bar,
            enable_model_summary=False,
            enable_checkpointing=False,
            logger=False,
            num_sanity_val_steps=0,
        )


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning's remarks on devices and tips are no part of a run's log."""
    lightning = logging.getLogger("pytorch_lightning")
    level = lightning.level
    lightning.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Chunks are gathered in the main process on purpose: windows are views, workers would copy the panel.
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            # Lightning 2.6 asks torch in a way that torch 2.13 deprecates.
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")
            yield
    finally:
        lightning.setLevel(level)


@contextmanager
def _ctrl_c() -> Iterator[None]:
    """Lightning turns Ctrl-C into exit code 1 and leaves the signal ignored; here it stays an interrupt."""
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        signal.signal(signal.SIGINT, on_interrupt)
        raise KeyboardInterrupt from None


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()
