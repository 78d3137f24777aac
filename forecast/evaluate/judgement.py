"""All windows of a run forecast, written down, and held against "tomorrow = today" and the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from forecast.data.record import calendar_day
from forecast.data.split import SPLITS
from forecast.evaluate.baselines.tally import BaselineTally
from forecast.evaluate.field import Field
from forecast.evaluate.forecasts import Piece, PriceTable, pieces
from forecast.evaluate.intervals import JudgedIntervals
from forecast.evaluate.metrics import Tally
from forecast.evaluate.rows import Rows
from forecast.evaluate.significance.moves import Moves
from forecast.model.baselines import Baselines
from forecast.model.intervals import columns as bound_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.evaluate.economics import Economics
    from forecast.evaluate.folds import Fold
    from forecast.evaluate.intervals.judged import Intervals
    from forecast.evaluate.significance import Significance
    from forecast.model.forecaster import Forecaster, TrainingResult
    from forecast.model.intervals import Widths

    Column = NDArray[np.float64]

Figures = dict[str, float | None]


class Learn(Protocol):
    """Fits baselines to the training days of a fold."""

    def __call__(self, baselines: Baselines, data: MarketData, fold: int) -> None: ...


class Judgement:
    """The figures of a run and its tables `forecasts.parquet` and `baselines.parquet`, fold by fold.

    Args:
        directory: of the run; a table appears there whole when the judgement is closed, or not at all.
        data: loaded.
        folded: whether rows say which fold they belong to.
        learn: fits the baselines to a fold, given its number.
        baselines: fitted to each fold that is fitted anew, and judged on the same rows; None = naive alone.
        intervals: calibrated on the validation rows of each fold; None = no intervals.
        significance: tests of the test rows; None = none.
        economics: a trading rule on the test rows; None = none.
    """

    def __init__(
        self,
        directory: Path,
        data: MarketData,
        *,
        folded: bool,
        learn: Learn,
        baselines: Baselines | None = None,
        intervals: Intervals | None = None,
        significance: Significance | None = None,
        economics: Economics | None = None,
    ) -> None:
        self.names = data.panel_.names
        self.horizon = data.horizon
        self.folded = folded
        self.baselines = baselines
        self.learn = learn
        self.intervals = (
            None if intervals is None else JudgedIntervals(intervals, names=self.names, horizon=self.horizon)
        )
        self.significance = significance
        self.economics = economics
        self.folds: list[dict[str, Any]] = []
        self.history: list[dict[str, float]] = []  # of all folds that were fitted anew
        self._losses: list[dict[str, float]] = []
        self._tallies = {split: Tally(horizon=self.horizon) for split in SPLITS[1:]}
        self._rivals = None if baselines is None else BaselineTally(baselines=baselines, horizon=self.horizon)
        self._rows: dict[str, list[tuple[Rows, Mapping[str, Column]]]] = {split: [] for split in SPLITS[1:]}
        self._bounds = bound_columns(intervals.levels) if intervals is not None else []
        columns = ["actual", "forecast", "naive", *self._bounds]
        plan: dict[str, Any] = {"names": self.names, "folded": folded}
        self._forecasts = PriceTable(directory / "forecasts.parquet", columns=columns, **plan)
        self._others = (
            None
            if baselines is None
            else PriceTable(directory / "baselines.parquet", columns=baselines.names, **plan)
        )

    def __enter__(self) -> Judgement:
        with ExitStack() as stack:
            for table in filter(None, (self._forecasts, self._others)):
                stack.enter_context(table)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def add(self, fold: Fold, forecaster: Forecaster, data: MarketData, fit: TrainingResult) -> Figures:
        """Forecast a fold; the figures of its validation and test rows.

        Training rows are written for the first fold alone: those of the others are mostly the same.

        Args:
            fold: which.
            forecaster: fitted to it, or to an earlier one.
            data: split as the fold says.
            fit: how the training went.
        """
        if fold.number == 0:
            self._scale = data.naive_scale_  # one scale for all folds, so that their MASE can be compared
        if fold.refit:
            self._fitted(fold, data, fit)
        if self.intervals is not None:
            self.intervals.begin(quantile_levels=forecaster.quantile_levels)
        figures: Figures = {}
        for split in SPLITS[0 if fold.number == 0 else 1 :]:
            own = Tally(horizon=self.horizon)
            for piece in pieces(forecaster, data, split):
                self._write(piece, split, fold.number)
                if split != "train":
                    self._count(piece, split, data, fold.number, own)
            if split != "train":
                figures |= own.result(split)
        if self.intervals is not None:
            figures |= self.intervals.fold_metrics("test")
        self.folds.append(_described(fold, fit, figures))
        return figures

    @property
    def losses(self) -> dict[str, float]:
        """Training and validation loss of the kept epochs, the mean over the folds that were fitted."""
        return {
            name: float(np.mean([best[name] for best in self._losses])) for name in ("train_loss", "val_loss")
        }

    @property
    def widths(self) -> Widths | None:
        """What a bundle needs to put intervals around new forecasts."""
        return None if self.intervals is None else self.intervals.state()

    def so_far(self, split: str) -> dict[str, float]:
        """The defined figures of all rows of a split, of the folds there were so far."""
        figures = self._tallies[split].result(split)
        return {name: value for name, value in figures.items() if value is not None}

    def result(self) -> tuple[Figures, dict[str, Any]]:
        """Flat figures for metrics.json, and the nested ones for evaluation.json."""
        metrics: Figures = {}
        for split, tally in self._tallies.items():
            metrics |= tally.result(split)
        evaluation: dict[str, Any] = {}
        best = None
        if self._rivals is not None:
            flat, evaluation["baselines"] = self._rivals.result()
            metrics |= flat
            best = self._rivals.best if self._rivals.best != "naive" else None
        moves = self._moves("test")
        found = {"field": Field().findings(moves)}
        if self.significance is not None:
            found["significance"] = self.significance.findings(moves, best=best)
            # What a choice among many runs is corrected with; the record is on test alone.
            metrics |= self.significance.findings(self._moves("val"), split="val", best=best).metrics
        if self.economics is not None:
            found["economics"] = self.economics.findings(moves)
        for name, findings in found.items():
            metrics |= findings.metrics
            evaluation[name] = {**findings.record, "lines": findings.lines}
        if self.intervals is not None:
            metrics |= self.intervals.metrics("test")
            evaluation["intervals"] = self.intervals.record()
        return metrics, {**evaluation, "folds": self.folds}

    def _fitted(self, fold: Fold, data: MarketData, fit: TrainingResult) -> None:
        self.last_fit = fit
        self._losses.append(fit.history[fit.best_epoch])
        self.history += [{"fold": fold.number, **epoch} if self.folded else epoch for epoch in fit.history]
        if self.baselines is not None:
            self.learn(self.baselines, data, fold=fold.number)

    def _write(self, piece: Piece, split: str, fold: int) -> None:
        rows = piece.rows
        prices = {"actual": rows.actual, "forecast": rows.forecast, "naive": rows.naive}
        if self.intervals is not None and split == "val":
            self.intervals.calibrate(rows, piece.quantiles)
        if self.intervals is not None and split == "test":
            bounds = self.intervals.bounds(rows, piece.quantiles)  # (levels, 2, rows)
            prices |= dict(zip(self._bounds, bounds.reshape(-1, len(rows)), strict=True))
        self._forecasts.write(rows, split, prices, fold=fold)

    def _count(self, piece: Piece, split: str, data: MarketData, fold: int, own: Tally) -> None:
        rows, rivals = piece.rows, {}
        scale = self._scale[rows.series]
        for tally in (own, self._tallies[split]):
            tally.add(rows.actual, rows.forecast, rows.naive, scale)
        if self.baselines is not None and self._rivals is not None and self._others is not None:
            asked = self.baselines.forecast(piece.batch, horizon=data.horizon)
            self._rivals.add(split, rows, asked, scale=scale)
            rivals = {name: prices.ravel() for name, prices in asked.items()}  # (B, h) -> (rows,)
            self._others.write(rows, split, rivals, fold=fold)
        self._rows[split].append((rows, rivals))

    def _moves(self, split: str) -> Moves:
        """The rows of a split in all folds, with those baselines that stood to the end."""
        rows = Rows.join([rows for rows, _ in self._rows[split]])
        failed = {} if self.baselines is None else self.baselines.failed
        rivals = {
            name: np.concatenate([found[name] for _, found in self._rows[split]])
            for name in self._rows[split][0][1]
            if name not in failed
        }
        return Moves.of(rows, names=self.names, baselines=rivals)


def _described(fold: Fold, fit: TrainingResult, figures: Figures) -> dict[str, Any]:
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
