"""Arithmetic for features: functions of the last so many bars alone, the same bits wherever a series begins.

Everything is done elementwise on whole columns, one lag after the other, each value from the newest bar back. A running
sum, a library's reduction or a matrix product would be quicker, but their rounding depends on what stood before
or on how long the array is, and then a server that sees a hundred bars would not answer as training did.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Column = NDArray[np.float64]  # (bars,)


def column(bars: pd.DataFrame, name: str) -> Column:
    """A column, contiguous: numpy's logarithm may round strided ones otherwise."""
    return np.ascontiguousarray(bars[name].to_numpy(dtype=np.float64))


def table(found: Mapping[str, Column], index: pd.Index) -> pd.DataFrame:
    """Columns side by side; infinite values become NaN, a gap, like all that cannot be computed."""
    import pandas as pd

    whole = {name: np.where(np.isfinite(values), values, np.nan) for name, values in found.items()}
    return pd.DataFrame(whole, index=index)


@contextmanager
def undefined_is_nan() -> Iterator[None]:
    """Prices that a health policy kept may be 0 or negative: then a feature is NaN, without numpy's warnings."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        yield


def lagged(x: Column, bars: int) -> Column:
    """x so many bars earlier; NaN where there is none."""
    out = np.full_like(x, np.nan)
    out[bars:] = x[: max(len(x) - bars, 0)] if bars else x
    return out


def ratio(x: Column, y: Column, *, otherwise: float) -> Column:
    """x / y, and `otherwise` where y is 0."""
    return np.where(y == 0.0, otherwise, x / np.where(y == 0.0, 1.0, y))


def weighted(x: Column, weights: Sequence[float]) -> Column:
    """Sum of weights[k] * x[t - k]."""
    out = np.full_like(x, np.nan)
    first = len(weights) - 1
    if len(x) > first:
        total = x[first:] * weights[0]
        for lag, weight in enumerate(weights[1:], start=1):
            total += x[first - lag : len(x) - lag] * weight
        out[first:] = total
    return out


def mean(x: Column, span: int) -> Column:
    """The mean of the last `span` values."""
    return weighted(x, [1.0] * span) / span


def highest(x: Column, span: int) -> Column:
    """The largest of the last `span` values."""
    out = x.copy()
    for lag in range(1, span):
        out = np.maximum(out, lagged(x, lag))
    return out


def lowest(x: Column, span: int) -> Column:
    """The smallest of the last `span` values."""
    return -highest(-x, span)


def offsets(x: Column, span: int) -> list[Column]:
    """What each of the last `span` values lies above the last one: exactly 0 where nothing moved."""
    return [lagged(x, lag) - x for lag in range(span)]


def centred(x: Column, span: int) -> tuple[Column, list[Column]]:
    """The mean of the last `span` values less the last one, and what each of them lies above that mean."""
    away = offsets(x, span)
    middle = sum(away[1:], away[0]) / span
    return middle, [value - middle for value in away]


def deviation(x: Column, span: int) -> Column:
    """Standard deviation of the last `span` values, of the population."""
    _, away = centred(x, span)
    squares = [value * value for value in away]
    return np.sqrt(sum(squares[1:], squares[0]) / span)


def relative(x: Column, weights: Sequence[float]) -> Column:
    """Sum of weights[k] * (x[t - k] - x[t]): a weighted mean less the last value, where the weights sum to 1.

    It is summed over changes, so that it is exactly 0 where nothing moved.
    """
    changes = x - lagged(x, 1)
    return weighted(changes, [-math.fsum(weights[lag:]) for lag in range(1, len(weights))])


def smoothing(share: float, seed: int, span: int) -> list[float]:
    """Weights of exponential smoothing that begins `span` values ago, with the mean of the oldest `seed`.

    A smoothing that never forgets would make a feature depend on where the history begins. This one is what TA-Lib
    answers when it is given the last `span` values alone.

    Args:
        share: of the newest value: 2 / (n + 1) in an exponential average, 1 / n in Wilder's.
        seed: values in the first mean; at most `span`.
        span: values in all.
    """
    steps = span - seed
    newer = [share * (1.0 - share) ** lag for lag in range(steps)]
    return newer + [(1.0 - share) ** steps / seed] * seed


def exponential(bars: int, span: int) -> list[float]:
    """Weights of the exponential moving average of so many bars."""
    return smoothing(2.0 / (bars + 1), bars, span)


def wilder(bars: int, span: int) -> list[float]:
    """Weights of Wilder's moving average (Wilder 1978, New Concepts in Technical Trading Systems)."""
    return smoothing(1.0 / bars, bars, span)


def convergence(fast: int, slow: int, span: int) -> list[float]:
    """Weights of the moving averages' convergence and divergence, MACD: the fast average less the slow one."""
    quick = exponential(fast, span - slow + fast) + [0.0] * (slow - fast)
    return [one - other for one, other in zip(quick, exponential(slow, span), strict=True)]


def convergence_signal(fast: int, slow: int, signal: int, span: int) -> list[float]:
    """Weights of MACD's signal line: the exponential average of its values within the span."""
    weights = [0.0] * span
    for lag, share in enumerate(exponential(signal, span - slow + 1)):
        for further, weight in enumerate(convergence(fast, slow, span - lag)):
            weights[lag + further] += share * weight
    return weights


def trend(span: int) -> list[float]:
    """Weights on changes that give the slope of the straight line through `span` values (least squares)."""
    middle = (span - 1) / 2
    total = math.fsum((place - middle) ** 2 for place in range(span))
    sums = [math.fsum(place - middle for place in range(span - 1 - lag, span)) for lag in range(span - 1)]
    return [value / total for value in sums]
