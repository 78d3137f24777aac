"""Whether two forecasts of the same bars err alike: Diebold and Mariano's test, and Clark and West's.

Both are tests of a mean whose observations overlap in time; its variance is heteroskedasticity and autocorrelation
consistent (HAC).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.evaluate.returns import group_sums
from forecast.evaluate.summary import figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[np.float64]
    Index = NDArray[np.integer[Any]]

_STEADY = 1e-20  # variance / mean square, below which only rounding varies
_ROUNDING = 1e-12  # long-run variance / variance, below which a sum of autocovariances has cancelled
FEWEST = 10  # observations: below, a variance is a guess
DEFINED, NONE, FEW, SAME, STEADY, HUGE = range(6)
REASONS: tuple[str | None, ...] = (
    None,
    "no rows",
    "too few origins: at least 10, and twice the horizon, are wanted",
    "both err alike on every bar",
    "the difference in loss never varies",
    "errors too large to be squared",
)


def enough(observations: int, horizon: int) -> bool:
    """Whether so many observations, each horizon - 1 of them overlapping, tell a variance."""
    return observations >= max(FEWEST, 2 * horizon)


@dataclass(frozen=True)
class Means:
    """Of each group: how many observations, their mean, and that mean's variance."""

    count: Index  # (groups,)
    mean: Column  # (groups,) NaN without observations
    variance: Column  # (groups,) of the mean; 0 where nothing varies, NaN where squares overflow
    bartlett: NDArray[np.bool_]  # (groups,) where the rectangular sum was not positive


def means(values: Column, group: Index, groups: int, *, lags: int) -> Means:
    """Means by group with a variance that allows for autocorrelation up to a lag.

    The long-run variance is the sum of the autocovariances from -lags to lags (each divided by the number of
    observations), with equal weights, because errors h steps ahead are correlated up to h - 1 (Diebold and Mariano
    1995). That sum can come out zero or negative; then they are weighted 1 - lag / (lags + 1), which cannot
    (Bartlett's weights; Newey and West 1987).

    Args:
        values: (rows,), of one group side by side, oldest first.
        group: (rows,) 0 .. groups - 1.
        groups: their number.
        lags: observations that share bars with the one before, >= 0.
    """
    count = np.bincount(group, minlength=groups).astype(np.int64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean = group_sums(values, group, groups) / count
        centred = values - mean[group]
        own = group_sums(centred * centred, group, groups) / count
        level = group_sums(values * values, group, groups) / count
        rectangular, weighted = own.copy(), own.copy()
        for lag in range(1, min(lags, int(count.max(initial=0)) - 1) + 1):
            together = centred[lag:] * centred[:-lag] * (group[lag:] == group[:-lag])
            covariance = 2 * group_sums(together, group[lag:], groups) / count
            rectangular += covariance
            weighted += (1 - lag / (lags + 1)) * covariance
        bartlett = rectangular <= _ROUNDING * own
        variance = np.where(bartlett, weighted, rectangular)
        variance[(own <= _STEADY * level) | (variance <= _ROUNDING * own)] = 0.0
        variance[~np.isfinite(level)] = np.nan
        return Means(
            count=count, mean=mean, variance=variance / count, bartlett=bartlett & (own > 0) & (lags > 0)
        )


def ratios(part: Column, whole: Column, group: Index, groups: int, *, lags: int) -> tuple[Column, Column]:
    """sum(part) / sum(whole) by group, and the standard error of that ratio.

    Args:
        part, whole: (rows,), one row an origin, of one group side by side, oldest first.
        group: (rows,) 0 .. groups - 1.
        groups: their number.
        lags: as in `means`.

    Returns:
        Ratio and standard error, (groups,) each; NaN where the whole is 0. The error is that of the linearised
        ratio (Cochran 1977, Sampling Techniques, chapter 6).
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        wholes = group_sums(whole, group, groups)
        ratio = group_sums(part, group, groups) / wholes
        ratio[wholes == 0] = np.nan
        usual = wholes / np.bincount(group, minlength=groups)
        spread = means((part - ratio[group] * whole) / usual[group], group, groups, lags=lags).variance
        error: Column = np.sqrt(spread)
        error[np.isnan(ratio)] = np.nan
        return ratio, error


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
    reason = _reason(found, stat, horizon=horizon)
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


def clark_west(adjusted: Column, *, horizon: int) -> dict[str, Any]:
    """Clark and West's test of a model against a forecast that is nested in it, such as naive in a network.

    Under the hypothesis of no skill, a nested forecast errs less than the model, which pays for weights that are truly
    zero; Diebold and Mariano's test then finds for it too often. Here the model's loss is relieved of
    (forecast - reference)^2, and the mean of what is left held against the normal distribution, one-sided.

    Args:
        adjusted: (origins,) oldest first: loss of the reference - (loss of the model - (forecast - reference)^2).
        horizon: steps ahead, >= 1.

    Source: Clark and West (2007), Journal of Econometrics 138.
    """
    from scipy.special import ndtr

    found = means(adjusted, np.zeros(len(adjusted), np.int64), 1, lags=horizon - 1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        stat = found.mean / np.sqrt(found.variance)
    reason = _reason(found, stat, horizon=horizon)
    tested = reason[0] == DEFINED
    return {
        "stat": figure(stat[0]) if tested else None,
        "p_better": figure(float(ndtr(-stat[0]))) if tested else None,
        "origins": int(found.count[0]),
        "lags": horizon - 1,
        "why": REASONS[reason[0]],
    }


def _reason(found: Means, stat: Column, *, horizon: int) -> Index:
    """(groups,) index into REASONS."""
    return np.select(
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
