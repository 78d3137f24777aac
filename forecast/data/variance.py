"""Variance of a bar's return, estimated from its Open, High, Low and Close.

Each estimator gives one number a bar, per bar, not annualised. With r = ln(High / Low), c = ln(Close / Open),
o = ln(Open / the Close before):

    parkinson         r^2 / (4 ln 2)                                       Parkinson (1980), Journal of Business 53
    garman_klass      r^2 / 2 - (2 ln 2 - 1) c^2                           Garman and Klass (1980), same volume
    rogers_satchell   ln(H/C) ln(H/O) + ln(L/C) ln(L/O)                    Rogers and Satchell (1991), Annals of
                                                                           Applied Probability 1
    yang_zhang        var(o) + k var(c) + (1 - k) mean rogers_satchell     Yang and Zhang (2000), Journal of Business 73
    squared           ln(Close / the Close before)^2

The first three measure the session and leave the night out; the last two hold it. Yang and Zhang's is defined over a
span of n bars, with sample variances and k = 0.34 / (1.34 + (n + 1) / (n - 1)); of one bar it is o^2 +
rogers_satchell, their limit of a known mean of 0 (k = 0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from forecast.data import indicators as ind
from forecast.data.indicators import Column

if TYPE_CHECKING:
    import pandas as pd

Estimator = Literal["parkinson", "garman_klass", "rogers_satchell", "yang_zhang", "squared"]
# Those that need the Close before.
OVERNIGHT: tuple[Estimator, ...] = ("yang_zhang", "squared")


def variance(bars: pd.DataFrame, estimator: Estimator, *, span: int = 1) -> Column:
    """The mean variance a bar of the last `span` bars; NaN where there are fewer.

    Args:
        bars: one ticker's, ascending.
        estimator: see above.
        span: bars.

    Returns:
        (bars,) 0 or more, the same bits wherever the bars begin.
    """
    opened, high, low, close = (ind.column(bars, name) for name in ("Open", "High", "Low", "Close"))
    with ind.undefined_is_nan():
        if estimator == "parkinson":
            one = np.log(high / low) ** 2 / (4.0 * np.log(2.0))
        elif estimator == "garman_klass":
            one = 0.5 * np.log(high / low) ** 2 - (2.0 * np.log(2.0) - 1.0) * np.log(close / opened) ** 2
        elif estimator == "rogers_satchell":
            one = _rogers_satchell(opened, high, low, close)
        elif estimator == "squared":
            one = np.log(close / ind.lagged(close, 1)) ** 2
        else:
            return _yang_zhang(opened, high, low, close, span)
        # An Open outside of High and Low, which a health policy may keep, would give less than nothing.
        one = np.maximum(one, 0.0)
        return one if span == 1 else ind.mean(one, span)


def _rogers_satchell(opened: Column, high: Column, low: Column, close: Column) -> Column:
    found: Column = np.log(high / close) * np.log(high / opened) + np.log(low / close) * np.log(low / opened)
    return found


def _yang_zhang(opened: Column, high: Column, low: Column, close: Column, span: int) -> Column:
    night = np.log(opened / ind.lagged(close, 1))
    inside = np.maximum(_rogers_satchell(opened, high, low, close), 0.0)
    if span == 1:
        return np.asarray(night**2 + inside)
    share = 0.34 / (1.34 + (span + 1) / (span - 1))
    sample = span / (span - 1)
    session = np.log(close / opened) + 0.0 * night  # a bar without a night before it counts in neither
    return np.asarray(
        sample * ind.deviation(night, span) ** 2
        + share * sample * ind.deviation(session, span) ** 2
        + (1.0 - share) * ind.mean(inside, span)
    )


def annualised(per_bar: Column, *, per_year: float) -> Column:
    """Percent a year: the square root of a variance a bar, times that of the bars in a year."""
    return np.asarray(100.0 * np.sqrt(per_bar * per_year))
