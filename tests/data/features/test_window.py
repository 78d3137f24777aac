"""A feature is a function of its own bar and of `warm_up` bars before it, bit for bit, and of nothing else."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markets import random_bars

from forecast.data.features import NoProcessing, Returns, Technical, WithCalendar, WithRange, warm_up

BARS = random_bars(420, seed=3)
SHIPPED = {
    "no_processing": NoProcessing(),
    "range": WithRange(),
    "returns": Returns(),
    "returns_5": Returns(span=5),
    "technical": Technical(),
    "technical_calendar": WithCalendar(features=Technical(), calendar="XNYS"),
}
each = pytest.mark.parametrize("name", SHIPPED)


def values(features, bars):
    table = features.compute(bars)
    assert list(table.columns) == list(features.columns)
    assert table.index.equals(bars.index)
    return table.to_numpy(np.float64)


def past_is_enough(features, at, shown):
    """The last `shown` rows from `warm_up` bars more are those of the whole history."""
    whole = values(features, BARS)[at - shown : at]
    alone = values(features, BARS.iloc[at - shown - warm_up(features) : at])[-shown:]
    np.testing.assert_array_equal(alone, whole)
    assert np.isfinite(whole).all()


def blind_to_the_future(features, at, seed):
    """Rows up to a day, whatever comes after it."""
    past = values(features, BARS)[:at]
    np.testing.assert_array_equal(values(features, BARS.iloc[:at]), past)
    rng = np.random.default_rng(seed)
    later = BARS.iloc[at:] * rng.uniform(0.2, 5.0, (len(BARS) - at, BARS.shape[1]))
    np.testing.assert_array_equal(values(features, pd.concat([BARS.iloc[:at], later]))[:at], past)


@each
@settings(max_examples=25)
@given(at=st.integers(150, 419), shown=st.integers(1, 40))
def test_the_bars_before_warm_up_change_nothing(name, at, shown):
    past_is_enough(SHIPPED[name], at, shown)


@each
@settings(max_examples=25)
@given(at=st.integers(1, 419), seed=st.integers(0, 99))
def test_later_bars_change_nothing(name, at, seed):
    blind_to_the_future(SHIPPED[name], at, seed)


@each
def test_the_first_row_without_a_gap_is_that_after_the_warm_up(name):
    whole = np.isfinite(values(SHIPPED[name], BARS)).all(axis=1)
    assert int(whole.argmax()) == warm_up(SHIPPED[name])
    assert whole[warm_up(SHIPPED[name]) :].all()


@each
def test_layout_in_memory_changes_nothing(name):
    """A server's table of two tickers holds every other column; a frame may stand row by row or column by column."""
    expected = values(SHIPPED[name], BARS)
    rows = pd.DataFrame(np.ascontiguousarray(BARS.to_numpy()), index=BARS.index, columns=BARS.columns)
    columns = pd.DataFrame(np.asfortranarray(BARS.to_numpy()), index=BARS.index, columns=BARS.columns)
    among = pd.concat({"A": BARS, "B": BARS}, axis=1)["A"]
    for bars in (rows, columns, among, rows.iloc[::-1].iloc[::-1]):
        np.testing.assert_array_equal(values(SHIPPED[name], bars), expected)


@each
def test_no_bars_and_few_bars_are_no_error(name):
    for count in (0, 1, 2, 30):
        assert len(values(SHIPPED[name], BARS.iloc[:count])) == count


@each
def test_a_price_that_cannot_be_is_a_gap_and_passes(name):
    """A health policy may keep a zero or a NaN: the rows that look at it are gaps or finite, never infinite."""
    warm = warm_up(SHIPPED[name])
    for spoiled in (0.0, -1.0, np.nan):
        bars = BARS.copy()
        bars.iloc[200] = spoiled
        table = values(SHIPPED[name], bars)
        assert not np.isinf(table).any()
        untouched = np.r_[0:200, 201 + warm : 420]
        np.testing.assert_array_equal(table[untouched], values(SHIPPED[name], BARS)[untouched])
    assert np.isnan(table[200]).any()


@pytest.mark.parametrize("close", [100.0, 0.1, 33.333333333333336, 1e-7, 1e12])
def test_constant_prices_give_the_documented_values(close):
    bars = BARS.assign(Open=close, High=close, Low=close, Close=close, Volume=0.0)
    quiet = {
        "Return": 0, "Range": 0, "RelativeReturn": 0, "RelativeRange": 1, "RelativeVolume": 0,
        "SMARatio": 0, "EMARatio": 0, "RSI": 0.5, "MACD": 0, "MACDHistogram": 0, "PercentB": 0.5, "ATR": 0,
        "StochasticK": 0.5, "StochasticD": 0.5, "WilliamsR": -0.5, "ROC": 0, "CCI": 0, "OBVSlope": 0, "Volatility": 0,
    }  # fmt: skip
    for features in (Returns(), Technical()):
        table = features.compute(bars).iloc[features.warm_up :]
        for column in table.columns.intersection(quiet):
            assert (table[column] == quiet[column]).all(), column
        assert set(table.columns) <= {*quiet, *NoProcessing.columns}


def test_a_market_that_stops_gives_finite_values():
    bars = BARS.copy()
    bars.iloc[250:] = bars.iloc[250].to_numpy()
    bars.iloc[250:, 4] = 0.0
    bars.iloc[250:, :3] = bars["Close"].iloc[250]
    for features in (Returns(), Technical()):
        assert np.isfinite(values(features, bars)[features.warm_up :]).all()


def test_units_do_not_matter():
    """Another currency or lot size: an exact power of two, so that not even rounding differs."""
    other = BARS * [8.0, 8.0, 8.0, 8.0, 1.0]
    for features in (Returns(), Technical()):
        free = [column for column, relation in features.columns.items() if relation == "free"]
        pd.testing.assert_frame_equal(
            features.compute(other)[free], features.compute(BARS)[free], check_exact=True
        )
    lots = Technical().compute(BARS.assign(Volume=BARS["Volume"] * 4.0))["OBVSlope"]
    pd.testing.assert_series_equal(lots, Technical().compute(BARS)["OBVSlope"], check_exact=True)


class Planted:
    """Features that break the promise in one way each."""

    warm_up = 20

    def __init__(self, rule):
        self.columns = {"X": "free"}
        self.rule = rule

    def compute(self, bars):
        return pd.DataFrame({"X": self.rule(bars["Close"])}, index=bars.index)


@pytest.mark.parametrize(
    "rule",
    [
        lambda close: close.rolling(5, center=True).mean(),
        lambda close: close.shift(-1),
        lambda close: close - close.mean(),
        lambda close: close.bfill() / close.max(),
        lambda close: close.rank(),
    ],
    ids=["centred", "shifted", "mean", "maximum", "rank"],
)
def test_a_look_ahead_would_be_seen(rule):
    with pytest.raises(AssertionError):
        blind_to_the_future(Planted(rule), 300, 0)


@pytest.mark.parametrize(
    "rule",
    [
        lambda close: close.ewm(span=5).mean(),
        lambda close: close.cumsum(),
        lambda close: close.rolling(20).std(),
        lambda close: close.rolling(25).mean(),
    ],
    ids=["recursive", "cumulative", "running sum", "longer than it says"],
)
def test_a_longer_memory_than_said_would_be_seen(rule):
    with pytest.raises(AssertionError):
        past_is_enough(Planted(rule), 400, 40)
