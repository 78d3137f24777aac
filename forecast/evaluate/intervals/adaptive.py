"""Adaptive conformal intervals: widths that follow the market, day by day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge, Le

from forecast.evaluate.intervals.levels import Levels, check_levels
from forecast.evaluate.intervals.plan import Plan
from forecast.evaluate.intervals.residuals import Residuals, width_of
from forecast.evaluate.intervals.streams import Streams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.rows import Rows
    from forecast.model.intervals import Widths


class Adaptive:
    """As wide as the latest residuals of a ticker and step say; wider after misses, narrower after hits.

    On each day a forecast is made, the outcomes known by then move the share of misses that is asked for,
    `alpha += gamma (1 - level - missed)`, and the width is the residual, of the latest `window`, that leaves out that
    share. The residuals of validation come first. For step h the last h - 1 outcomes are not known yet and not used.

    Where alpha asks for more than the largest residual at hand, that one stands for it, since no table holds an
    infinite bound; alpha stays in [0, 1], so that a crisis does not widen intervals long after it.

    Args:
        levels: shares of outcomes that shall lie inside, largest first.
        gamma: how far one miss moves alpha; 0 leaves rolling split conformal.
        window: latest residuals of a ticker and step that are looked at.
        min_residuals: validation residuals a ticker needs at a step; with fewer, its window is filled up, on the old
            side, with residuals from all tickers, evenly spaced by size.

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
    ) -> None:
        check_levels(levels, key="intervals.window", residuals=window)
        self.levels = tuple(float(level) for level in levels)
        self.gamma = gamma
        self.window = window
        self.min_residuals = min_residuals

    def begin(
        self,
        *,
        names: Sequence[str],
        horizon: int,
        quantile_levels: Sequence[float] | None = None,
        also: Sequence[float] = (),
    ) -> None:
        """Forget every residual; what comes next belongs to a newly fitted network.

        Args:
            names: tickers, in the order of Rows.series.
            horizon: steps forecast at once.
            quantile_levels: of the network; None when it answers with prices alone.
            also: further levels that widths() tells, behind `levels`.
        """
        self.plan_ = Plan(
            names=names,
            horizon=horizon,
            levels=(*self.levels, *also),
            shown=len(self.levels),
            quantile_levels=None if quantile_levels is None else tuple(quantile_levels),
        )
        self._residuals = Residuals(self.plan_)
        self._streams: Streams | None = None

    def calibrate(self, rows: Rows, quantiles: NDArray[np.float64] | None = None) -> None:
        """Take a piece of the validation rows as the past of the streams.

        Args:
            rows: within a ticker and step, oldest first.
            quantiles: (rows, quantiles) prices, where the network answers with quantiles.
        """
        assert self._streams is None, "calibrated after the first bounds; begin() starts anew"
        self._residuals.add(rows, quantiles)

    def widths(self, rows: Rows, quantiles: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """(all levels, rows) half widths as shares of the last Close, learning on the way."""
        scores = self.plan_.scores(rows, quantiles)
        known = np.isfinite(scores).all(axis=0)  # a last Close of 0 has no share
        found = np.full((len(self.plan_.levels), len(rows)), np.nan)
        found[:, known] = self._started().widths(
            self.plan_.streams(rows)[known],
            rows.days[known],
            rows.origin[known],
            scores[:, known].astype(np.float32),
        )
        return found

    def bounds(self, rows: Rows, quantiles: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Bounds of the next piece of test rows.

        Args:
            rows: within a ticker and step, oldest first and later than all before; cut anywhere.
            quantiles: (rows, quantiles) prices, where the network answers with quantiles.

        Returns:
            (levels, 2, rows) lower and upper prices; NaN where there is no residual or the last Close is 0.
        """
        return self.plan_.bounds(self.widths(rows, quantiles), rows, quantiles)

    def state(self) -> Widths:
        """What a bundle needs for new windows: the widths after the last outcome of the test rows."""
        plan, latest = self.plan_, self._started().latest()
        table = latest.now()
        pooled = np.stack([width_of(latest.of_step(step), plan) for step in range(plan.horizon)], axis=1)
        # A ticker without a single residual has the pooled widths.
        unknown = np.isnan(table)
        table[unknown] = np.tile(pooled, len(plan.names))[unknown]
        own = np.any(~unknown.reshape(len(plan.levels), len(plan.names), plan.horizon), axis=(0, 2))
        return plan.state(table, pooled, own=np.asarray(own))

    def to_json(self) -> dict[str, Any]:
        """See state."""
        return self.state().to_json()

    @property
    def notes(self) -> list[str]:
        """What a reader of the intervals must know, in sentences."""
        self._started()
        return self._residuals.notes(
            self.min_residuals, instead="their intervals start from the residuals of all tickers"
        )

    def _started(self) -> Streams:
        if self._streams is None:
            self._residuals.settle()
            recent, held = self._past()
            self._streams = Streams(self.plan_, gamma=self.gamma, recent=recent, held=held)
        return self._streams

    def _past(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """(streams, kinds, window) the latest validation residuals, oldest first, and how many there are of each."""
        plan, residuals, window = self.plan_, self._residuals, self.window
        counts = residuals.counts
        recent = np.full((plan.num_streams, len(plan.kinds), window), np.inf, np.float32)
        age = np.repeat(residuals.starts + counts, counts) - 1 - np.arange(len(residuals.streams))
        young = age < window
        recent[residuals.streams[young], :, window - 1 - age[young]] = residuals.scores[:, young].T
        held = np.minimum(counts, window)
        for step in range(plan.horizon):
            pooled = residuals.of_step(step).astype(np.float32)  # (kinds, residuals)
            streams = np.arange(step, plan.num_streams, plan.horizon)
            for own in np.unique(counts[streams]):
                # Never more than the other tickers have: their residuals, not the same ones twice.
                fill = min(window - own, pooled.shape[1] - own)
                if own >= self.min_residuals or fill <= 0:
                    continue
                alike = streams[counts[streams] == own]
                spaced = ((np.arange(fill) + 0.5) * pooled.shape[1] / fill).astype(np.int64)
                recent[alike, :, window - own - fill : window - own] = pooled[:, spaced]
                held[alike] = own + fill
        return recent, held
