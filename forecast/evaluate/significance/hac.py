"""The variance of a mean whose observations overlap in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[np.float64]
    Index = NDArray[np.int64]

_STEADY = 1e-20  # variance / mean square, below which only rounding varies
_ROUNDING = 1e-12  # long-run variance / variance, below which a sum of autocovariances has cancelled
FEWEST = 10  # observations: below, a variance is a guess


def enough(observations: int, horizon: int) -> bool:
    """Whether so many observations, each horizon - 1 of them overlapping, tell a variance."""
    return observations >= max(FEWEST, 2 * horizon)


def sums(values: NDArray[Any], group: Index, groups: int) -> Column:
    """The sum of each group, (groups,); of a flag, how often it is set."""
    total: Column = np.asarray(np.bincount(group, values, minlength=groups), dtype=np.float64)
    return total


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
        mean = sums(values, group, groups) / count
        centred = values - mean[group]
        own = sums(centred * centred, group, groups) / count
        level = sums(values * values, group, groups) / count
        rectangular, weighted = own.copy(), own.copy()
        for lag in range(1, min(lags, int(count.max(initial=0)) - 1) + 1):
            together = centred[lag:] * centred[:-lag] * (group[lag:] == group[:-lag])
            covariance = 2 * sums(together, group[lag:], groups) / count
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
        wholes = sums(whole, group, groups)
        ratio = sums(part, group, groups) / wholes
        ratio[wholes == 0] = np.nan
        usual = wholes / np.bincount(group, minlength=groups)
        spread = means((part - ratio[group] * whole) / usual[group], group, groups, lags=lags).variance
        error: Column = np.sqrt(spread)
        error[np.isnan(ratio)] = np.nan
        return ratio, error
