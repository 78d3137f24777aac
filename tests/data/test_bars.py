"""Bars in time: the next ones, when each is known, how many make a year, and which market bars are of."""

import numpy as np
import pandas as pd
import pytest

from forecast.data.bars import INTERVALS
from forecast.data.rhythm import find_bars
from forecast.data.target import Return, Volatility
from forecast.data.timing import Bars
from forecast.errors import UserError
from tests.exchange_bars import times

MARKETS = {
    "AAPL": "XNYS", "BTC-USD": "24/7", "EURUSD=X": "24/5", "2222.SR": "XSAU", "7203.T": "XTKS", "PETR4.SA": "BVMF",
    "AI.PA": "XPAR", "0700.HK": "XHKG", "ES=F": "CMES",
}  # fmt: skip


def moments(*texts):
    return np.array(texts, "datetime64[ns]")


def ahead(bars, after, count=3):
    return [bars.text(time) for time in bars.next_times(moments(after), count)[0]]


@pytest.mark.parametrize(
    ("interval", "calendar", "after", "follow"),
    [
        ("1d", "XNYS", "2024-07-03", ["2024-07-05", "2024-07-08", "2024-07-09"]),
        ("1d", "XSAU", "2024-06-27", ["2024-06-30", "2024-07-01", "2024-07-02"]),
        ("1d", "24/7", "2024-06-28", ["2024-06-29", "2024-06-30", "2024-07-01"]),
        ("1d", "24/5", "2024-06-28", ["2024-07-01", "2024-07-02", "2024-07-03"]),
        ("1d", None, "2024-06-28", ["2024-07-01", "2024-07-02", "2024-07-03"]),
        # A half day ends at 13:00 in New York, and the clocks change over a weekend.
        ("1h", "XNYS", "2024-07-03T15:30", ["2024-07-03T16:30Z", "2024-07-05T13:30Z", "2024-07-05T14:30Z"]),
        ("1h", "XNYS", "2024-03-08T20:30", ["2024-03-11T13:30Z", "2024-03-11T14:30Z", "2024-03-11T15:30Z"]),
        ("5m", "XNYS", "2024-11-01T19:55", ["2024-11-04T14:30Z", "2024-11-04T14:35Z", "2024-11-04T14:40Z"]),
        # Tokyo's lunch, and its later close since 2024-11-05.
        ("30m", "XTKS", "2024-07-01T02:00", ["2024-07-01T03:30Z", "2024-07-01T04:00Z", "2024-07-01T04:30Z"]),
        ("30m", "XTKS", "2024-11-05T05:30", ["2024-11-05T06:00Z", "2024-11-06T00:00Z", "2024-11-06T00:30Z"]),
        ("1h", "24/7", "2024-03-31T00:30", ["2024-03-31T01:30Z", "2024-03-31T02:30Z", "2024-03-31T03:30Z"]),
        ("1h", "XSAU", "2024-06-27T11:00", ["2024-06-30T07:00Z", "2024-06-30T08:00Z", "2024-06-30T09:00Z"]),
        ("1wk", "XNYS", "2024-03-18", ["2024-03-25", "2024-04-01", "2024-04-08"]),
        ("1mo", "XNYS", "2024-01-31", ["2024-02-29", "2024-03-31", "2024-04-30"]),
    ],
)
def test_the_next_bars(interval, calendar, after, follow):
    assert ahead(Bars(interval=interval, calendar=calendar), after) == follow


def test_weeks_and_months_named_by_a_session():
    by_last = Bars(interval="1wk", calendar="XNYS", naming="last")
    assert ahead(by_last, "2024-03-22") == ["2024-03-28", "2024-04-05", "2024-04-12"]  # Good Friday
    assert ahead(Bars(interval="1wk", calendar="XNYS", naming="first"), "2024-01-08", 2) == [
        "2024-01-16",
        "2024-01-22",
    ]
    assert ahead(Bars(interval="1mo", calendar="XNYS", naming="last"), "2024-02-29", 2) == [
        "2024-03-28",
        "2024-04-30",
    ]
    assert ahead(Bars(interval="1mo", calendar="XNYS", naming="first"), "2023-12-01", 2) == [
        "2024-01-02",
        "2024-02-01",
    ]


@pytest.mark.parametrize(
    ("interval", "calendar", "time", "known"),
    [
        ("1d", "XNYS", "2024-07-03", "2024-07-03T17:00"),
        ("1d", "XNYS", "2024-07-04", "NaT"),
        ("1d", "24/7", "2024-07-06", "2024-07-07T00:00"),
        ("1h", "XNYS", "2024-07-02T13:30", "2024-07-02T14:30"),
        ("1h", "XNYS", "2024-07-03T16:30", "2024-07-03T17:00"),
        ("1wk", "XNYS", "2024-03-25", "2024-03-28T20:00"),
        ("1mo", "XNYS", "2024-03-01", "2024-03-28T20:00"),
    ],
)
def test_when_a_bar_is_known(interval, calendar, time, known):
    assert str(Bars(interval=interval, calendar=calendar).known_times(moments(time))[0]) == str(
        moments(known)[0]
    )


@pytest.mark.parametrize(
    ("calendar", "days", "hours"),
    [("XNYS", 252, 1755), ("24/7", 365, 8760), ("24/5", 261, 6264), ("XTKS", 245, 1470), ("XSAU", 249, 1245)],
)
def test_bars_in_a_year(calendar, days, hours):
    assert Bars(calendar=calendar).per_year == days
    assert Bars(interval="1h", calendar=calendar).per_year == hours
    assert [Bars(interval=one, calendar=calendar).per_year for one in ("1wk", "1mo")] == [52, 12]


@pytest.mark.parametrize("interval", ["1d", "1h", "5m"])
@pytest.mark.parametrize("ticker", MARKETS)
def test_the_calendar_is_found_by_the_tickers_name_and_the_next_bar_is_right(ticker, interval):
    every = times(MARKETS[ticker], interval, last="2024-07-05", count=800).to_numpy()
    found = find_bars(ticker, every[:-3], interval=interval, calendar="auto")
    assert (found.bars.calendar, found.warnings) == (MARKETS[ticker], ())
    assert "by the ticker's name" in found.why or "without an ending" in found.why
    np.testing.assert_array_equal(
        found.bars.next_times(every[:-3], 3), np.lib.stride_tricks.sliding_window_view(every, 3)[1:]
    )
    assert Bars.from_json(found.bars.to_json()).to_json() == found.bars.to_json()


@pytest.mark.parametrize("interval", ["1d", "1h"])
@pytest.mark.parametrize("calendar", ["24/7", "24/5", "XSAU", "XTKS", "BVMF"])
def test_the_calendar_is_found_by_the_bars_own_rhythm(calendar, interval):
    every = times(calendar, interval, last="2024-07-05", count=800).to_numpy()
    found = find_bars("mine", every, interval=interval, calendar="auto")
    assert found.bars.calendar == calendar
    assert "by the bars' own rhythm" in found.why


@pytest.mark.parametrize(
    ("calendar", "named", "message"),
    [
        (
            "24/7",
            "XNYS",
            r"^data.calendar=XNYS: A: 3\d % of its bars are of days when XNYS is closed; data.calendar=24/7 fits",
        ),
        ("XSAU", "XNYS", "data.calendar=XSAU fits"),
        ("XNYS", "24/7", r"3\d % of the sessions of 24/7 have no bar; data.calendar=XNYS fits"),
    ],
)
def test_a_contradiction_of_a_named_calendar_is_refused_with_the_one_that_fits(calendar, named, message):
    every = times(calendar, "1d", last="2024-07-05", count=500).to_numpy()
    with pytest.raises(UserError, match=message):
        find_bars("A", every, interval="1d", calendar=named)
    # A config of an earlier version is warned of, and its next bar is right.
    found = find_bars("A", every[:-1], interval="1d", calendar=None, assumed=named)
    assert found.bars.calendar == calendar
    assert named in found.warnings[0]
    assert found.bars.next_times(every[-2:-1], 1)[0, 0] == every[-1]


def test_hours_of_another_market_are_refused():
    every = times("XNYS", "1h", last="2024-07-05", count=500).to_numpy()
    with pytest.raises(
        UserError, match=r"its bars stand in \d+ % of the hours in which XTKS trades; data.calendar=XNYS"
    ):
        find_bars("A", every, interval="1h", calendar="XTKS")


def test_without_a_calendar_the_bars_own_weekdays_count():
    every = times("XSAU", "1d", last="2024-07-04", count=300).to_numpy()
    for calendar in ("none", None):
        found = find_bars("A", every, interval="1d", calendar=calendar)
        assert found.bars.calendar is None
        assert ahead(found.bars, "2024-07-04", 2) == ["2024-07-07", "2024-07-08"]
    # Nor is anybody given a Friday for Tel Aviv, whose calendar the library cannot build.
    found = find_bars("X.TA", every, interval="1d", calendar="auto")
    assert ahead(found.bars, "2024-07-04", 1) == ["2024-07-07"]
    assert "XTAE" in found.warnings[0]


@pytest.mark.parametrize("shape", ["end", "clock", "extended", "currency", "thin"])
def test_bars_that_begin_where_a_vendor_likes(shape):
    """Stamped with their end, on full hours, with trading before and after hours, a week of currencies, thin trading."""
    hours = pd.date_range("2024-01-01", "2024-07-06", freq="h", tz="America/New_York")
    every = times("XNYS", "1h", last="2024-07-05", count=850)
    ticker, expected = "AAPL", None
    if shape == "end":
        index = (every + pd.Timedelta("1h")).where(every.minute != 99)
        local = index.tz_localize("UTC").tz_convert("America/New_York")
        index = index.where(local.hour * 60 + local.minute <= 16 * 60, index - pd.Timedelta("30min"))
        expected = "2024-07-08T14:30Z"
    elif shape == "clock":
        index = every - pd.Timedelta("30min")
        expected = "2024-07-08T13:00Z"
    elif shape == "extended":
        days = every.normalize().unique()
        inside = hours[
            (hours.hour >= 4) & (hours.hour < 20) & np.isin(hours.tz_localize(None).normalize(), days)
        ]
        index = inside.tz_convert("UTC").tz_localize(None)
        expected = "2024-07-08T08:00Z"
    elif shape == "currency":
        day, hour = hours.day_of_week, hours.hour
        open_then = (day < 4) | ((day == 4) & (hour < 17)) | ((day == 6) & (hour >= 17))
        index, ticker = hours[open_then].tz_convert("UTC").tz_localize(None), "EURUSD=X"
        expected = "2024-07-07T21:00Z"
    else:
        every = times("XNYS", "5m", last="2024-07-05", count=2000)
        index = every[np.random.default_rng(0).random(len(every)) < 0.4].append(every[-1:]).unique()
        expected = "2024-07-08T13:30Z"
    interval = "5m" if shape == "thin" else "1h"
    found = find_bars(ticker, index.to_numpy(), interval=interval, calendar="auto")
    assert ahead(found.bars, index.to_numpy()[-1], 1) == [expected]
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("real", "said", "message"),
    [
        (
            "1h",
            "1d",
            r"^data.interval=1d: is coarser than the bars; A: bars of 1 hour; use data.interval=1h, and data.resample=1d",
        ),
        ("1h", "5m", "^data.interval=5m: is finer than the bars; A: bars of 1 hour; use data.interval=1h$"),
        ("1wk", "1d", "is finer than the bars; A: weekly bars; use data.interval=1wk"),
        ("1d", "1wk", "use data.interval=1d, and data.resample=1wk"),
        ("1mo", "1d", "monthly bars"),
    ],
)
def test_another_interval_than_the_bars_is_refused(real, said, message):
    every = times("XNYS", real, last="2024-07-05", count=30).to_numpy()
    with pytest.raises(UserError, match=message):
        find_bars("A", every, interval=said, calendar="auto")


def test_bars_of_four_hours_have_no_interval():
    every = times("24/7", "1h", last="2024-07-05", count=400).to_numpy()[::4]
    with pytest.raises(UserError, match="bars of 4 hours; intervals are 1m, 5m"):
        find_bars("A", every, interval="1h", calendar="auto")


def test_half_daily_half_hourly_is_refused():
    days = times("XNYS", "1d", last="2023-12-29", count=250).to_numpy()
    hours = times("XNYS", "1h", last="2024-07-05", count=800).to_numpy()
    for interval in ("1d", "1h"):
        with pytest.raises(
            UserError, match=r"of two intervals: daily bars until about .*, bars of 1 hour after"
        ):
            find_bars("A", np.concatenate([days, hours]), interval=interval, calendar="auto")


def test_thinly_traded_days_are_daily_bars():
    every = times("XNYS", "1d", last="2024-07-05", count=400).to_numpy()[::2]
    found = find_bars("A", every, interval="1d", calendar="auto")
    assert found.bars.calendar == "XNYS"
    assert "have no bar" in found.warnings[0]


def test_every_interval_has_a_name_and_a_text():
    labels = [Bars(interval=interval).label for interval in INTERVALS]
    assert labels == [
        "minute",
        "5-minute bar",
        "15-minute bar",
        "30-minute bar",
        "hour",
        "day",
        "week",
        "month",
    ]
    assert Bars().text(pd.Timestamp("2024-07-05")) == "2024-07-05"
    assert Bars(interval="1h").text(moments("2024-07-05T13:30")[0]) == "2024-07-05T13:30Z"


def test_outside_of_what_a_calendar_knows_it_says_so():
    with pytest.raises(UserError, match="calendar XSAU knows 2021-01-01 to 2029-12-31"):
        Bars(interval="1h", calendar="XSAU").next_times(moments("2020-05-05T10:00"), 1)


def currency_times(first, last, freq):
    """Sunday 17:00 to Friday 17:00 on New York's clock, in UTC."""
    local = pd.date_range(first, last, freq=freq, tz="America/New_York")
    day, hour = local.day_of_week, local.hour
    open_then = (day < 4) | ((day == 4) & (hour < 17)) | ((day == 6) & (hour >= 17))
    return local[open_then].tz_convert("UTC").tz_localize(None).to_numpy()


@pytest.mark.parametrize("ticker", ["EURUSD=X", "mine"])
def test_the_week_of_currencies_ends_on_friday_in_winter_too_and_over_changes_of_the_clock(ticker):
    every = currency_times("2022-09-01", "2024-03-20", "1h")
    for row in (1500, 2300, 2999, 3400, len(every) - 130):
        found = find_bars(ticker, every[: row + 1], interval="1h", calendar="auto")
        np.testing.assert_array_equal(
            found.bars.next_times(every[row : row + 1], 120)[0], every[row + 1 :][:120]
        )


@pytest.mark.parametrize(
    ("ticker", "every"),
    [
        ("EURUSD=X", currency_times("2023-11-17 15:00", "2023-11-21 03:00", "1min")),
        ("coin", np.arange("2023-11-19T10:34", "2023-11-23T00:00", dtype="datetime64[m]")),
    ],
)
def test_two_days_of_minutes_around_the_clock(ticker, every):
    every = every.astype("datetime64[ns]")
    found = find_bars(ticker, every[:-600], interval="1m", calendar="auto")
    assert found.bars.hours.align == "open"
    np.testing.assert_array_equal(found.bars.next_times(every[-601:-600], 600)[0], every[-600:])


# How vendors and pandas name weeks and months of days.
WAYS = {
    "first": lambda days, rule: days.groupby(days.dt.to_period(rule)).first(),
    "last": lambda days, rule: days.groupby(days.dt.to_period(rule)).last(),
    "W-SUN": lambda days, _: pd.Series(days.dt.to_period("W-SUN").dt.end_time.dt.normalize().unique()),
    "from Sunday": lambda days, _: pd.Series(days.dt.to_period("W-SAT").dt.start_time.unique()),
    "BME": lambda days, _: pd.Series(
        pd.offsets.BMonthEnd().rollback(day)
        for day in days.dt.to_period("M").dt.end_time.dt.normalize().unique()
    ),
}


@pytest.mark.parametrize(
    ("ticker", "market", "way", "rule"),
    [
        ("mine", "XTKS", "first", "W"),
        ("mine", "XTKS", "first", "M"),
        ("2222.SR", "XSAU", "first", "W-SAT"),
        ("mine", "XSAU", "last", "W-SAT"),
        ("mine", "XSAU", "first", "M"),
        ("2222.SR", "XSAU", "W-SUN", "W"),
        ("mine", "XSHG", "W-SUN", "W"),
        ("600000.SS", "XSHG", "from Sunday", "W"),
        ("7203.T", "XTKS", "BME", "M"),
    ],
)
def test_weeks_and_months_show_how_they_are_named(ticker, market, way, rule):
    days = pd.Series(times(market, "1d", last="2024-11-29", count=900))
    every = WAYS[way](days, rule).to_numpy().astype("datetime64[ns]")[1:-1]
    found = find_bars(ticker, every[:-9], interval="1mo" if rule == "M" else "1wk", calendar="auto")
    assert found.bars.calendar == market
    assert not any("alike" in warning for warning in found.warnings)
    np.testing.assert_array_equal(found.bars.next_times(every[-10:-9], 9)[0], every[-9:])


def test_weeks_by_sessions_of_no_calendar_say_that_holidays_are_not_known():
    days = pd.Series(times("XSAU", "1d", last="2024-11-29", count=500))
    every = WAYS["first"](days, "W-SAT").to_numpy().astype("datetime64[ns]")
    found = find_bars("mine", every[:-3], interval="1wk", calendar="none")
    assert found.bars.weekmask == "1111001"
    assert found.bars.naming == "first"
    assert "holidays are not known" in found.warnings[0]
    np.testing.assert_array_equal(found.bars.next_times(every[-4:-3], 3)[0], every[-3:])


def test_the_running_week_has_no_next_one():
    mondays = np.arange("2023-01-02", "2024-01-01", 7, dtype="datetime64[D]")
    every = np.append(mondays, np.datetime64("2024-01-03")).astype("datetime64[ns]")
    with pytest.raises(
        UserError, match=r"dated 2024-01-03, not by the weekday .* data\.end=2023-12-25 leaves it out"
    ):
        find_bars("AAPL", every, interval="1wk", calendar="auto")


def test_a_week_without_a_session_has_no_bar():
    """The golden week of Shanghai, 2024-10-01 to 2024-10-07."""
    bars = Bars(interval="1wk", calendar="XSHG")
    assert ahead(bars, np.datetime64("2024-02-05"), 2) == ["2024-02-19", "2024-02-26"]


def test_tokyos_half_hours_stamped_with_their_end_are_not_sydneys():
    every = times("XTKS", "30m", last="2023-10-12", count=700) + pd.Timedelta("30min")
    found = find_bars("mine", every.to_numpy()[:-12], interval="30m", calendar="auto")
    assert found.bars.calendar == "XTKS"
    np.testing.assert_array_equal(found.bars.next_times(every.to_numpy()[-13:-12], 12)[0], every[-12:])


@pytest.mark.parametrize(
    ("interval", "r2", "direction", "ic"),
    [
        ("1d", 0.02, 0.57, 0.10),
        ("1h", 0.02, 0.57, 0.10),
        ("1wk", 0.0969, 0.654, 0.220),
        ("1mo", 0.0969, 0.654, 0.220),
    ],
)
def test_what_is_suspected_of_a_leak_is_the_same_skill_a_year(interval, r2, direction, ic):
    bars = Bars(interval=interval, calendar="XNYS")
    assert Return().of_bars(bars).suspect_above == pytest.approx(
        {"r2_oos": r2, "direction": direction, "ic": ic}, abs=5e-4
    )
    assert Volatility().of_bars(bars).suspect_below == ({"har": 0.85} if interval == "1d" else {})


def test_a_calendar_that_cannot_be_built_is_refused_with_the_way_out():
    with pytest.raises(
        UserError, match=r"^data.calendar=XTAE: .* data.calendar=none goes by the bars' own weekdays$"
    ):
        find_bars(
            "A", times("XNYS", "1d", last="2024-07-05", count=40).to_numpy(), interval="1d", calendar="XTAE"
        )


def test_weeks_too_few_to_show_what_names_them_are_said_to_be():
    mondays = pd.date_range("2024-02-26", periods=12, freq="W-MON").to_numpy()  # no holiday is among them
    found = find_bars("AAPL", mondays, interval="1wk", calendar="XNYS")
    assert found.why.endswith("each named by a fixed day")
    (warning,) = found.warnings
    assert "or by the first session: 2024-05-27 would be 2024-05-28; a longer series tells" in warning
    (warning,) = find_bars("AAPL", mondays, interval="1wk", calendar="none").warnings
    assert "without a calendar holidays are not known" in warning


def test_currencies_are_not_promised_on_christmas():
    bars = Bars(interval="1h", calendar="24/5")
    last = moments("2023-12-25T04:00")
    assert bars.unlikely(bars.next_times(last, 2)[0]) == [
        "24/5 knows no holidays: on 2023-12-25 most dealers in currencies quote nothing"
    ]
    assert not bars.unlikely(bars.next_times(last + np.timedelta64(1, "D"), 2)[0])


def test_another_countrys_holidays_are_said():
    days = times("XNZE", "1d", last="2024-05-31", count=400).to_numpy()
    (warning,) = find_bars("mine", days, interval="1d", calendar="auto").warnings
    assert "% of the sessions of" in warning
    assert "data.calendar=NAME names another" in warning
