"""The bars, and what chartists read from them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from forecast.data import indicators as ind
from forecast.data.features.base import NoProcessing, Relation
from forecast.data.indicators import Column

if TYPE_CHECKING:
    import pandas as pd

# Bars that recursive averages look back over. Full histories would add 0.4 % at most (weight of what is older
# in the slowest of them, the 26-bar exponential average), and make a feature depend on where the history begins.
_SPAN = 100


class Technical:
    """High, Low, Close, Volume and fourteen indicators without a unit.

    All of them look at the last 100 bars or fewer. The recursive ones (EMARatio, RSI, MACD, MACDHistogram, ATR) are
    what TA-Lib (https://ta-lib.org) gives for the last 100 bars alone.

    | column | from the bars up to this one | where nothing moved |
    |---|---|---|
    | SMARatio | Close / mean of the last 20 - 1 | 0 |
    | EMARatio | Close / exponential average over 20 - 1 | 0 |
    | RSI | Wilder's relative strength index over 14, 0 to 1 | 0.5 |
    | MACD | (exponential average over 12 - over 26) / Close | 0 |
    | MACDHistogram | MACD - its exponential average over 9 | 0 |
    | PercentB | place of Close between the Bollinger bands, 20 bars, 2 deviations: 0 lower, 1 upper | 0.5 |
    | ATR | Wilder's average true range over 14 / Close | 0 |
    | StochasticK | mean over 3 of the place of Close in the range of the last 14, 0 to 1 | 0.5 |
    | StochasticD | mean over 3 of StochasticK | 0.5 |
    | WilliamsR | - share of the range of the last 14 above Close, -1 to 0 | -0.5 |
    | ROC | Close / Close ten bars before - 1 | 0 |
    | CCI | commodity channel index over 20, / 100 | 0 |
    | OBVSlope | slope of on-balance volume over 20 a bar / mean Volume over 20 | 0 |
    | Volatility | standard deviation of the last 20 daily log returns | 0 |
    """

    warm_up: ClassVar[int] = _SPAN - 1
    columns: ClassVar[Mapping[str, Relation]] = {
        **NoProcessing.columns,
        **dict.fromkeys(
            ("SMARatio", "EMARatio", "RSI", "MACD", "MACDHistogram", "PercentB", "ATR", "StochasticK", "StochasticD",
             "WilliamsR", "ROC", "CCI", "OBVSlope", "Volatility"),
            "free",
        ),
    }  # fmt: skip

    def compute(self, bars: pd.DataFrame) -> pd.DataFrame:
        """See Features.compute."""
        found = {name: ind.column(bars, name) for name in NoProcessing.columns}
        high, low, close, volume = found.values()
        with ind.undefined_is_nan():
            found |= _averages(close) | _ranges(high, low, close) | _movements(high, low, close, volume)
        return ind.table(found, bars.index)[list(self.columns)]


def _averages(close: Column) -> dict[str, Column]:
    """Where the Close stands beside its own averages."""
    simple = ind.relative(close, [1.0 / 20] * 20)
    exponential = ind.relative(close, ind.exponential(20, _SPAN))
    line, histogram = _convergence()
    return {
        "SMARatio": -simple / (close + simple),
        "EMARatio": -exponential / (close + exponential),
        "MACD": ind.relative(close, line) / close,
        "MACDHistogram": ind.relative(close, histogram) / close,
        "PercentB": 0.5 - ind.ratio(simple, 4.0 * ind.deviation(close, 20), otherwise=0.0),
    }


def _ranges(high: Column, low: Column, close: Column) -> dict[str, Column]:
    """Where the Close stands in the range of the last days, and how wide that is."""
    before = ind.lagged(close, 1)
    true_range = np.maximum(high, before) - np.minimum(low, before)
    top, bottom = ind.highest(high, 14), ind.lowest(low, 14)
    place = ind.ratio(close - bottom, top - bottom, otherwise=0.5)
    smooth = ind.mean(place, 3)
    return {
        "ATR": ind.weighted(true_range, ind.wilder(14, _SPAN - 1)) / close,
        "StochasticK": smooth,
        "StochasticD": ind.mean(smooth, 3),
        "WilliamsR": place - 1.0,
    }


def _movements(high: Column, low: Column, close: Column, volume: Column) -> dict[str, Column]:
    """How far and how steadily prices went, and with how much volume."""
    before = ind.lagged(close, 1)
    changes = close - before
    weights = ind.wilder(14, _SPAN - 1)
    gains = ind.weighted(np.maximum(changes, 0.0), weights)
    losses = ind.weighted(np.maximum(-changes, 0.0), weights)
    middle, away = ind.centred((high + low + close) / 3.0, 20)
    sizes = [np.abs(value) for value in away]
    mean_size = sum(sizes[1:], sizes[0]) / 20
    return {
        "RSI": ind.ratio(gains, gains + losses, otherwise=0.5),
        "ROC": close / ind.lagged(close, 10) - 1.0,
        "CCI": ind.ratio(-middle, 1.5 * mean_size, otherwise=0.0),
        "OBVSlope": ind.ratio(
            ind.weighted(np.sign(changes) * volume, ind.trend(20)), ind.mean(volume, 20), otherwise=0.0
        ),
        "Volatility": ind.deviation(np.log(close / before), 20),
    }


@cache
def _convergence() -> tuple[list[float], list[float]]:
    """Weights of MACD(12, 26) and of its histogram."""
    line = ind.convergence(12, 26, _SPAN)
    signal = ind.convergence_signal(12, 26, 9, _SPAN)
    return line, [one - other for one, other in zip(line, signal, strict=True)]
