"""How often intervals held the outcome, how wide they were, and what that is worth: by ticker, step and level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.evaluate.intervals.conformal import plan_of
from forecast.evaluate.scores import pinball_loss, winkler_loss
from forecast.evaluate.significance.backtests import kupiec
from forecast.evaluate.significance.diebold_mariano import compare
from forecast.evaluate.significance.significance import holm
from forecast.evaluate.summary import Figures
from forecast.model.intervals import suffixes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.intervals.conformal import FittedIntervals, Intervals
    from forecast.evaluate.table import ForecastTable
    from forecast.model.intervals import IntervalState

    Column = NDArray[np.float64]

ALPHA = 0.05  # level of the tests of coverage
# Nominal levels at which the intervals' reliability is looked at, whichever are reported.
_RELIABILITY = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
# Of these, those whose ends are evenly spaced quantiles.
_LADDER = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
_INSIDE, _WIDTH, _WINKLER, _SHARE = range(4)
# Coverage that differs by less, as a share of outcomes, is of no account however many there are; of a ticker, likewise.
_OFF, _TICKER_OFF = 0.01, 0.02


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
        plan = plan_of(table, intervals, quantile_levels=quantile_levels, reliability=extra)
        self._model = intervals.fit(table, plan)
        self._naive = intervals.fit(table.of("naive"), replace(plan, quantile_levels=None))

    def bounds(self, block: ForecastTable) -> tuple[Column, Coverage]:
        """Bounds of some test rows, and how they did.

        Args:
            block: whole series, each asked for once.

        Returns:
            (levels, 2, rows) lower and upper values, NaN where nothing is known; and their coverage.
        """
        sides = (_bounded(self._model, block), _bounded(self._naive, block.of("naive")))
        return sides[0].bounds, coverage(
            block, sides, levels=self.levels, reliability=self._model.plan.levels
        )

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the calibration, in sentences."""
        return self._model.notes

    def state(self) -> IntervalState:
        """What a bundle needs for new windows, as of the last test rows."""
        return self._model.state()


@dataclass(frozen=True, kw_only=True)
class Bounded:
    """Intervals around the rows of a block, and the distribution that those of many levels make together."""

    bounds: Column  # (reported levels, 2, rows)
    inside: NDArray[np.bool_]  # (all levels, rows)
    crps: Column  # (rows,) of the quantiles 0.05, 0.10 ... 0.95
    below: NDArray[np.int64]  # (rows,) how many of them the outcome is above


def _bounded(fitted: FittedIntervals, block: ForecastTable) -> Bounded:
    plan, actual = fitted.plan, block.actual
    half_widths = fitted.half_widths(block)
    inside = np.empty((len(plan.levels), len(block)), np.bool_)
    total = pinball_loss(actual, block.forecast, 0.5)
    below = (actual > block.forecast).astype(np.int64)
    for number, level in enumerate(plan.levels):
        # Each level by itself: how the others are drawn must not change how reliable it is.
        lower, upper = plan.bounds(half_widths, block, slice(number, number + 1))[0]
        inside[number] = (lower <= actual) & (actual <= upper)
        if level in _LADDER:
            total += pinball_loss(actual, lower, (1 - level) / 2) + pinball_loss(
                actual, upper, (1 + level) / 2
            )
            below += (actual > lower).astype(np.int64) + (actual > upper)
    quantiles = 2 * len(_LADDER) + 1
    return Bounded(
        bounds=plan.bounds(half_widths, block, slice(plan.reported)),
        inside=inside,
        crps=2 * total / quantiles,
        below=below,
    )


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
    rows_known: int  # rows behind `held`
    crps: Column  # (model and naive,) sum
    pit: NDArray[np.int64]  # (20,) outcomes between two neighbouring quantiles of the model's distribution
    ahead: int  # bars from an origin to the last outcome of its steps, which neighbours share
    origins: NDArray[np.int64]  # (bars,) when the forecasts were made; a bar may stand here more than once
    held_at: Column  # (levels, bars) outcomes inside, of forecasts made then
    rows_at: Column  # (bars,)

    def __add__(self, other: Coverage) -> Coverage:
        added = ("sums", "rows", "rows_without", "held", "rows_known", "crps", "pit")
        joined = ("origins", "held_at", "rows_at")
        changed: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in added}
        for name in joined:
            changed[name] = np.concatenate((getattr(self, name), getattr(other, name)), axis=-1)
        return replace(self, **changed)

    def metrics(self, split: str) -> Figures:
        """Flat figures, all tickers and steps pooled: `<split>_coverage` and so on, `_50` behind a further level's.

        Returns:
            coverage: share of outcomes inside, bounds included. width, winkler: the target's unit.
            naive_coverage, naive_width, naive_winkler: of intervals around the naive forecast.
            ticker_coverage: mean of the tickers' own coverages. coverage_p: of the test that coverage is what was
            promised. crps, naive_crps: of the distribution that intervals of all levels make; pit: its largest
            distance from a calibrated one. All None without rows.
        """
        figures: Figures = {}
        for number, suffix in enumerate(suffixes(self.levels)):
            for name, value in self._entry(number, slice(None), slice(None)).items():
                if name not in ("rows", "width_percent", "naive_width_percent"):
                    figures[f"{split}_{name}{suffix}"] = value
            figures[f"{split}_ticker_coverage{suffix}"] = self._ticker_coverage(number)
            figures[f"{split}_coverage_p{suffix}"] = self.test(number)["p"]
        for side, name in enumerate(("crps", "naive_crps")):
            figures[f"{split}_{name}"] = _mean(self.crps[side], self.rows_known)
        nominal = np.arange(1, len(self.pit)) / len(self.pit)
        observed = np.cumsum(self.pit)[:-1] / max(self.rows_known, 1)
        figures[f"{split}_pit"] = float(np.abs(observed - nominal).max()) if self.rows_known else None
        return figures

    def test(self, level: int) -> dict[str, Any]:
        """Is the coverage of a level what it promises? Pooled, with the outcomes of a bar as one observation, and
        ticker by ticker.

        Returns:
            stat, p: of a mean that overlaps in time, as Diebold and Mariano's; stat below 0 where too few are held.
            origins, why: as there. fails: `low`, `high` or None. tickers: those that fail Kupiec's test after Holm's
            correction, name -> coverage. Differences below one point (a ticker's two) are let pass.
        """
        nominal = self.levels[level]
        bars, place = np.unique(self.origins, return_inverse=True)
        held = np.bincount(place, self.held_at[level], len(bars))
        rows = np.bincount(place, self.rows_at, len(bars))
        horizon = self.ahead
        found = compare(held / np.maximum(rows, 1) - nominal, horizon=horizon).record(horizon=horizon)
        share = _mean(held.sum(), int(rows.sum()))
        fails = None
        if (
            share is not None
            and found["p"] is not None
            and found["p"] < ALPHA
            and abs(share - nominal) > _OFF
        ):
            fails = "low" if share < nominal else "high"
        return {
            **{name: found[name] for name in ("stat", "p", "origins", "why")},
            "coverage": share,
            "fails": fails,
            "tickers": self._failing(level) if len(self.names) > 1 else {},
        }

    def _failing(self, level: int) -> dict[str, float]:
        """Tickers whose coverage is not what a level promises. Windows that overlap count as one observation."""
        nominal, horizon = self.levels[level], self.rows.shape[1]
        rows, inside = self.rows.sum(axis=1), self.sums[0, _INSIDE, level].sum(axis=1)
        # A window's steps share bars with each other and with their neighbours'.
        size = horizon * self.ahead
        p = holm(kupiec((rows - inside) / size, rows / size, 1 - nominal).p)
        share = inside / np.maximum(rows, 1)
        bad = np.flatnonzero((p < ALPHA) & (np.abs(share - nominal) > _TICKER_OFF))
        return {self.names[number]: float(share[number]) for number in bad[np.argsort(share[bad])].tolist()}

    def record(self) -> dict[str, Any]:
        """Nested figures for evaluation.json.

        Returns:
            levels: of the intervals. rows: with bounds. rows_without: that have no bounds. test: see `test`. pit:
            outcomes between two neighbouring quantiles of 0.05 to 0.95, 20 of them.
            pooled: level -> figures. steps: level -> figures of each step, in order. tickers: name -> level ->
            figures, with the coverage of each step. reliability: nominal level beside the observed share.
            `width_percent` is in percent of the last value. A level is written as in `90`.
        """
        everything = slice(None)
        levels = [(number, f"{100 * level:g}") for number, level in enumerate(self.levels)]
        seen = np.flatnonzero(self.rows.sum(axis=1)).tolist()
        return {
            "levels": list(self.levels),
            "rows": int(self.rows.sum()),
            "rows_without": self.rows_without,
            "test": {key: self.test(number) for number, key in levels},
            "pit": self.pit.tolist(),
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
                    (level, *(_mean(held, self.rows_known) for held in self.held[:, number]))
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
    sides: tuple[Bounded, Bounded],
    *,
    levels: Sequence[float],
    reliability: Sequence[float],
) -> Coverage:
    """Add up rows; those without bounds are left out, of model and naive alike.

    Args:
        table: some rows.
        sides: intervals of the model and of the naive forecast.
        levels: of the bounds.
        reliability: nominal levels.
    """
    known = np.logical_and.reduce([np.isfinite(side.bounds).all(axis=(0, 1)) for side in sides])
    shape = (len(table.names), table.horizon)
    size = shape[0] * shape[1]
    place = (np.asarray(table.series, np.int64) * table.horizon + table.step - 1)[known]
    actual, naive = table.actual[known], np.abs(table.naive[known])
    sums = np.zeros((2, 4, len(levels), *shape))
    origins, at = np.unique(np.asarray(table.origin, np.int64)[known], return_inverse=True)
    held_at = np.zeros((len(levels), len(origins)))
    for side, found in enumerate(sides):
        for number, level in enumerate(levels):
            lower, upper = found.bounds[number][:, known]
            width, inside = upper - lower, (lower <= actual) & (actual <= upper)
            if not side:
                held_at[number] = np.bincount(at, inside, len(origins))
            with np.errstate(divide="ignore", invalid="ignore"):
                columns = (inside, width, winkler_loss(actual, lower, upper, level), width / naive)
            for what, column in enumerate(columns):
                sums[side, what, number] = np.bincount(place, weights=column, minlength=size).reshape(shape)
    return Coverage(
        names=table.names,
        levels=tuple(levels),
        reliability=tuple(reliability),
        sums=sums,
        rows=np.bincount(place, minlength=size).reshape(shape),
        rows_without=int(len(table) - known.sum()),
        held=np.stack([side.inside[:, known].sum(axis=1) for side in sides]),
        rows_known=int(known.sum()),
        crps=np.asarray([side.crps[known].sum() for side in sides]),
        pit=np.bincount(sides[0].below[known], minlength=2 * len(_LADDER) + 2),
        ahead=table.overlap(),
        origins=origins,
        held_at=held_at,
        rows_at=np.bincount(at, minlength=len(origins)).astype(np.float64),
    )


def _mean(total: float, rows: int) -> float | None:
    value = float(total) / rows if rows else math.inf
    return value if math.isfinite(value) else None
