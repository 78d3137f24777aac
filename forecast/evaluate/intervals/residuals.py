"""The validation residuals of a run, and what they are too few for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forecast.evaluate.intervals.plan import Plan, rank

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.rows import Rows


class Residuals:
    """Residuals by stream, gathered in pieces.

    Args:
        plan: of the run.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._streams: list[NDArray[np.int64]] = []
        self._scores: list[NDArray[np.float64]] = []

    def add(self, rows: Rows, quantiles: NDArray[np.float64] | None) -> None:
        """Count some rows; one whose last Close is 0 has no residual in shares of it."""
        scores = self.plan.scores(rows, quantiles)
        known = np.isfinite(scores).all(axis=0)
        self._streams.append(self.plan.streams(rows)[known])
        self._scores.append(scores[:, known])

    def settle(self) -> None:
        """Sort what was gathered by stream, oldest first within one."""
        kinds = len(self.plan.kinds)
        streams = np.concatenate([np.empty(0, np.int64), *self._streams])
        order = np.argsort(streams, kind="stable")
        self._streams, scores = [], np.concatenate([np.empty((kinds, 0)), *self._scores], axis=1)
        self._scores = []
        self.streams = streams[order]  # (residuals,)
        self.scores = scores[:, order]  # (kinds, residuals)
        self.counts = np.bincount(self.streams, minlength=self.plan.num_streams)  # (streams,)
        self.starts = np.cumsum(self.counts) - self.counts

    def by_size(self) -> NDArray[np.float64]:
        """(kinds, residuals) smallest first within each stream."""
        return np.stack([kind[np.lexsort((kind, self.streams))] for kind in self.scores])

    def of_step(self, step: int) -> NDArray[np.float64]:
        """(kinds, residuals) of all tickers at a step, from 0, smallest first."""
        return np.sort(self.scores[:, self.streams % self.plan.horizon == step], axis=1)

    def pooled_widths(self) -> NDArray[np.float64]:
        """(levels, horizon) of all tickers together; NaN where there is no residual."""
        widths = np.full((len(self.plan.levels), self.plan.horizon), np.nan)
        for step in range(self.plan.horizon):
            widths[:, step] = width_of(self.of_step(step), self.plan)
        return widths

    def notes(self, min_residuals: int, *, instead: str) -> list[str]:
        """What a reader of the intervals must know of their calibration.

        Args:
            min_residuals: wanted of each ticker and step.
            instead: what stands for a ticker that has fewer.
        """
        plan = self.plan
        levels = plan.levels[: plan.shown]
        fewest = self.counts.reshape(-1, plan.horizon).min(axis=1)  # (series,) of any step
        total = int(self.counts.reshape(-1, plan.horizon).sum(axis=0).min())
        if not total:
            return ["no validation residual, so there are no intervals"]
        told = []
        if total < min_residuals:
            error = 100 * np.sqrt(levels[0] * (1 - levels[0]) / (total + 2))
            told.append(
                f"calibrated on {total} validation residuals a step, fewer than {min_residuals}: the coverage of a "
                f"{100 * levels[0]:g} % interval may be off by {error:.1f} points (one standard error)"
            )
        short = [plan.names[number] for number in np.flatnonzero(fewest < min_residuals).tolist()]
        if short and len(plan.names) > 1:
            some = ", ".join(short[:5]) + (", ..." if len(short) > 5 else "")
            told.append(
                f"{len(short)} of {len(plan.names)} tickers have fewer than {min_residuals} validation residuals a "
                f"step ({some}): {instead}"
            )
        if total < min_residuals and (total + 1) * levels[0] > total:
            told.append(f"too few residuals for {100 * levels[0]:g} %: the largest of them stands for it")
        pairs = zip(levels, plan.pairs[: plan.shown], strict=True)
        plain = [f"{100 * level:g} %" for level, pair in pairs if pair is None]
        if plan.quantile_levels is not None and plain:
            told.append(
                f"the network does not answer with the quantiles of {', '.join(plain)}: such intervals are "
                "symmetric around the forecast"
            )
        return told


def width_of(smallest_first: NDArray[np.floating], plan: Plan) -> NDArray[np.float64]:
    """(levels,) width that each level wants of (kinds, residuals); NaN where there are none."""
    count = smallest_first.shape[1]
    if not count:
        return np.full(len(plan.levels), np.nan)
    ranks = rank(np.full(len(plan.levels), count), np.asarray(plan.levels))
    return np.asarray(smallest_first[plan.kind, ranks - 1], dtype=np.float64)
