"""Whether two forecasts of the same days err alike: Diebold and Mariano's test, corrected for small samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.evaluate.findings import figure
from forecast.evaluate.significance.hac import FEWEST, means

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[np.float64]
    Index = NDArray[np.int64]

DEFINED, NONE, FEW, SAME, STEADY, HUGE = range(6)
REASONS: tuple[str | None, ...] = (
    None,
    "no rows",
    "too few origins: at least 10, and twice the horizon, are wanted",
    "both err alike on every day",
    "the difference in loss never varies",
    "errors too large to be squared",
)


@dataclass(frozen=True)
class Comparison:
    """Of each group, the test that the mean of a differential is 0."""

    count: Index  # (groups,) origins
    stat: Column  # (groups,) NaN where undefined
    p: Column  # (groups,) two-sided
    p_better: Column  # (groups,) one-sided: small where the mean is above 0
    bartlett: NDArray[np.bool_]  # (groups,) whether the variance is that of the fallback
    reason: Index  # (groups,) into REASONS

    def record(self, *, horizon: int, place: int = 0) -> dict[str, Any]:
        """One group as JSON has it."""
        return {
            "stat": figure(self.stat[place]),
            "p": figure(self.p[place]),
            "p_better": figure(self.p_better[place]),
            "origins": int(self.count[place]),
            "lags": horizon - 1,
            "kernel": "bartlett" if self.bartlett[place] else "rectangular",
            "why": REASONS[self.reason[place]],
        }


def compare(differential: Column, group: Index | None = None, groups: int = 1, *, horizon: int) -> Comparison:
    """Test by group whether a differential has mean 0.

    The statistic is mean / sqrt(long-run variance / n), with h - 1 lags, times
    sqrt((n + 1 - 2 h + h (h - 1) / n) / n), held against Student's t with n - 1 degrees of freedom.

    Args:
        differential: (rows,) loss of the reference - loss of the model, one row an origin, of one group side by
            side, oldest first.
        group: (rows,) 0 .. groups - 1; None = one group.
        groups: their number.
        horizon: h, steps ahead, >= 1.

    Source: Diebold and Mariano (1995), Journal of Business and Economic Statistics 13; Harvey, Leybourne and Newbold
    (1997), International Journal of Forecasting 13.
    """
    from scipy.special import stdtr

    place = np.zeros(len(differential), np.int64) if group is None else group
    found = means(differential, place, groups, lags=horizon - 1)
    n = found.count.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # n + 1 - 2 h + h (h - 1) / n, factorised: it cannot come out a little below 0.
        correction = np.sqrt(np.maximum((n - horizon) * (n - horizon + 1), 0.0)) / n
        stat = correction * found.mean / np.sqrt(found.variance)
    reason = np.select(
        [
            found.count == 0,
            found.count < max(FEWEST, 2 * horizon),
            ~np.isfinite(found.mean) | ~np.isfinite(found.variance),
            (found.variance == 0) & (found.mean == 0),
            found.variance == 0,
            ~np.isfinite(stat),
        ],
        [NONE, FEW, HUGE, SAME, STEADY, HUGE],
        DEFINED,
    ).astype(np.int64)
    stat[reason != DEFINED] = np.nan
    free = np.maximum(n - 1, 1)
    return Comparison(
        count=found.count,
        stat=stat,
        p=2 * stdtr(free, -np.abs(stat)),
        p_better=stdtr(free, -stat),
        bartlett=found.bartlett,
        reason=reason,
    )
