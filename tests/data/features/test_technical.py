"""Indicators against TA-Lib, returns against their definitions."""

import numpy as np
import pandas as pd
import pytest
import talib
from markets import random_bars

from forecast.data.features import Returns, Technical
from forecast.data.sources import SampleSource

MARKETS = {"random": random_bars(600, seed=11), "AAPL": SampleSource().bars("AAPL").iloc[:900]}
SPAN = 100


def oracle(bars):
    """What TA-Lib says of each column, in our units."""
    high, low, close, volume = (bars[name].to_numpy(float) for name in ("High", "Low", "Close", "Volume"))
    upper, _, lower = talib.BBANDS(close, 20, 2, 2)
    _, _, histogram = talib.MACD(close, 12, 26, 9)
    slow_k, slow_d = talib.STOCH(high, low, close, 14, 3, 0, 3, 0)
    # On-balance volume begins with the first Volume, and only its slope is looked at.
    slope = talib.LINEARREG_SLOPE(talib.OBV(close, volume), 20)
    returns = np.concatenate(([np.nan], np.diff(np.log(close))))
    found = {
        "SMARatio": close / talib.SMA(close, 20) - 1,
        "EMARatio": close / talib.EMA(close, 20) - 1,
        "RSI": talib.RSI(close, 14) / 100,
        "MACD": talib.MACD(close, 12, 26, 9)[0] / close,
        "MACDHistogram": histogram / close,
        "PercentB": (close - lower) / (upper - lower),
        "ATR": talib.ATR(high, low, close, 14) / close,
        "StochasticK": slow_k / 100,
        "StochasticD": slow_d / 100,
        "WilliamsR": talib.WILLR(high, low, close, 14) / 100,
        "ROC": talib.ROC(close, 10) / 100,
        "CCI": talib.CCI(high, low, close, 20) / 100,
        "OBVSlope": slope / talib.SMA(volume, 20),
        "Volatility": np.concatenate((returns[:1], talib.STDDEV(returns[1:], 20))),
    }
    return pd.DataFrame(found, index=bars.index)


RECURSIVE = ["EMARatio", "RSI", "MACD", "MACDHistogram", "ATR"]
INDICATORS = [name for name, relation in Technical.columns.items() if relation == "free"]


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("name", [name for name in INDICATORS if name not in RECURSIVE])
def test_an_indicator_of_a_fixed_span_is_ta_lib_s(market, name):
    bars = MARKETS[market]
    ours, theirs = Technical().compute(bars)[name].iloc[30:], oracle(bars)[name].iloc[30:]
    # TA-Lib keeps running sums, which lose some digits.
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("name", RECURSIVE)
def test_a_recursive_indicator_is_ta_lib_s_on_the_last_bars(market, name):
    bars = MARKETS[market]
    ours = Technical().compute(bars)[name]
    for at in range(SPAN, len(bars), 37):
        theirs = oracle(bars.iloc[at - SPAN : at])[name].iloc[-1]
        assert ours.iloc[at - 1] == pytest.approx(theirs, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("name", RECURSIVE)
def test_a_recursive_indicator_is_close_to_that_of_the_whole_history(market, name):
    bars = MARKETS[market]
    ours, theirs = Technical().compute(bars)[name].iloc[300:], oracle(bars)[name].iloc[300:]
    assert np.abs(ours - theirs).max() < 0.02 * theirs.std()
    assert (ours != theirs).any()


def test_every_indicator_is_held_against_ta_lib():
    assert set(oracle(MARKETS["random"]).columns) == set(INDICATORS)
    assert len(INDICATORS) == 14


def test_returns_by_their_definition():
    bars = MARKETS["AAPL"]
    table = Returns(span=5).compute(bars).iloc[-1]
    close, ranges = np.log(bars["Close"]).diff(), np.log(bars["High"] / bars["Low"])
    amounts = np.log1p(bars["Volume"])
    assert table["Return"] == pytest.approx(close.iloc[-1])
    assert table["Range"] == pytest.approx(ranges.iloc[-1])
    assert table["RelativeReturn"] == pytest.approx(close.iloc[-1] / np.sqrt((close.iloc[-5:] ** 2).mean()))
    assert table["RelativeRange"] == pytest.approx(ranges.iloc[-1] / ranges.iloc[-5:].mean())
    assert table["RelativeVolume"] == pytest.approx(amounts.iloc[-1] - amounts.iloc[-5:].mean())
