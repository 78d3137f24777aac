"""Intervals from the residuals of validation: half-widths fitted once (split conformal), and what all kinds share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import numpy as np
from annotated_types import Ge, Gt, Lt, MinLen

from forecast.errors import UserError
from forecast.evaluate.table import BLOCK_ROWS
from forecast.model.intervals import IntervalState, Pairs, SharesOf, bounds, quantile_pairs, scale_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.table import ForecastTable

    Column = NDArray[np.float64]
    Index = NDArray[np.integer[Any]]

Levels = Annotated[list[Annotated[float, Gt(0), Lt(1)]], MinLen(1)]


class Intervals(Protocol):
    """The `intervals` node of a config."""

    levels: tuple[float, ...]
    scaled: bool  # whether residuals are divided by the volatility forecast of ForecastTable.spread

    def fit(self, table: ForecastTable, plan: IntervalPlan) -> FittedIntervals:
        """Learn from the validation rows of a fold.

        Args:
            table: ordered.
            plan: of these intervals, see plan_of.
        """
        ...


class FittedIntervals(Protocol):
    """Half-widths of new rows."""

    plan: IntervalPlan

    def half_widths(self, block: ForecastTable) -> Column:
        """(all levels, rows) of a block of whole series of the test rows, in units of `IntervalPlan.scale`; or
        (all levels, 2, rows), below and above the forecast."""
        ...

    def state(self) -> IntervalState:
        """What a bundle needs for new windows, as of the last row."""
        ...

    @property
    def notes(self) -> list[str]:
        """What a reader must know, in sentences."""
        ...


def check_levels(levels: Sequence[float], *, key: str, residuals: int) -> None:
    """Refuse levels that name no interval, name one twice, or ask for more than the residuals can tell.

    Args:
        levels: shares of outcomes.
        key: of the config, that says how many residuals there are.
        residuals: that number.

    Raises:
        UserError: in one line.
    """
    shown = f"intervals.levels={[float(level) for level in levels]}"
    if not levels:
        raise UserError(f"{shown}: must have at least 1 item")
    if not all(0 < level < 1 for level in levels):
        raise UserError(f"{shown}: each must be > 0 and < 1, a share of outcomes such as 0.9")
    names = [f"{100 * level:g}" for level in levels]
    if len(set(names)) != len(names):
        raise UserError(f"{shown}: names a level twice")
    if list(levels) != sorted(levels, reverse=True):
        raise UserError(f"{shown}: must stand largest first: {sorted(map(float, levels), reverse=True)}")
    # The largest of n residuals holds n / (n + 1) of new outcomes, and nothing holds more.
    needed = math.ceil(round(levels[0] / (1 - levels[0]), 6))
    if residuals < needed:
        raise UserError(
            f"{key}={residuals}: intervals.levels={levels[0]} needs at least {needed:,} residuals"
        )


@dataclass(frozen=True)
class IntervalPlan:
    """The layout of everything that is kept a ticker and step.

    A stream is one ticker's forecasts of one step, number `series * horizon + step - 1`. Residuals of prices are shares
    of the last one, so that price levels do not matter. A level whose two quantiles the network answers with has scores
    of its own, max(lower quantile - actual, actual - upper quantile); all others share |actual - forecast|.

    Args:
        names: of the tickers.
        horizon: steps forecast at once.
        levels: those of the config first.
        reported: how many of them are the config's; the others only say how reliable the intervals are.
        quantile_levels: of the network; None when it answers with values alone.
        shares_of: what residuals are shares of, see ForecastTable.shares_of.
        scaled: whether they are divided by the volatility forecast as well.

    Source: Vovk, Gammerman and Shafer (2005), Algorithmic Learning in a Random World; for quantiles Romano, Patterson
    and Candes (2019), Conformalized Quantile Regression, https://arxiv.org/abs/1905.03222.
    """

    names: Sequence[str]
    horizon: int
    levels: tuple[float, ...]
    reported: int
    quantile_levels: tuple[float, ...] | None
    shares_of: SharesOf = "naive"
    scaled: bool = False

    @property
    def num_streams(self) -> int:
        """Streams: one a ticker and step."""
        return len(self.names) * self.horizon

    @cached_property
    def pairs(self) -> Pairs:
        """The quantiles that each level's residuals are measured from, see quantile_pairs."""
        return quantile_pairs(self.levels, self.quantile_levels)

    @cached_property
    def kinds(self) -> Pairs:
        """The distinct ways in which a residual is measured."""
        return tuple(dict.fromkeys(self.pairs))

    @cached_property
    def kind(self) -> NDArray[np.int64]:
        """(levels,) index into kinds."""
        return np.asarray([self.kinds.index(pair) for pair in self.pairs], dtype=np.int64)

    def streams(self, block: ForecastTable) -> NDArray[np.int64]:
        """(rows,) number of the stream each row belongs to."""
        return np.asarray(block.series, np.int64) * self.horizon + (block.step - 1)

    def scores(self, block: ForecastTable) -> Column:
        """(kinds, rows) how far the outcome lay outside, in units of the last value; not finite where that is 0."""
        found = np.empty((len(self.kinds), len(block)))
        with np.errstate(divide="ignore", invalid="ignore"):
            for number, pair in enumerate(self.kinds):
                if pair is None:
                    distance = np.abs(block.actual - block.forecast)
                else:
                    assert block.quantiles is not None, "a quantile network's rows without its quantiles"
                    low, high = block.quantiles[:, pair[0]], block.quantiles[:, pair[1]]
                    distance = np.maximum(low - block.actual, block.actual - high)
                found[number] = distance / np.abs(self.scale(block))
        return found

    def scale(self, block: ForecastTable) -> Column:
        """(rows,) what half-widths are shares of; negative where no bound is to be floored at 0."""
        scale = scale_of(self.shares_of, block.forecast, block.naive)
        if not self.scaled:
            return scale
        assert block.spread is not None, "rows without a volatility forecast"
        return scale * block.spread

    def bounds(self, half_widths: Column, block: ForecastTable, levels: slice) -> Column:
        """(levels, 2, rows) lower and upper values from the (all levels, rows) half-widths."""
        return bounds(
            half_widths[levels],
            block.forecast,
            self.scale(block),
            pairs=self.pairs[levels],
            quantiles=block.quantiles,
            chances=self.shares_of == "chance",
        )

    def state(self, table: Column, pooled: Column, *, own: NDArray[np.bool_]) -> IntervalState:
        """The reported levels as a bundle keeps them; a spread is added by whoever fitted it.

        Args:
            table: (levels, streams) half-widths, or (levels, 2, streams).
            pooled: likewise of each step.
            own: (series,) which tickers have half-widths of their own; the others are left to the pooled ones.
        """
        kept = table[: self.reported]
        by_series = kept.reshape(*kept.shape[:-1], len(self.names), self.horizon)
        return IntervalState(
            levels=self.levels[: self.reported],
            quantile_levels=self.quantile_levels,
            pooled=pooled[: self.reported],
            own={self.names[number]: by_series[..., number, :] for number in np.flatnonzero(own).tolist()},
            shares_of=self.shares_of,
        )


class Residuals:
    """Validation residuals by stream, oldest first within one.

    Args:
        plan: of the run.
        table: ordered validation rows; one whose last value is 0 has no residual in shares of it.
    """

    def __init__(self, plan: IntervalPlan, table: ForecastTable) -> None:
        self.plan = plan
        self.counts = np.zeros(plan.num_streams, np.int64)
        scores = [np.empty((len(plan.kinds), 0))]
        for block in table.blocks():
            found, streams = plan.scores(block), plan.streams(block)
            known = np.isfinite(found).all(axis=0)
            if not known.all():
                found, streams = found[:, known], streams[known]
            if plan.horizon > 1:
                found = found[:, np.argsort(streams, kind="stable")]
            self.counts += np.bincount(streams, minlength=plan.num_streams)
            scores.append(found)
        self.scores = np.concatenate(scores, axis=1)  # (kinds, residuals)
        self.starts = np.cumsum(self.counts) - self.counts  # (streams,)

    def of_step(self, step: int) -> Column:
        """(kinds, residuals) of all tickers at a step, from 0, smallest first."""
        if self.plan.horizon == 1:
            return np.sort(self.scores, axis=1)
        mine = np.repeat(np.arange(self.plan.num_streams) % self.plan.horizon == step, self.counts)
        return np.sort(self.scores[:, mine], axis=1)

    def own_half_widths(self, streams: Index) -> Column:
        """(levels, streams) that hold their share of the residuals of each stream itself."""
        plan = self.plan
        found = np.empty((len(plan.levels), len(streams)))
        ends = np.cumsum(self.counts[streams])
        first = 0
        while first < len(streams):
            before = ends[first - 1] if first else 0
            stop = max(int(np.searchsorted(ends, before + BLOCK_ROWS, side="right")), first + 1)
            some = streams[first:stop]
            count = self.counts[some]
            rows = np.repeat(self.starts[some] - (np.cumsum(count) - count), count) + np.arange(count.sum())
            place = np.repeat(np.arange(len(some)), count)
            begins = np.cumsum(count) - count
            for kind in range(len(plan.kinds)):
                values = self.scores[kind, rows]
                by_size = values[np.lexsort((values, place))]
                for level in np.flatnonzero(plan.kind == kind):
                    ranks = rank(count, np.asarray(plan.levels[level]))
                    found[level, first:stop] = by_size[begins + ranks - 1]
            first = stop
        return found

    def pooled_half_widths(self) -> Column:
        """(levels, horizon) of all tickers together; NaN where there is no residual."""
        return np.stack(
            [half_width_of(self.of_step(step), self.plan) for step in range(self.plan.horizon)], axis=1
        )

    def notes(self, min_residuals: int, *, instead: str) -> list[str]:
        """What a reader of the intervals must know of their calibration.

        Args:
            min_residuals: wanted of each ticker and step.
            instead: what stands for a ticker that has fewer.
        """
        plan = self.plan
        levels = plan.levels[: plan.reported]
        fewest = self.counts.reshape(-1, plan.horizon).min(axis=1)  # (series,) of any step
        total = int(self.counts.reshape(-1, plan.horizon).sum(axis=0).min())
        if not total:
            return ["no validation residual, so there are no intervals"]
        notes = []
        if total < min_residuals:
            error = 100 * np.sqrt(levels[0] * (1 - levels[0]) / (total + 2))
            notes.append(
                f"calibrated on {total} validation residuals a step, fewer than {min_residuals}: the coverage of a "
                f"{100 * levels[0]:g} % interval may be off by {error:.1f} points (one standard error)"
            )
        short = [plan.names[number] for number in np.flatnonzero(fewest < min_residuals).tolist()]
        if short and len(plan.names) > 1:
            some = ", ".join(short[:5]) + (", ..." if len(short) > 5 else "")
            notes.append(
                f"{len(short)} of {len(plan.names)} tickers have fewer than {min_residuals} validation residuals a "
                f"step ({some}): {instead}"
            )
        if total < min_residuals and (total + 1) * levels[0] > total:
            notes.append(f"too few residuals for {100 * levels[0]:g} %: the largest of them stands for it")
        pairs = zip(levels, plan.pairs[: plan.reported], strict=True)
        plain = [f"{100 * level:g} %" for level, pair in pairs if pair is None]
        if plan.quantile_levels is not None and plain:
            notes.append(
                f"the network does not answer with the quantiles of {', '.join(plain)}: such intervals are "
                "symmetric around the forecast"
            )
        return notes


def rank(count: NDArray[np.int64], level: Column) -> NDArray[np.int64]:
    """Which of `count` residuals, smallest first and from 1, holds a share `level` of new outcomes.

    It is ceil((count + 1) level); where that is more than there are, the largest stands for it.
    """
    # 100 * 0.9 may come out a hair above 90.
    found = np.ceil((count + 1) * level - 1e-9).astype(np.int64)
    return np.clip(found, 1, np.maximum(count, 1))


def half_width_of(smallest_first: NDArray[np.floating[Any]], plan: IntervalPlan) -> Column:
    """(levels,) half-width that each level wants of (kinds, residuals); NaN where there are none."""
    count = smallest_first.shape[1]
    if not count:
        return np.full(len(plan.levels), np.nan)
    ranks = rank(np.full(len(plan.levels), count), np.asarray(plan.levels))
    return np.asarray(smallest_first[plan.kind, ranks - 1], dtype=np.float64)


class SplitConformal:
    """As wide as the validation residuals of a ticker and step say, the same on every test row.

    If validation and test residuals are exchangeable, at least a share `level` of the outcomes lies inside. Markets
    that turn wilder than they were in validation break that, and the intervals stay as they are: see Adaptive.

    Args:
        levels: shares of outcomes that shall lie inside, largest first.
        min_residuals: validation residuals a ticker needs at a step; with fewer, all tickers' stand for its own.
        scaled: divide residuals by a volatility forecast (forecast.model.spread), so that widths follow the market.

    Raises:
        UserError: a level that is none, or one that `min_residuals` residuals cannot tell.

    Source: Vovk, Gammerman and Shafer (2005), Algorithmic Learning in a Random World; Lei et al. (2018),
    Distribution-Free Predictive Inference for Regression, https://arxiv.org/abs/1604.04173.
    """

    def __init__(
        self, *, levels: Levels, min_residuals: Annotated[int, Ge(1)] = 250, scaled: bool = False
    ) -> None:
        check_levels(levels, key="intervals.min_residuals", residuals=min_residuals)
        self.scaled = scaled
        self.levels = tuple(float(level) for level in levels)
        self.min_residuals = min_residuals

    def fit(self, table: ForecastTable, plan: IntervalPlan) -> FittedSplitConformal:
        """See Intervals."""
        residuals = Residuals(plan, table)
        pooled = residuals.pooled_half_widths()
        own = residuals.counts >= self.min_residuals  # (streams,)
        half_widths = np.tile(pooled, len(plan.names))
        if own.any():
            half_widths[:, own] = residuals.own_half_widths(np.flatnonzero(own))
        return FittedSplitConformal(
            plan=plan,
            table=half_widths,
            pooled=pooled,
            own=np.asarray(own.reshape(-1, plan.horizon).any(axis=1)),
            notes=residuals.notes(
                self.min_residuals, instead="the residuals of all tickers stand for theirs"
            ),
        )


@dataclass(frozen=True)
class FittedSplitConformal:
    """One half-width a level and stream."""

    plan: IntervalPlan
    table: Column  # (levels, streams)
    pooled: Column  # (levels, horizon)
    own: NDArray[np.bool_]  # (series,) with residuals enough of their own
    notes: list[str]

    def half_widths(self, block: ForecastTable) -> Column:
        """See FittedIntervals."""
        return self.table[:, self.plan.streams(block)]

    def state(self) -> IntervalState:
        """See FittedIntervals."""
        return self.plan.state(self.table, self.pooled, own=self.own)


def plan_of(
    table: ForecastTable,
    intervals: Intervals,
    *,
    quantile_levels: Sequence[float] | None = None,
    reliability: Sequence[float] = (),
) -> IntervalPlan:
    """The plan of a table's intervals.

    Args:
        table: of a fold's validation rows.
        intervals: as the config has them.
        quantile_levels: of the network; None when it answers with values alone.
        reliability: further levels, behind those of the config, that only say how reliable the intervals are.
    """
    return IntervalPlan(
        names=table.names,
        horizon=table.horizon,
        levels=(*intervals.levels, *reliability),
        reported=len(intervals.levels),
        quantile_levels=None if quantile_levels is None else tuple(quantile_levels),
        shares_of=table.shares_of,
        scaled=intervals.scaled,
    )
