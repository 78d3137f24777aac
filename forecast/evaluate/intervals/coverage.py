"""How often intervals held the outcome, how wide they were, and what that is worth: by ticker, step and level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.evaluate.summary import Figures
from forecast.model.intervals import suffixes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.intervals.conformal import FittedIntervals, Intervals
    from forecast.evaluate.table import ForecastTable
    from forecast.model.intervals import IntervalState

    Column = NDArray[np.float64]

# Nominal levels at which the intervals' reliability is looked at, whichever are reported.
_RELIABILITY = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
_INSIDE, _WIDTH, _WINKLER, _SHARE = range(4)


class FoldIntervals:
    """Intervals of a fold, fitted to its validation rows, beside those of the naive forecast, fitted alike.

    Args:
        intervals: as the config has them.
        table: the fold's validation rows.
        quantile_levels: of the network; None when it answers with values alone.
    """

    def __init__(
        self, intervals: Intervals, table: ForecastTable, *, quantile_levels: Sequence[float] | None
    ) -> None:
        self.levels = intervals.levels
        extra = [level for level in _RELIABILITY if level not in self.levels]
        self._model = intervals.fit(table, quantile_levels=quantile_levels, reliability=extra)
        self._naive = intervals.fit(table.of("naive"), reliability=extra)

    def bounds(self, block: ForecastTable) -> tuple[Column, Coverage]:
        """Bounds of some test rows, and how they did.

        Args:
            block: whole series, each asked for once.

        Returns:
            (levels, 2, rows) lower and upper values, NaN where nothing is known; and their coverage.
        """
        beside = block.of("naive")
        found, inside = _bounded(self._model, block)
        naive, naive_inside = _bounded(self._naive, beside)
        levels = self._model.plan.levels
        return found, coverage(
            block, (found, naive), (inside, naive_inside), levels=self.levels, reliability=levels
        )

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the calibration, in sentences."""
        return self._model.notes

    def state(self) -> IntervalState:
        """What a bundle needs for new windows, as of the last test rows."""
        return self._model.state()


def _bounded(fitted: FittedIntervals, block: ForecastTable) -> tuple[Column, NDArray[np.bool_]]:
    """(reported levels, 2, rows) bounds, and (all levels, rows) whether the outcome lies inside."""
    plan = fitted.plan
    half_widths = fitted.half_widths(block)
    inside = np.empty(half_widths.shape, np.bool_)
    for number in range(len(plan.levels)):
        # Each level by itself: how the others are drawn must not change how reliable it is.
        lower, upper = plan.bounds(half_widths, block, slice(number, number + 1))[0]
        inside[number] = (lower <= block.actual) & (block.actual <= upper)
    return plan.bounds(half_widths, block, slice(plan.reported)), inside


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Sums over rows, by ticker and step, of intervals of the model and of the naive forecast."""

    names: Sequence[str]
    levels: tuple[float, ...]  # of the bounds, largest first
    reliability: tuple[float, ...]  # further nominal levels of which only the coverage is counted
    sums: Column  # (model and naive; inside, width, Winkler score, width as a share; levels; series; steps)
    rows: NDArray[np.int64]  # (series, steps) that have bounds
    rows_without: int
    held: NDArray[np.int64]  # (model and naive, reliability levels) outcomes inside
    judged: int  # rows behind `held`

    def __add__(self, other: Coverage) -> Coverage:
        added = ("sums", "rows", "rows_without", "held", "judged")
        return replace(self, **{name: getattr(self, name) + getattr(other, name) for name in added})

    def metrics(self, split: str) -> Figures:
        """Flat figures, all tickers and steps pooled: `<split>_coverage` and so on, `_50` behind a further level's.

        Returns:
            coverage: share of outcomes inside, bounds included. width, winkler: the target's unit.
            naive_coverage, naive_width, naive_winkler: of intervals around the naive forecast.
            ticker_coverage: mean of the tickers' own coverages. All None without rows.
        """
        figures: Figures = {}
        for number, suffix in enumerate(suffixes(self.levels)):
            for name, value in self._entry(number, slice(None), slice(None)).items():
                if name not in ("rows", "width_percent", "naive_width_percent"):
                    figures[f"{split}_{name}{suffix}"] = value
            figures[f"{split}_ticker_coverage{suffix}"] = self._ticker_coverage(number)
        return figures

    def record(self) -> dict[str, Any]:
        """Nested figures for evaluation.json.

        Returns:
            levels: of the intervals. rows: judged. rows_without: that have no bounds.
            pooled: level -> figures. steps: level -> figures of each step, in order. tickers: name -> level ->
            figures, with the coverage of each step. reliability: nominal level beside the share that came out.
            `width_percent` is in percent of the last value. A level is written as in `90`.
        """
        everything = slice(None)
        levels = [(number, f"{100 * level:g}") for number, level in enumerate(self.levels)]
        seen = np.flatnonzero(self.rows.sum(axis=1)).tolist()
        return {
            "levels": list(self.levels),
            "rows": int(self.rows.sum()),
            "rows_without": self.rows_without,
            "pooled": {key: self._entry(number, everything, everything) for number, key in levels},
            "steps": {
                key: [
                    self._entry(number, everything, slice(step, step + 1))
                    for step in range(self.rows.shape[1])
                ]
                for number, key in levels
            },
            "tickers": {
                self.names[series]: {
                    key: {
                        **self._entry(number, slice(series, series + 1), everything),
                        "coverage_by_step": [
                            _mean(held, int(rows))
                            for held, rows in zip(
                                self.sums[0, _INSIDE, number, series], self.rows[series], strict=True
                            )
                        ],
                    }
                    for number, key in levels
                }
                for series in seen
            },
            "reliability": [
                {"nominal": level, "empirical": own, "naive_empirical": naive}
                for level, own, naive in sorted(
                    (level, *(_mean(held, self.judged) for held in self.held[:, number]))
                    for number, level in enumerate(self.reliability)
                )
            ],
        }

    def _entry(self, level: int, series: slice, steps: slice) -> Figures:
        """One level's figures of some tickers and steps."""
        rows = int(self.rows[series, steps].sum())
        figures: Figures = {"rows": rows}
        for side, prefix in enumerate(("", "naive_")):
            inside, width, winkler, share = self.sums[side, :, level, series, steps].sum(axis=(1, 2))
            figures |= {
                f"{prefix}coverage": _mean(inside, rows),
                f"{prefix}width": _mean(width, rows),
                f"{prefix}width_percent": _mean(100 * share, rows),
                f"{prefix}winkler": _mean(winkler, rows),
            }
        return figures

    def _ticker_coverage(self, level: int) -> float | None:
        rows = self.rows.sum(axis=1)
        seen = rows > 0
        inside = self.sums[0, _INSIDE, level].sum(axis=1)
        return float(np.mean(inside[seen] / rows[seen])) if seen.any() else None


def coverage(
    table: ForecastTable,
    bounds: tuple[Column, Column],
    inside: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    *,
    levels: Sequence[float],
    reliability: Sequence[float],
) -> Coverage:
    """Add up rows; those without bounds are left out, of model and naive alike.

    Args:
        table: some rows.
        bounds: of the model and of the naive forecast, (levels, 2, rows) lower and upper values.
        inside: likewise, (reliability levels, rows) whether the outcome lay inside.
        levels: of the bounds.
        reliability: nominal levels.
    """
    known = np.logical_and.reduce([np.isfinite(side).all(axis=(0, 1)) for side in bounds])
    shape = (len(table.names), table.horizon)
    size = shape[0] * shape[1]
    place = (np.asarray(table.series, np.int64) * table.horizon + table.step - 1)[known]
    actual, naive = table.actual[known], np.abs(table.naive[known])
    sums = np.zeros((2, 4, len(levels), *shape))
    for side, found in enumerate(bounds):
        for number, level in enumerate(levels):
            lower, upper = found[number][:, known]
            width = upper - lower
            outside = np.maximum(lower - actual, 0) + np.maximum(actual - upper, 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                columns = (outside == 0, width, width + 2 / (1 - level) * outside, width / naive)
            for what, column in enumerate(columns):
                sums[side, what, number] = np.bincount(place, weights=column, minlength=size).reshape(shape)
    return Coverage(
        names=table.names,
        levels=tuple(levels),
        reliability=tuple(reliability),
        sums=sums,
        rows=np.bincount(place, minlength=size).reshape(shape),
        rows_without=int(len(table) - known.sum()),
        held=np.stack([side[:, known].sum(axis=1) for side in inside]),
        judged=int(known.sum()),
    )


def _mean(total: float, rows: int) -> float | None:
    value = float(total) / rows if rows else math.inf
    return value if math.isfinite(value) else None
