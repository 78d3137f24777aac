"""Adaptive conformal inference of many streams at once: a loop over days, arithmetic over tickers."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np

from forecast.evaluate.intervals.plan import Plan, rank

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A day no forecast is made on: what waits for it is never known.
_NEVER = np.iinfo(np.int32).max
# Streams whose latest residuals are sorted at once when no day is told.
_MOST = 4096


class Streams:
    """The latest residuals of each stream, what it asks for, and what it still waits to learn.

    Residuals are 32-bit: sorting them is what costs, and 7 digits of a width are plenty.

    Args:
        plan: of the run.
        gamma: how far one miss moves the share of misses that is asked for.
        recent: (streams, kinds, window) residuals, oldest first; infinite where there are none yet, on the left.
        held: (streams,) how many of them there are.
    """

    def __init__(
        self, plan: Plan, *, gamma: float, recent: NDArray[np.float32], held: NDArray[np.int64]
    ) -> None:
        count, kinds, self._window = recent.shape
        levels = len(plan.levels)
        self._plan = plan
        self._gamma = gamma
        self._recent = recent
        self._held = held
        self._target = 1 - np.asarray(plan.levels)  # (levels,) share of misses that is wanted
        self._alpha = np.tile(self._target, (count, 1))  # (streams, levels) that is asked for
        # Forecasts whose day has not come: the day, the residuals, and whether each level misses it.
        self._waiting = np.zeros(count, np.int64)
        self._days = np.full((count, plan.horizon), _NEVER, np.int32)
        self._scores = np.full((count, kinds, plan.horizon), np.inf, np.float32)
        self._missed = np.zeros((count, levels, plan.horizon), np.bool_)

    def widths(
        self,
        streams: NDArray[np.int64],
        days: NDArray[np.int32],
        origin: NDArray[np.int32],
        scores: NDArray[np.float32],
    ) -> NDArray[np.float64]:
        """Widths of some forecasts, each from the outcomes up to the day it was made on.

        Args:
            streams: (rows,) in any order; within one, oldest first, later than all that came before.
            days: (rows,) the day that is forecast.
            origin: (rows,) the day the forecast was made.
            scores: (kinds, rows) residuals that will be known on `days`.

        Returns:
            (levels, rows); NaN where a stream has no residual yet.
        """
        found = np.full((len(self._target), len(streams)), np.nan)
        if not len(streams):
            return found
        order = np.argsort(streams, kind="stable")
        present, starts, counts = np.unique(streams[order], return_index=True, return_counts=True)
        # Longest first, so that those that still go on are always the first ones.
        longest = np.argsort(-counts, kind="stable")
        present, starts, counts = present[longest], starts[longest], counts[longest]
        waiting = self._waiting[present]
        depth, most, lines = int(waiting.max()), int(counts[0]), np.arange(len(present))
        # What each stream learns in turn: what it waits for, then these rows.
        queue_days = np.full((len(present), depth + most + 1), _NEVER, np.int32)
        queue_scores = np.full((len(present), scores.shape[0], depth + most), np.inf, np.float32)
        queue_missed = np.zeros((len(present), len(self._target), depth + most), np.bool_)
        queue_days[:, :depth] = self._days[present, :depth]
        queue_scores[..., :depth] = self._scores[present, :, :depth]
        queue_missed[..., :depth] = self._missed[present, :, :depth]
        line = np.repeat(lines, counts)
        turn = np.arange(len(line)) - np.repeat(np.cumsum(counts) - counts, counts)
        row = order[np.repeat(starts, counts) + turn]
        rows = np.zeros((len(present), most), np.int64)
        rows[line, turn] = row
        queue_days[line, waiting[line] + turn] = days[row]
        queue_scores[line, :, waiting[line] + turn] = scores[:, row].T
        # (streams, kinds, window + queue): the window after k outcomes begins at k.
        past = np.lib.stride_tricks.sliding_window_view(
            np.concatenate((self._recent[present], queue_scores), axis=2), self._window, axis=2
        )
        alpha, held = self._alpha[present], self._held[present]
        known = np.zeros(len(present), np.int64)  # of the queue
        going = (counts[:, None] > np.arange(most)).sum(axis=0)
        for number in range(most):
            live = lines[: going[number]]
            now = rows[live, number]
            while True:
                due = live[queue_days[live, known[live]] <= origin[now]]
                if not len(due):
                    break
                alpha[due] = self._after(alpha[due], queue_missed[due, :, known[due]])
                known[due] += 1
            width = self._ask(past[live, :, known[live]], alpha[live], held[live] + known[live])
            found[:, now] = width.T
            place = waiting[live] + number
            queue_missed[live, :, place] = queue_scores[live, :, place][:, self._plan.kind] > width
        self._alpha[present] = alpha
        self._held[present] = np.minimum(held + known, self._window)
        self._recent[present] = past[lines, :, known]
        self._keep(present, waiting + counts - known, known, queue_days, queue_scores, queue_missed)
        return found

    def latest(self) -> Streams:
        """These streams once all that they wait for has come; they themselves stay as they are."""
        other = deepcopy(self)
        for number in range(int(self._waiting.max(initial=0))):
            due = np.flatnonzero(self._waiting > number)
            other._alpha[due] = self._after(other._alpha[due], self._missed[due, :, number])
        for first in range(0, len(self._held), _MOST):
            some = np.arange(first, min(first + _MOST, len(self._held)))
            past = np.concatenate((self._recent[some], self._scores[some]), axis=2)
            view = np.lib.stride_tricks.sliding_window_view(past, self._window, axis=2)
            other._recent[some] = view[np.arange(len(some)), :, self._waiting[some]]
        other._held = np.minimum(self._held + self._waiting, self._window)
        other._waiting[:] = 0
        return other

    def now(self) -> NDArray[np.float64]:
        """(levels, streams) widths of forecasts made now; NaN where a stream has no residual."""
        pieces = [
            self._ask(
                self._recent[first : first + _MOST].copy(),
                self._alpha[first : first + _MOST],
                self._held[first : first + _MOST],
            )
            for first in range(0, len(self._held), _MOST)
        ]
        return np.concatenate(pieces).T

    def of_step(self, step: int) -> NDArray[np.float32]:
        """(kinds, residuals) the latest of all tickers at a step, from 0, smallest first."""
        whole = self._recent[step :: self._plan.horizon]  # (series, kinds, window)
        pooled = np.sort(whole.transpose(1, 0, 2).reshape(whole.shape[1], -1), axis=1)
        return pooled[:, : int(self._held[step :: self._plan.horizon].sum())]

    def _after(self, alpha: NDArray[np.float64], missed: NDArray[np.bool_]) -> NDArray[np.float64]:
        """What is asked for after an outcome: fewer misses after a miss, more after a hit, never out of [0, 1]."""
        return np.asarray(np.clip(alpha + self._gamma * (self._target - missed), 0.0, 1.0))

    def _ask(
        self, window: NDArray[np.float32], alpha: NDArray[np.float64], held: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """(streams, levels) width that leaves out a share alpha of the residuals in `window`, which is sorted here."""
        window.sort(axis=2)
        count = np.minimum(held, self._window)[:, None]
        width = window[np.arange(len(window))[:, None], self._plan.kind, rank(count, 1 - alpha) - 1]
        return np.where(count > 0, width.astype(np.float64), np.nan)

    def _keep(
        self,
        present: NDArray[np.int64],
        left: NDArray[np.int64],
        known: NDArray[np.int64],
        days: NDArray[np.int32],
        scores: NDArray[np.float32],
        missed: NDArray[np.bool_],
    ) -> None:
        """Put what is still unknown at the head of the queues."""
        more = int(left.max()) - self._days.shape[1]
        if more > 0:
            self._days = np.pad(self._days, ((0, 0), (0, more)), constant_values=_NEVER)
            self._scores = np.pad(self._scores, ((0, 0), (0, 0), (0, more)), constant_values=np.inf)
            self._missed = np.pad(self._missed, ((0, 0), (0, 0), (0, more)))
        self._waiting[present] = left
        line = np.repeat(np.arange(len(present)), left)
        place = np.arange(len(line)) - np.repeat(np.cumsum(left) - left, left)
        stream, at = present[line], known[line] + place
        self._days[stream, place] = days[line, at]
        self._scores[stream, :, place] = scores[line, :, at]
        self._missed[stream, :, place] = missed[line, :, at]
