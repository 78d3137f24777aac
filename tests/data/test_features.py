"""A feature is a function of its own bar and of `warm_up` bars before it, bit for bit, and of nothing else."""

import math

import numpy as np
import pandas as pd
import pytest
import talib
from hypothesis import given, settings, strategies as st
from markets import Memory, market, random_bars, tables

from forecast.data import MarketData
from forecast.data.bars import COLUMNS
from forecast.data.calendars import planned_sessions, sessions
from forecast.data.features import (
    NoProcessing,
    Returns,
    Technical,
    WithCalendar,
    WithRange,
    sessions_ahead,
    sessions_named,
    warm_up,
)
from forecast.data.sources import SampleSource
from forecast.data.timing import Bars
from forecast.errors import UserError

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


ADDED = ["NextWeekdaySin", "NextWeekdayCos", "NextMonthSin", "NextMonthCos", "NextTurnOfMonth"]


def bars_on(days):
    index = pd.DatetimeIndex(days, name="Date").as_unit("ns")
    return random_bars(len(index), seed=0).set_axis(index, axis=0)


def added(days, calendar="XNYS"):
    return WithCalendar(features=NoProcessing(), calendar=calendar).compute(bars_on(days))[ADDED]


def place(table, sine, cosine, count):
    """From sine and cosine back to the place in the cycle."""
    turn = np.arctan2(table[sine], table[cosine]) / (2 * math.pi) * count
    return np.round(turn).astype(int) % count


def weekday(table):
    return place(table, "NextWeekdaySin", "NextWeekdayCos", 7)


def month(table):
    return place(table, "NextMonthSin", "NextMonthCos", 12) + 1


def test_they_are_those_of_the_next_session():
    days = sessions("XNYS", "2014-01-02", "2017-12-29")  # years in which no day was called off
    table = added(days[:-4]).iloc[:-1]
    after = days[1 : len(table) + 1]
    np.testing.assert_array_equal(weekday(table), after.day_of_week)
    np.testing.assert_array_equal(month(table), after.month)
    by_month = pd.Series(after, index=after).groupby(after.strftime("%Y-%m"))
    turn = (by_month.cumcount() < 3) | (by_month.cumcount(ascending=False) == 0)
    inside = (after > "2014-02-01") & (after < "2017-12-01")  # whole months
    np.testing.assert_array_equal(table["NextTurnOfMonth"][inside] == 1, turn[inside])
    assert set(table["NextTurnOfMonth"]) == {0.0, 1.0}


def test_each_step_of_the_horizon_has_its_own_session():
    days = sessions("XNYS", "2014-01-02", "2014-12-31")
    ahead = sessions_ahead(lead=2, horizon=2)
    assert ahead == [1, 3, 4]
    features = WithCalendar(features=NoProcessing(), calendar="XNYS", ahead=ahead)
    table = features.compute(bars_on(days))
    assert list(table.columns) == list(features.columns)
    assert sessions_named(f"AAPL.{name}" for name in table.columns) == ahead
    for bar in (3, 4):
        later = table[[f"Next{bar}{name.removeprefix('Next')}" for name in ADDED]]
        np.testing.assert_array_equal(later.to_numpy()[: 1 - bar], table[ADDED].to_numpy()[bar - 1 :])
    assert np.isfinite(table.to_numpy()).all()
    assert sessions_named(NoProcessing.columns) == [1]
    # Without pandas' warning of a table that was widened column by column.
    assert WithCalendar(features=NoProcessing(), calendar="XNYS", ahead=range(1, 31)).compute(
        bars_on(days)
    ).shape == (len(days), 4 + 30 * 5)


def test_the_last_bar_has_them_and_later_bars_are_not_read():
    days = sessions("XNYS", "2016-01-04", "2016-12-30")
    whole = added(days)
    assert np.isfinite(whole.to_numpy()).all()
    for stop in (1, 2, 100, 200):
        pd.testing.assert_frame_equal(added(days[:stop]), whole.iloc[:stop], check_exact=True)
        # Whatever day the next bar comes on, it was this one that was known.
        late = days[:stop].append(days[stop + 3 : stop + 4])
        pd.testing.assert_frame_equal(added(late).iloc[:stop], whole.iloc[:stop], check_exact=True)
    assert weekday(whole).iloc[-1] == 1  # Monday 2017-01-02 is a holiday
    assert month(whole).iloc[-1] == 1


@pytest.mark.parametrize(
    ("day", "called_off"),
    [("2001-09-10", "2001-09-11"), ("2012-10-26", "2012-10-29"), ("2018-12-04", "2018-12-05")],
)
def test_a_day_that_was_called_off_was_expected(day, called_off):
    """The attacks of 2001, hurricane Sandy, a president's funeral: nobody knew on the day before."""
    assert pd.Timestamp(called_off) not in sessions("XNYS", day, "2018-12-31")
    _, _, planned = planned_sessions("XNYS")
    assert planned[planned.searchsorted(pd.Timestamp(day), side="right")] == pd.Timestamp(called_off)
    assert weekday(added([day])).item() == pd.Timestamp(called_off).day_of_week
    # Nor in the last hour, after which the bar of the next morning is expected; what came shows afterwards.
    market = Bars(interval="1h", calendar="XNYS")
    hour = market.next_times(np.array([day], "datetime64[ns]") - np.timedelta64(2, "D"), 30)[0]
    last = hour[hour < np.datetime64(day, "ns") + np.timedelta64(1, "D")][-1:]
    following = market.next_times(last, 1)[0]
    assert following[0] > np.datetime64(called_off, "ns") + np.timedelta64(1, "D")
    assert str(market.planned.next_times(last, 1)[0, 0])[:10] == called_off
    shown = WithCalendar(features=NoProcessing(), calendar="XNYS", interval="1h").compute(
        pd.DataFrame(1.0, index=last, columns=list(COLUMNS))
    )
    assert shown["NextGap"].item() == pytest.approx(np.log(18 if day != "2012-10-26" else 66))
    assert shown["NextSinceOpen"].item() == 0


def test_a_bar_on_a_closed_day_and_a_market_that_never_closes():
    assert weekday(added(["2016-07-03"])).item() == 1  # Sunday before Monday the 4th of July
    days = pd.date_range("2016-01-01", "2016-12-31")
    table = added(days, "24/7")
    np.testing.assert_array_equal(weekday(table), (days + pd.Timedelta(days=1)).day_of_week)


def test_outside_of_the_calendar_it_is_said():
    for day, message in (("2100-06-01", "2100-06-01"), ("1899-06-01", "1899-06-01")):
        with pytest.raises(
            UserError, match=rf"data.calendar=XNYS: knows no session after {message}; cut the bars"
        ):
            added([day])
    with pytest.raises(
        UserError, match=r"data.calendar=XNYZ: exchange_calendars has no such calendar; nearest"
    ):
        WithCalendar(features=NoProcessing(), calendar="XNYZ")


def test_it_adds_to_any_strategy_and_keeps_its_warm_up():
    features = WithCalendar(features=Returns(span=7), calendar="XNYS")
    assert list(features.columns) == [*Returns().columns, *ADDED]
    assert warm_up(features) == 7

    class Unsaid:
        @property
        def columns(self):
            return {"Close": "price"}

        def compute(self, bars):
            return bars[["Close"]]

    assert warm_up(WithCalendar(features=Unsaid(), calendar="XNYS")) is None


@pytest.mark.parametrize("strategy", ["no_processing_single", "range_multiple", "returns_panel"])
def test_the_key_adds_them_to_a_run_s_data(strategy):
    plain, more = market(tables(), strategy), market(tables(), strategy, calendar="XNYS")
    blocks = 3 if strategy.endswith("multiple") else 1
    assert more.facts["input_size"] == plain.facts["input_size"] + blocks * 2 * len(ADDED)  # two steps
    batch = more.windows_["test"].take(np.arange(5))
    for step, name in enumerate(("NextMonthCos", "Next2MonthCos")):
        column = more.layout.names.index(f"T0.{name}" if blocks == 3 else name)
        ahead = more.panel_.time_of(batch.ahead[:, step])
        months = ahead.astype("datetime64[M]").astype(int) % 12
        np.testing.assert_allclose(batch.windows[:, -1, column], np.cos(2 * np.pi * months / 12), atol=1e-6)


def test_an_unknown_calendar_is_refused_before_anything_is_fetched():
    with pytest.raises(UserError, match=r"data.calendar=nowhere: exchange_calendars has no such"):
        MarketData(
            source=Memory({}), features=NoProcessing(), scope="single", tickers=["A"], calendar="nowhere"
        )
