"""Intervals of a run and how they did, beside those of the naive forecast, fold by fold."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from forecast.evaluate.intervals.plan import Plan
from forecast.evaluate.intervals.tally import Figures, IntervalTally
from forecast.model.intervals import bounds as bounds_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.rows import Rows
    from forecast.model.intervals import Widths

    Quantiles = NDArray[np.float64] | None

# Nominal levels at which the intervals' reliability is looked at, whichever are shown.
_RELIABILITY = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)


class Intervals(Protocol):
    """The `intervals` node of a config."""

    levels: tuple[float, ...]
    plan_: Plan

    def begin(
        self,
        *,
        names: Sequence[str],
        horizon: int,
        quantile_levels: Sequence[float] | None = None,
        also: Sequence[float] = (),
    ) -> None:
        """Forget every residual; `also` are levels that widths() tells behind `levels`."""
        ...

    def calibrate(self, rows: Rows, quantiles: Quantiles = None) -> None:
        """Learn from a piece of the validation rows."""
        ...

    def widths(self, rows: Rows, quantiles: Quantiles = None) -> NDArray[np.float64]:
        """(all levels, rows) half widths of the next piece of test rows, as shares of the last Close."""
        ...

    def state(self) -> Widths:
        """What a bundle needs for new windows."""
        ...

    @property
    def notes(self) -> list[str]:
        """What a reader must know, in sentences."""
        ...


class JudgedIntervals:
    """Calibrate, bound, count.

    Args:
        intervals: as the config has them; they serve as a pattern and stay untouched.
        names: tickers, in the order of Rows.series.
        horizon: steps forecast at once.
    """

    def __init__(self, intervals: Intervals, *, names: Sequence[str], horizon: int) -> None:
        self.levels = intervals.levels
        self._kind = type(intervals).__name__
        self._pattern = intervals
        self._names = names
        self._horizon = horizon
        self._folds: list[IntervalTally] = []

    def begin(self, *, quantile_levels: Sequence[float] | None = None) -> None:
        """A newly fitted network: its validation rows come next, then its test rows.

        Args:
            quantile_levels: of the network; None when it answers with prices alone.
        """
        also = [level for level in _RELIABILITY if level not in self.levels]
        self._model, self._naive = deepcopy(self._pattern), deepcopy(self._pattern)
        self._model.begin(
            names=self._names, horizon=self._horizon, quantile_levels=quantile_levels, also=also
        )
        self._naive.begin(names=self._names, horizon=self._horizon, also=also)
        self._folds.append(
            IntervalTally(
                names=self._names,
                horizon=self._horizon,
                levels=self.levels,
                reliability=self._model.plan_.levels,
            )
        )

    def calibrate(self, rows: Rows, quantiles: Quantiles = None) -> None:
        """Learn from a piece of the validation rows; within a ticker and step, oldest first.

        Args:
            rows: of the piece.
            quantiles: (rows, quantiles) prices, where the network answers with quantiles.
        """
        self._model.calibrate(rows, quantiles)
        self._naive.calibrate(_naive(rows))

    def bounds(self, rows: Rows, quantiles: Quantiles = None) -> NDArray[np.float64]:
        """Bounds of the next piece of test rows, which are counted; arguments as of calibrate.

        Returns:
            (levels, 2, rows) lower and upper prices; NaN where nothing is known: null in a table.
        """
        found, inside = _bounded(self._model, rows, quantiles)
        naive, naive_inside = _bounded(self._naive, _naive(rows), None)
        known = np.isfinite(found).all(axis=(0, 1)) & np.isfinite(naive).all(axis=(0, 1))
        self._folds[-1].add(rows, found, naive)
        self._folds[-1].add_reliability(inside[:, known], naive_inside[:, known])
        return found

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the latest calibration, in sentences."""
        return self._model.notes

    def fold_metrics(self, prefix: str) -> Figures:
        """Flat figures of the rows since begin()."""
        return self._folds[-1].metrics(prefix)

    def metrics(self, prefix: str) -> Figures:
        """Flat figures of all rows, see IntervalTally.metrics."""
        return self._total().metrics(prefix)

    def record(self) -> dict[str, Any]:
        """For evaluation.json: `method`, `notes`, and what IntervalTally.record tells."""
        return {"method": self._kind, "notes": self.notes, **self._total().record()}

    def state(self) -> Widths:
        """What a bundle needs for new windows, as of the last test rows."""
        return self._model.state()

    def _total(self) -> IntervalTally:
        total, *others = self._folds
        for other in others:
            total = total + other
        return total


def _naive(rows: Rows) -> Rows:
    return replace(rows, forecast=rows.naive)


def _bounded(
    intervals: Intervals, rows: Rows, quantiles: Quantiles
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(shown levels, 2, rows) bounds, and (all levels, rows) whether the outcome lies inside."""
    plan = intervals.plan_
    widths = intervals.widths(rows, quantiles)
    inside = np.empty(widths.shape, np.bool_)
    for number, pair in enumerate(plan.pairs):
        # Each level by itself: how the others are drawn must not change how reliable it is.
        found = bounds_of(
            widths[number : number + 1], rows.forecast, rows.naive, pairs=(pair,), quantiles=quantiles
        )
        lower, upper = found[0]
        inside[number] = (lower <= rows.actual) & (rows.actual <= upper)
    return plan.bounds(widths, rows, quantiles), inside
