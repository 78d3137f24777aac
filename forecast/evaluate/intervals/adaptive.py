"""Adaptive conformal intervals: half-widths that follow the market, bar by bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge, Le

from forecast.evaluate.intervals.conformal import (
    IntervalPlan,
    Levels,
    Residuals,
    check_levels,
    half_width_of,
    rank,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.table import ForecastTable
    from forecast.model.intervals import IntervalState

    Column = NDArray[np.float64]

# No forecast is due then: what waits for it is never known.
_NEVER = np.iinfo(np.int32).max
# Streams whose latest residuals are sorted at once.
_SORTED = 4096


class Adaptive:
    """As wide as the latest residuals of a ticker and step say; wider after misses, narrower after hits.

    At each origin, the outcomes known by then move the share of misses that is asked for,
    `alpha += gamma (1 - level - missed)`, and the half-width is the residual, of the latest `window`, that leaves out
    that share. The residuals of validation come first. For step h the last h - 1 outcomes are not known yet and not
    used.

    Where alpha asks for more than the largest residual at hand, that one stands for it, since no table holds an
    infinite bound; alpha stays in [0, 1], so that a crisis does not widen intervals long after it.

    Args:
        levels: shares of outcomes that shall lie inside, largest first.
        gamma: how far one miss moves alpha; 0 leaves rolling split conformal.
        window: latest residuals of a ticker and step that are looked at.
        min_residuals: validation residuals a ticker needs at a step; with fewer, its window is filled up, on the old
            side, with residuals from all tickers, evenly spaced by size.
        scaled: divide residuals by a volatility forecast (forecast.model.spread): widths then follow the market before
            it is missed, not after.

    Raises:
        UserError: a level that is none, or one that `window` residuals cannot tell.

    Source: Gibbs and Candes (2021), Adaptive Conformal Inference Under Distribution Shift,
    https://arxiv.org/abs/2106.00170.
    """

    def __init__(
        self,
        *,
        levels: Levels,
        gamma: Annotated[float, Ge(0), Le(1)] = 0.01,
        window: Annotated[int, Ge(1)] = 250,
        min_residuals: Annotated[int, Ge(1)] = 250,
        scaled: bool = False,
    ) -> None:
        check_levels(levels, key="intervals.window", residuals=window)
        self.levels = tuple(float(level) for level in levels)
        self.scaled = scaled
        self.gamma = gamma
        self.window = window
        self.min_residuals = min_residuals

    def fit(self, table: ForecastTable, plan: IntervalPlan) -> FittedAdaptive:
        """See Intervals."""
        residuals = Residuals(plan, table)
        recent, held = self._past(residuals)
        notes = residuals.notes(
            self.min_residuals, instead="their intervals start from the residuals of all tickers"
        )
        return FittedAdaptive(plan, gamma=self.gamma, recent=recent, held=held, notes=notes)

    def _past(self, residuals: Residuals) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """(streams, kinds, window) the latest validation residuals, oldest first, and how many there are of each."""
        plan, window, counts = residuals.plan, self.window, residuals.counts
        recent = np.full((plan.num_streams, len(plan.kinds), window), np.inf, np.float32)
        for stream in np.flatnonzero(counts):
            stop = residuals.starts[stream] + counts[stream]
            latest = residuals.scores[:, max(residuals.starts[stream], stop - window) : stop]
            recent[stream, :, window - latest.shape[1] :] = latest
        held = np.minimum(counts, window)
        for step in range(plan.horizon):
            streams = np.arange(step, plan.num_streams, plan.horizon)
            short = [own for own in np.unique(counts[streams]) if own < self.min_residuals and own < window]
            if not short:
                continue
            pooled = residuals.of_step(step).astype(np.float32)  # (kinds, residuals)
            for own in short:
                # Never more than the other tickers have: their residuals, not the same ones twice.
                fill = min(window - own, pooled.shape[1] - own)
                if fill <= 0:
                    continue
                alike = streams[counts[streams] == own]
                spaced = ((np.arange(fill) + 0.5) * pooled.shape[1] / fill).astype(np.int64)
                recent[alike, :, window - own - fill : window - own] = pooled[:, spaced]
                held[alike] = own + fill
        return recent, held


class FittedAdaptive:
    """The latest residuals of each stream, and the share of misses it asks for.

    Residuals are 32-bit: sorting them is what costs, and 7 digits of a width are plenty.

    Args:
        plan: of the run.
        gamma: how far one miss moves the share of misses that is asked for.
        recent: (streams, kinds, window) residuals, oldest first; infinite where there are none yet, on the left.
        held: (streams,) how many of them there are.
        notes: on the calibration.
    """

    def __init__(
        self,
        plan: IntervalPlan,
        *,
        gamma: float,
        recent: NDArray[np.float32],
        held: NDArray[np.int64],
        notes: list[str],
    ) -> None:
        self.plan = plan
        self.notes = notes
        self._gamma = gamma
        self._recent = recent
        self._held = held
        self._target = 1 - np.asarray(plan.levels)  # (levels,) share of misses that is wanted
        self._alpha = np.tile(self._target, (len(recent), 1))  # (streams, levels) that is asked for

    def half_widths(self, block: ForecastTable) -> Column:
        """Half-widths of whole series of test rows, each from the outcomes up to its origin.

        Args:
            block: ordered, of series that were not asked for before.

        Returns:
            (levels, rows); NaN where a stream has no residual yet, or a row no residual in shares of its last value.
        """
        scores = self.plan.scores(block)
        known = np.isfinite(scores).all(axis=0)
        found = np.full((len(self.plan.levels), len(block)), np.nan)
        if known.any():
            streams = self.plan.streams(block)[known]
            times, origins = np.asarray(block.time)[known], np.asarray(block.origin)[known]
            found[:, known] = self._follow(streams, times, origins, scores[:, known].astype(np.float32))
        return found

    def state(self) -> IntervalState:
        """What a bundle needs for new windows: the half-widths after the last outcome of the test rows."""
        plan = self.plan
        pieces = [
            self._ask(self._recent[some].copy(), self._alpha[some], self._held[some])
            for some in (slice(first, first + _SORTED) for first in range(0, len(self._held), _SORTED))
        ]
        table = np.concatenate(pieces).T
        pooled = np.stack([half_width_of(self._of_step(step), plan) for step in range(plan.horizon)], axis=1)
        # A ticker without a single residual has the pooled half-widths.
        unknown = np.isnan(table)
        table[unknown] = np.tile(pooled, len(plan.names))[unknown]
        own = np.any(~unknown.reshape(len(plan.levels), len(plan.names), plan.horizon), axis=(0, 2))
        return plan.state(table, pooled, own=np.asarray(own))

    def _follow(
        self,
        streams: NDArray[np.int64],
        times: NDArray[np.integer[Any]],
        origins: NDArray[np.integer[Any]],
        scores: NDArray[np.float32],
    ) -> Column:
        """A loop over the rows of a stream, arithmetic over streams.

        Args:
            streams: (rows,) in any order; within one, oldest first.
            times: (rows,) when the outcome is known.
            origins: (rows,) when the forecast was made.
            scores: (kinds, rows) residuals that will be known at `times`.

        Returns:
            (levels, rows)
        """
        order = np.argsort(streams, kind="stable")
        present, starts, counts = np.unique(streams[order], return_index=True, return_counts=True)
        # Longest first, so that those that still go on are always the first ones.
        longest = np.argsort(-counts, kind="stable")
        present, starts, counts = present[longest], starts[longest], counts[longest]
        most, lines = int(counts[0]), np.arange(len(present))
        line = np.repeat(lines, counts)
        turn = np.arange(len(line)) - np.repeat(np.cumsum(counts) - counts, counts)
        row = order[np.repeat(starts, counts) + turn]
        rows = np.zeros((len(present), most), np.int64)
        rows[line, turn] = row
        # What each stream learns in turn.
        due_at = np.full((len(present), most + 1), _NEVER, np.int32)
        due_at[line, turn] = times[row]
        queue = np.full((len(present), scores.shape[0], most), np.inf, np.float32)
        queue[line, :, turn] = scores[:, row].T
        missed = np.zeros((len(present), len(self._target), most), np.bool_)
        # (streams, kinds, window + rows): the window after k outcomes begins at k.
        window = self._recent.shape[2]
        past = np.lib.stride_tricks.sliding_window_view(
            np.concatenate((self._recent[present], queue), axis=2), window, axis=2
        )
        alpha, held = self._alpha[present], self._held[present]
        known = np.zeros(len(present), np.int64)  # outcomes
        found = np.full((len(self._target), len(streams)), np.nan)
        going = (counts[:, None] > np.arange(most)).sum(axis=0)
        for number in range(most):
            live = lines[: going[number]]
            now = rows[live, number]
            while True:
                due = live[due_at[live, known[live]] <= origins[now]]
                if not len(due):
                    break
                alpha[due] = self._after(alpha[due], missed[due, :, known[due]])
                known[due] += 1
            width = self._ask(past[live, :, known[live]], alpha[live], held[live] + known[live])
            found[:, now] = width.T
            missed[live, :, number] = queue[live, :, number][:, self.plan.kind] > width
        for number in range(most):  # the outcomes that come after the last origin
            due = lines[(known <= number) & (number < counts)]
            alpha[due] = self._after(alpha[due], missed[due, :, number])
        self._alpha[present] = alpha
        self._held[present] = np.minimum(held + counts, window)
        self._recent[present] = past[lines, :, counts]
        return found

    def _after(self, alpha: Column, missed: NDArray[np.bool_]) -> Column:
        """The share of misses aimed at after an outcome: smaller after a miss, larger after a hit, in [0, 1]."""
        return np.asarray(np.clip(alpha + self._gamma * (self._target - missed), 0.0, 1.0))

    def _ask(self, window: NDArray[np.float32], alpha: Column, held: NDArray[np.int64]) -> Column:
        """(streams, levels) half-width that leaves out a share alpha of the residuals in `window`, sorted here."""
        window.sort(axis=2)
        count = np.minimum(held, window.shape[2])[:, None]
        width = window[np.arange(len(window))[:, None], self.plan.kind, rank(count, 1 - alpha) - 1]
        return np.where(count > 0, width.astype(np.float64), np.nan)

    def _of_step(self, step: int) -> NDArray[np.float32]:
        """(kinds, residuals) the latest of all tickers at a step, from 0, smallest first."""
        whole = self._recent[step :: self.plan.horizon]  # (series, kinds, window)
        pooled = np.sort(whole.transpose(1, 0, 2).reshape(whole.shape[1], -1), axis=1)
        return pooled[:, : int(self._held[step :: self.plan.horizon].sum())]
