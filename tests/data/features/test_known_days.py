"""Calendar features: of the next session as the exchange planned it, known for the last bar too."""

import math

import numpy as np
import pandas as pd
import pytest
from markets import Memory, market, random_bars, tables

from forecast.data import MarketData
from forecast.data.calendars import planned_sessions, sessions
from forecast.data.features import NoProcessing, Returns, WithCalendar, warm_up
from forecast.errors import UserError

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


def test_a_bar_on_a_closed_day_and_a_market_that_never_closes():
    assert weekday(added(["2016-07-03"])).item() == 1  # Sunday before Monday the 4th of July
    days = pd.date_range("2016-01-01", "2016-12-31")
    table = added(days, "24/7")
    np.testing.assert_array_equal(weekday(table), (days + pd.Timedelta(days=1)).day_of_week)


def test_outside_of_the_calendar_it_is_said():
    for day, told in (("2100-06-01", "2100-06-01"), ("1899-06-01", "1899-06-01")):
        with pytest.raises(
            UserError, match=rf"data.calendar=XNYS: knows no session after {told}; cut the bars"
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
    assert more.facts["input_size"] == plain.facts["input_size"] + blocks * len(ADDED)
    batch = more.windows_["test"].take(np.arange(5))
    column = more.layout.names.index("T0.NextMonthCos" if blocks == 3 else "NextMonthCos")
    ahead = more.panel_.days[batch.rows + 1].astype("datetime64[D]")
    months = ahead.astype("datetime64[M]").astype(int) % 12
    np.testing.assert_allclose(batch.windows[:, -1, column], np.cos(2 * np.pi * months / 12), atol=1e-6)


def test_an_unknown_calendar_is_refused_before_anything_is_fetched():
    with pytest.raises(UserError, match=r"data.calendar=nowhere: exchange_calendars has no such"):
        MarketData(
            source=Memory({}), features=NoProcessing(), scope="single", tickers=["A"], calendar="nowhere"
        )
