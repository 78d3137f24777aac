"""All windows of a run forecast, written down, and held against "tomorrow = today" and the baselines."""

from __future__ import annotations

from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.data.record import calendar_day
from forecast.data.split import SPLITS
from forecast.evaluate.forecasts import PriceTable, pieces
from forecast.evaluate.metrics import Tally
from forecast.evaluate.rows import Rows

if TYPE_CHECKING:
    from forecast.data.market import MarketData
    from forecast.evaluate.folds import Fold
    from forecast.model.forecaster import Forecaster
    from forecast.model.trainer import Fit

Figures = dict[str, float | None]


class Judgement:
    """The figures of a run and its tables `forecasts.parquet` and `baselines.parquet`, fold by fold.

    Args:
        directory: of the run; a table appears there whole when the judgement is closed, or not at all.
        data: loaded.
        baselines: fitted to each fold that is fitted anew, and judged on the same rows; None = naive alone.
        intervals: calibrated on the validation rows of each fold; None = no intervals.
        folded: whether rows say which fold they belong to.
    """

    def __init__(
        self, directory: Path, data: MarketData, *, baselines: Any = None, intervals: Any = None, folded: bool
    ) -> None:
        self.names = data.panel_.names
        self.horizon = data.horizon
        self._folded = folded
        self.baselines = baselines
        self.intervals = intervals
        self.folds: list[dict[str, Any]] = []
        self.history: list[dict[str, float]] = []  # of all folds that were fitted anew
        self._losses: list[dict[str, float]] = []
        self._tallies = {split: Tally(horizon=data.horizon) for split in SPLITS[1:]}
        self._test: list[Rows] = []
        self._forecasts = PriceTable(
            directory / "forecasts.parquet",
            names=self.names,
            columns=["actual", "forecast", "naive", *self._bound_columns],
            folded=folded,
        )

    def __enter__(self) -> Judgement:
        with ExitStack() as stack:
            stack.enter_context(self._forecasts)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def add(self, fold: Fold, forecaster: Forecaster, data: MarketData, fit: Fit) -> Figures:
        """Forecast a fold; the figures of its validation and test rows.

        Training rows are written for the first fold alone: those of the others are mostly the same.

        Args:
            fold: which.
            forecaster: fitted to it, or to an earlier one.
            data: split as the fold says.
            fit: how the training went.
        """
        if fold.number == 0:
            # One scale for all folds, so that their MASE can be compared.
            self._scale = data.naive_scale_
        if fold.refit:
            self.last_fit = fit
            self._losses.append(fit.history[fit.best_epoch])
            self.history += [
                {"fold": fold.number, **epoch} if self._folded else epoch for epoch in fit.history
            ]
        self._live = deepcopy(self.intervals)
        figures: Figures = {}
        for split in SPLITS[0 if fold.number == 0 else 1 :]:
            own = Tally(horizon=self.horizon)
            for piece in pieces(forecaster, data, split):
                self._write(piece.rows, split, fold.number, piece.quantiles)
                if split == "train":
                    continue
                for tally in (own, self._tallies[split]):
                    rows = piece.rows
                    tally.add(rows.actual, rows.forecast, rows.naive, self._scale[rows.series])
            if split != "train":
                figures |= own.result(split)
        self.folds.append(_described(fold, fit, figures))
        return figures

    @property
    def losses(self) -> dict[str, float]:
        """Training and validation loss of the kept epochs, the mean over the folds that were fitted."""
        return {
            name: float(np.mean([best[name] for best in self._losses])) for name in ("train_loss", "val_loss")
        }

    def so_far(self, split: str) -> dict[str, float]:
        """The defined figures of all rows of a split, of the folds there were so far."""
        figures = self._tallies[split].result(split)
        return {name: value for name, value in figures.items() if value is not None}

    def result(self) -> tuple[Figures, dict[str, Any]]:
        """Flat figures for metrics.json, and the nested ones for evaluation.json."""
        metrics: Figures = {}
        for split in self._tallies:
            metrics |= self._tallies[split].result(split)
        return metrics, {"folds": self.folds}

    @property
    def _bound_columns(self) -> list[str]:
        if self.intervals is None:
            return []
        endings = ["", *(f"_{100 * level:g}" for level in self.intervals.levels[1:])]
        return [side + ending for ending in endings for side in ("lower", "upper")]

    def _write(self, rows: Rows, split: str, fold: int, quantiles: np.ndarray | None) -> None:
        prices = {"actual": rows.actual, "forecast": rows.forecast, "naive": rows.naive}
        if self._live is not None and split == "val":
            self._live.calibrate(rows, quantiles)
        if self._live is not None and split == "test":
            bounds = self._live.bounds(rows, quantiles)  # (levels, 2, rows)
            prices |= dict(zip(self._bound_columns, bounds.reshape(-1, len(rows)), strict=True))
        if split == "test":
            self._test.append(rows)
        self._forecasts.write(rows, split, prices, fold=fold)


def _described(fold: Fold, fit: Fit, figures: Figures) -> dict[str, Any]:
    return {
        "fold": fold.number,
        **{
            split: [calendar_day(first), calendar_day(last)]
            for split, (first, last) in fold.stretches.items()
        },
        "refit": fold.refit,
        "epochs": len(fit.history) if fold.refit else 0,
        "seconds": round(fit.seconds, 3) if fold.refit else 0.0,
        "metrics": figures,
    }
