"""When a session is over, by the exchange's own clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.data.sources.yahoo import TradingHours

NEW_YORK = TradingHours("America/New_York", "16:00")
TODAY, YESTERDAY, TOMORROW = date(2024, 6, 14), date(2024, 6, 13), date(2024, 6, 15)


def at(hour: int, minute: int = 0, day: int = 14) -> datetime:
    return datetime(2024, 6, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "now", "day"),
    [
        (NEW_YORK, at(20, 29), YESTERDAY),
        (NEW_YORK, at(20, 30), TODAY),
        (TradingHours("Asia/Tokyo", "15:30"), at(6, 59), YESTERDAY),
        (TradingHours("Asia/Tokyo", "15:30"), at(7, 0), TODAY),
        (
            TradingHours("Europe/London", "23:59"),
            at(23, 20),
            YESTERDAY,
        ),  # 00:20 on the next day: still settling
        (TradingHours("Europe/London", "23:59"), at(23, 30), TODAY),
        (TradingHours("UTC"), at(0, 29), date(2024, 6, 12)),
        (TradingHours("UTC"), at(23, 59), YESTERDAY),
        (TradingHours("UTC"), at(0, 30, day=15), TODAY),
    ],
)
def test_the_last_day_that_is_over(hours, now, day):
    assert hours.last_day_over(now) == day


def test_the_close_follows_summer_time():
    assert NEW_YORK.last_day_over(datetime(2024, 1, 12, 20, 45, tzinfo=UTC)) == date(2024, 1, 11)
    assert NEW_YORK.last_day_over(datetime(2024, 1, 12, 21, 30, tzinfo=UTC)) == date(2024, 1, 12)


@pytest.mark.parametrize(
    ("session", "day"),
    [(TODAY, TODAY), (TOMORROW, TODAY), (YESTERDAY, YESTERDAY), (None, YESTERDAY)],
    ids=["today's", "the next one already", "an earlier one", "unknown"],
)
def test_todays_bar_counts_by_todays_close_alone(session, day):
    assert NEW_YORK.last_finished_bar(at(21), session) == day


@settings(deadline=None, derandomize=True)
@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)),
    st.sampled_from(["16:00", "00:00", "23:59", None]),
)
def test_a_day_over_stays_over(moment, close):
    hours = TradingHours("America/New_York", close)
    now = moment.replace(tzinfo=UTC)
    assert hours.last_day_over(now) <= hours.last_day_over(now + timedelta(hours=3))
    assert hours.last_day_over(now + timedelta(days=2)) > hours.last_day_over(now)
