"""Sessions between dates, after a date and up to a date."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from forecast.data.calendars import check_calendar, reach, sessions
from forecast.data.sources import SyntheticSource
from forecast.data.timing import Bars
from forecast.errors import UserError


def days(index: pd.DatetimeIndex) -> list[str]:
    return [str(date.date()) for date in index]


def test_sessions_leave_out_weekends_and_holidays():
    found = sessions("XNYS", "2024-12-23", "2025-01-02")
    assert days(found) == [
        "2024-12-23",
        "2024-12-24",
        "2024-12-26",
        "2024-12-27",
        "2024-12-30",
        "2024-12-31",
        "2025-01-02",
    ]
    assert found.dtype == "datetime64[ns]"
    assert found.tz is None


def test_sessions_hold_both_ends_whatever_the_hour():
    assert days(sessions("XNYS", "2024-12-30 23:00", pd.Timestamp("2024-12-31 01:00"))) == [
        "2024-12-30",
        "2024-12-31",
    ]


def test_no_sessions_where_none_are():
    assert not len(sessions("XNYS", "2024-12-28", "2024-12-29"))
    assert not len(sessions("XNYS", "2024-12-31", "2024-12-30"))


def test_the_calendar_goes_back_further_than_its_default_of_twenty_years():
    assert days(sessions("XNYS", "1987-10-16", "1987-10-20")) == ["1987-10-16", "1987-10-19", "1987-10-20"]


def test_nothing_is_said_beyond_a_calendars_reach():
    first, last = reach("XTKS")
    assert first == pd.Timestamp("1997-01-01")
    assert last > pd.Timestamp("2026-12-31")
    assert sessions("XTKS", "1990-01-01", "1997-01-31")[0] >= first


def test_calendars_differ():
    day = "2024-11-29"  # the day after Thanksgiving, and the Thursday itself
    assert days(sessions("XLON", "2024-11-28", day)) == ["2024-11-28", day]
    assert days(sessions("XNYS", "2024-11-28", day)) == [day]
    assert len(sessions("24/7", "2024-11-01", "2024-11-30")) == 30


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(
            "2024-12-24", ["2024-12-26", "2024-12-27", "2024-12-30"], id="from a session, over a holiday"
        ),
        pytest.param("2024-12-25", ["2024-12-26", "2024-12-27", "2024-12-30"], id="from a holiday"),
        pytest.param(
            "2024-12-28", ["2024-12-30", "2024-12-31", "2025-01-02"], id="from a weekend into a new year"
        ),
    ],
)
def test_next_sessions(after, expected):
    following = Bars(calendar="XNYS").next_times(np.array([after], "datetime64[ns]"), 3)[0]
    assert days(pd.DatetimeIndex(following)) == expected


def test_last_sessions_hold_the_day_itself_if_it_is_one():
    def last(until: str, count: int) -> list[str]:
        return days(pd.DatetimeIndex(Bars(calendar="XNYS").last_times(np.datetime64(until, "ns"), count)))

    assert last("2024-12-26", 3) == ["2024-12-23", "2024-12-24", "2024-12-26"]
    assert last("2024-12-25", 2) == ["2024-12-23", "2024-12-24"]


def test_asking_beyond_the_end_is_refused():
    with pytest.raises(
        UserError, match=r"calendar XNYS knows 1900-01-01 to 2099-12-31: .* 5 days after 2099-12-30"
    ):
        Bars(calendar="XNYS").next_times(np.array(["2099-12-30"], "datetime64[ns]"), 5)
    with pytest.raises(UserError, match=r"source.num_bars=100000: .* knows too few days up to 2024-12-31"):
        SyntheticSource(num_bars=100_000).bars("S00000")


def test_an_unknown_calendar_names_its_key_and_the_nearest():
    with pytest.raises(UserError, match=r"^data.health.calendar=xnsy: .*nearest: .*XNYS"):
        check_calendar("xnsy", key="data.health.calendar")
    with pytest.raises(UserError, match="no such calendar"):
        sessions("Wall Street", "2024-01-01", "2024-01-31")


def test_importing_costs_neither_pandas_nor_the_calendars():
    code = (
        "import sys, forecast.data.calendars, forecast.data.health\n"
        "assert not {'pandas', 'numpy', 'exchange_calendars'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
