"""Split conformal intervals: widths learnt once, on validation days."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge

from forecast.evaluate.intervals.levels import Levels, check_levels
from forecast.evaluate.intervals.plan import Plan, rank
from forecast.evaluate.intervals.residuals import Residuals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.rows import Rows
    from forecast.model.intervals import Widths


class SplitConformal:
    """As wide as the validation residuals of a ticker and step say, the same on every test day.

    If validation and test residuals are exchangeable, at least a share `level` of the outcomes lies inside. Markets
    that turn wilder than they were in validation break that, and the intervals stay as they are: see Adaptive.

    Args:
        levels: shares of outcomes that shall lie inside, largest first.
        min_residuals: validation residuals a ticker needs at a step; with fewer, all tickers' stand for its own.

    Raises:
        UserError: a level that is none, or one that `min_residuals` residuals cannot tell.

    Source: Vovk, Gammerman and Shafer (2005), Algorithmic Learning in a Random World; Lei et al. (2018),
    Distribution-Free Predictive Inference for Regression, https://arxiv.org/abs/1604.04173.
    """

    def __init__(self, *, levels: Levels, min_residuals: Annotated[int, Ge(1)] = 250) -> None:
        check_levels(levels, key="intervals.min_residuals", residuals=min_residuals)
        self.levels = tuple(float(level) for level in levels)
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
        self._table: NDArray[np.float64] | None = None

    def calibrate(self, rows: Rows, quantiles: NDArray[np.float64] | None = None) -> None:
        """Learn from a piece of the validation rows.

        Args:
            rows: in any order.
            quantiles: (rows, quantiles) prices, where the network answers with quantiles.
        """
        assert self._table is None, "calibrated after the first bounds; begin() starts anew"
        self._residuals.add(rows, quantiles)

    def widths(self, rows: Rows, quantiles: NDArray[np.float64] | None = None) -> NDArray[np.float64]:  # noqa: ARG002
        """(all levels, rows) half widths as shares of the last Close."""
        return self._settled()[:, self.plan_.streams(rows)]

    def bounds(self, rows: Rows, quantiles: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Bounds of a piece of test rows.

        Returns:
            (levels, 2, rows) lower and upper prices; NaN where there is no residual or the last Close is 0.
        """
        return self.plan_.bounds(self.widths(rows, quantiles), rows, quantiles)

    def state(self) -> Widths:
        """What a bundle needs for new windows."""
        table = self._settled()
        return self.plan_.state(table, self._pooled, own=np.asarray(np.any(self._own, axis=1)))

    def to_json(self) -> dict[str, Any]:
        """See state."""
        return self.state().to_json()

    @property
    def notes(self) -> list[str]:
        """What a reader of the intervals must know, in sentences."""
        self._settled()
        return self._residuals.notes(
            self.min_residuals, instead="the residuals of all tickers stand for theirs"
        )

    def _settled(self) -> NDArray[np.float64]:
        """(all levels, streams) widths."""
        if self._table is not None:
            return self._table
        residuals, plan = self._residuals, self.plan_
        residuals.settle()
        self._pooled = residuals.pooled_widths()  # (all levels, horizon)
        self._own = (residuals.counts >= self.min_residuals).reshape(-1, plan.horizon)  # (series, horizon)
        table = np.tile(self._pooled, len(plan.names))  # (all levels, streams)
        own = np.flatnonzero(self._own.ravel())
        if len(own):
            by_size = residuals.by_size()
            for number, level in enumerate(plan.levels):
                ranks = rank(residuals.counts[own], np.asarray(level))
                table[number, own] = by_size[plan.kind[number], residuals.starts[own] + ranks - 1]
        self._table = table
        return table
