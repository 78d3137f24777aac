"""Filtered historical simulation: intervals from the quantiles of standardised residuals, each side by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge

from forecast.evaluate.history import History, interpolated
from forecast.evaluate.intervals.conformal import IntervalPlan, Levels, check_levels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.table import ForecastTable
    from forecast.model.intervals import IntervalState

    Column = NDArray[np.float64]


class Filtered:
    """The forecast, plus the volatility forecast of the day times quantiles of the latest standardised residuals.

    Unlike conformal intervals these are not symmetric: where falls are larger than rises, the lower side is the longer
    one. Residuals of validation come first; those of test days follow as they are known.

    Where a forecaster errs to one side for long, as trees do on price levels above all that they were shown, both
    bounds lie on that side of its forecast, where the outcomes are.

    Args:
        levels: shares of outcomes that shall lie inside, largest first.
        window: latest residuals of a ticker and step that are looked at.
        min_residuals: validation residuals a ticker needs at a step; with fewer, those of all tickers stand before its
            own.

    Raises:
        UserError: a level that is none, or one that `window` residuals cannot tell.

    Source: Barone-Adesi, Giannopoulos and Vosper (1999), Journal of Futures Markets 19.
    """

    scaled = True

    def __init__(
        self,
        *,
        levels: Levels,
        window: Annotated[int, Ge(1)] = 1000,
        min_residuals: Annotated[int, Ge(1)] = 100,
    ) -> None:
        check_levels(levels, key="intervals.window", residuals=window)
        self.levels = tuple(float(level) for level in levels)
        self.window = window
        self.min_residuals = min_residuals

    def fit(self, table: ForecastTable, plan: IntervalPlan) -> FittedFiltered:
        """See Intervals."""
        plan = replace(plan, quantile_levels=None)  # residuals are of the forecast
        history = History(plan.num_streams, window=self.window)
        pooled: list[list[Column]] = [[] for _ in range(plan.horizon)]
        counts = np.zeros(plan.num_streams, np.int64)
        for block in table.blocks():
            streams, residuals = plan.streams(block), _residuals(plan, block)
            good = np.isfinite(residuals)
            counts += np.bincount(streams[good], minlength=plan.num_streams)
            history.add(streams, block.time, residuals)
            for step in range(plan.horizon):
                pooled[step].append(residuals[good & (np.asarray(block.step) == step + 1)])
        short = np.flatnonzero(counts < self.min_residuals)
        together = [np.concatenate(some) if some else np.empty(0) for some in pooled]
        for stream in short.tolist():
            history.precede(stream, together[stream % plan.horizon])
        notes = []
        if len(short):
            notes.append(
                f"{len(short)} of {plan.num_streams} tickers and steps have fewer than {self.min_residuals} validation "
                "residuals: those of all tickers stand before their own"
            )
        return FittedFiltered(plan, history, together, notes)


class FittedFiltered:
    """The latest residuals of each stream.

    Args:
        plan: of the run.
        history: of residuals, in units of the scale.
        pooled: of each step, those of all tickers' validation rows.
        notes: on the calibration.
    """

    def __init__(self, plan: IntervalPlan, history: History, pooled: list[Column], notes: list[str]) -> None:
        self.plan = plan
        self.notes = notes
        self._history = history
        self._pooled = pooled

    def half_widths(self, block: ForecastTable) -> Column:
        """See FittedIntervals: (all levels, 2, rows)."""
        plan = self.plan
        found = np.full((len(plan.levels), 2, len(block)), np.nan)
        keys = (plan.streams(block), block.origin, block.time)
        for rows, windows, counts in self._history.follow(*keys, _residuals(plan, block)):
            found[:, :, rows] = _sides(np.sort(windows, axis=1), counts, plan.levels)
        return found

    def state(self) -> IntervalState:
        """See FittedIntervals."""
        plan = self.plan
        latest = [self._history.latest(stream) for stream in range(plan.num_streams)]
        table = np.stack([_of(values, plan.levels) for values in latest], axis=-1)  # (levels, 2, streams)
        pooled = np.stack([_of(values, plan.levels) for values in self._pooled], axis=-1)
        known = np.asarray([len(values) > 0 for values in latest]).reshape(-1, plan.horizon)
        return plan.state(table, pooled, own=np.asarray(known.all(axis=1)))


def _residuals(plan: IntervalPlan, block: ForecastTable) -> Column:
    """(rows,) signed, in units of the scale."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((block.actual - block.forecast) / np.abs(plan.scale(block)))


def _sides(ascending: NDArray[np.float32], counts: NDArray[np.integer], levels: Sequence[float]) -> Column:
    """(levels, 2, rows) how far the quantiles that enclose each level lie below and above 0."""
    return np.stack(
        [
            [
                -interpolated(ascending, counts, (1 - level) / 2),
                interpolated(ascending, counts, (1 + level) / 2),
            ]
            for level in levels
        ]
    )


def _of(values: NDArray[np.floating], levels: Sequence[float]) -> Column:
    """(levels, 2) quantiles of one sample."""
    if not len(values):
        return np.full((len(levels), 2), np.nan)
    return _sides(np.sort(values)[None].astype(np.float32), np.asarray([len(values)]), levels)[..., 0]
