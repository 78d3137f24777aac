"""The Yahoo cache over time: what is asked again, and when everything is."""

from __future__ import annotations

import logging
import random
from datetime import UTC, date, datetime, timedelta

import pytest

TEN_BACK = date(2024, 6, 3)  # ten sessions up to Friday 2024-06-14
MONDAY_EVENING = datetime(2024, 6, 17, 21, 0, tzinfo=UTC)


@pytest.fixture
def filled(make_source, yahoo, clock):
    """AAPL in the cache up to Friday; then Monday goes by."""
    make_source().bars("AAPL")
    yahoo.asked.clear()
    yahoo.requests.clear()
    yahoo.listings["AAPL"].add(date(2024, 6, 17), 1)
    yahoo.today = date(2024, 6, 17)
    clock.moment = MONDAY_EVENING
    return yahoo.listings["AAPL"]


def whole(asked):
    """Which of the questions were for the whole history."""
    return [first.year < 1930 for _, first in asked]


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    "moment",
    [
        datetime(2024, 6, 14, 23, 0, tzinfo=UTC),
        datetime(2024, 6, 15, 22, 0, tzinfo=UTC),
        datetime(2024, 6, 16, 22, 0, tzinfo=UTC),
        datetime(2024, 6, 17, 19, 0, tzinfo=UTC),
    ],
    ids=["the same evening", "Saturday", "Sunday", "Monday before the close"],
)
def test_nothing_is_asked_while_no_session_can_have_ended(make_source, yahoo, clock, moment):
    clock.moment = moment
    assert make_source().bars("AAPL").index[-1].date() == date(2024, 6, 14)
    assert yahoo.requests == []


def test_what_trades_every_day_is_asked_about_every_day(make_source, yahoo, clock):
    yahoo.listings["BTC-USD"] = type(yahoo.listings["AAPL"])(
        zone="UTC", open_at=datetime.min.time(), close_at=None
    )
    yahoo.listings["BTC-USD"].add(date(2024, 5, 1), 60, every_day=True)
    make_source().bars("BTC-USD")
    clock.moment = datetime(2024, 6, 15, 12, 0, tzinfo=UTC)  # a Saturday
    assert make_source().bars("BTC-USD").index[-1].date() == date(2024, 6, 14)
    assert len(yahoo.asked) == 2


def test_an_update_asks_for_the_last_ten_sessions_and_joins_them(filled, make_source, yahoo):
    bars = make_source().bars("AAPL")
    assert yahoo.asked == [("AAPL", TEN_BACK)]
    assert [day.date() for day in bars.index] == sorted(filled.bars)
    assert make_source(offline=True).bars("AAPL").equals(bars)


def test_an_update_leaves_out_the_bar_of_a_running_session(filled, make_source, yahoo, clock):
    filled.add(date(2024, 6, 18), 1)
    yahoo.today = date(2024, 6, 18)
    clock.moment = datetime(2024, 6, 18, 15, 0, tzinfo=UTC)
    assert make_source().bars("AAPL").index[-1].date() == date(2024, 6, 17)
    assert yahoo.asked == [("AAPL", TEN_BACK)]


def test_jitter_in_the_seventh_digit_is_no_rewritten_history(filled, make_source, yahoo):
    bar = filled.bars[date(2024, 6, 10)]
    bar[4] *= 1 + 3e-7
    make_source().bars("AAPL")
    assert yahoo.asked == [("AAPL", TEN_BACK)]


def test_a_day_that_never_had_prices_is_no_rewritten_history(make_source, yahoo, clock):
    listing = yahoo.listings["AAPL"]
    listing.bars[date(2024, 6, 10)] = [None] * 6
    make_source().bars("AAPL")
    listing.add(date(2024, 6, 17), 1)
    yahoo.today, clock.moment = date(2024, 6, 17), MONDAY_EVENING
    assert len(make_source().bars("AAPL")) == 61
    assert whole(yahoo.asked) == [True, False]


def test_a_corrected_volume_is_taken_over_without_the_rest(filled, make_source, yahoo):
    filled.bars[date(2024, 6, 14)][5] = 4321.0
    assert make_source().bars("AAPL").loc["2024-06-14", "Volume"] == 4321.0
    assert whole(yahoo.asked) == [False]


def correct_a_price(listing):
    listing.bars[date(2024, 6, 10)][1] += 0.01


def correct_an_adjusted_price(listing):
    listing.bars[date(2024, 6, 10)][4] *= 0.999


def take_a_day_away(listing):
    del listing.bars[date(2024, 6, 10)]


def insert_a_day(listing):
    listing.add(date(2024, 6, 8), 1, every_day=True)


def move_a_day(listing):
    listing.bars[date(2024, 6, 8)] = listing.bars.pop(date(2024, 6, 7))


def empty_a_day(listing):
    listing.bars[date(2024, 6, 10)] = [None] * 6


@pytest.mark.parametrize(
    "rewrite",
    [
        correct_a_price,
        correct_an_adjusted_price,
        take_a_day_away,
        insert_a_day,
        move_a_day,
        empty_a_day,
    ],
)
def test_a_rewritten_history_is_fetched_again_in_full(filled, make_source, yahoo, rewrite):
    rewrite(filled)
    old = filled.bars[date(2024, 4, 1)]
    old[2] -= 0.5  # out of sight of the overlap

    bars = make_source(adjust=False).bars("AAPL")

    assert whole(yahoo.asked) == [False, True]
    assert bars.loc["2024-04-01", "Low"] == old[2]
    assert [day.date() for day in bars.index] == sorted(filled.bars)


@pytest.mark.parametrize("event", ["dividend", "split"])
@pytest.mark.parametrize("day", [date(2024, 6, 17), date(2024, 6, 11)], ids=["new day", "known day"])
def test_a_new_event_changes_every_earlier_price(filled, make_source, yahoo, event, day):
    if event == "dividend":
        filled.pay(day, 2.0)
    else:
        filled.split(day, 4.0)

    bars = make_source().bars("AAPL")

    assert whole(yahoo.asked) == [False, True]
    assert bars["Close"].iloc[0] == pytest.approx(filled.bars[date(2024, 3, 25)][4])
    assert make_source().bars("AAPL").equals(bars)
    assert len(yahoo.asked) == 2  # known by then


def test_a_dividend_too_small_to_see_in_prices_is_seen_as_an_event(filled, make_source, yahoo):
    filled.dividends[date(2024, 6, 17)] = 1e-6
    make_source().bars("AAPL")
    assert whole(yahoo.asked) == [False, True]


def test_a_short_cache_is_fetched_again_in_full(make_source, yahoo, clock):
    yahoo.listings["NEW"] = type(yahoo.listings["AAPL"])()
    yahoo.listings["NEW"].add(date(2024, 6, 13), 2)
    make_source().bars("NEW")
    yahoo.listings["NEW"].add(date(2024, 6, 17), 1)
    yahoo.today, clock.moment = date(2024, 6, 17), MONDAY_EVENING
    assert len(make_source().bars("NEW")) == 3
    assert whole(yahoo.asked) == [True, True]


def test_force_download_asks_for_everything_even_when_nothing_is_new(make_source, yahoo):
    make_source().bars("AAPL")
    yahoo.listings["AAPL"].bars[date(2024, 4, 1)][1] += 0.5
    bars = make_source(force_download=True).bars("AAPL")
    assert whole(yahoo.asked) == [True, True]
    assert bars.loc["2024-04-01", "High"] == yahoo.listings["AAPL"].bars[date(2024, 4, 1)][1]


def test_a_history_that_lost_its_beginning_is_said_aloud(filled, make_source, caplog):
    for day in [day for day in filled.bars if day < date(2024, 4, 15)]:
        del filled.bars[day]
    with caplog.at_level(logging.WARNING):
        assert len(make_source(force_download=True).bars("AAPL")) == len(filled.bars)
    assert caplog.messages == [
        "AAPL: Yahoo's history now begins on 2024-04-15; in the cache it began on 2024-03-25"
    ]


@pytest.mark.parametrize("seed", range(6))
def test_many_updates_equal_one_download(make_source, yahoo, clock, tmp_path, seed):
    """Whatever happens between two updates, the cache holds what Yahoo says now."""
    events, listing = random.Random(seed), yahoo.listings["AAPL"]
    last = max(listing.bars)
    for _ in range(6):
        make_source().bars("AAPL")
        listing.add(last + timedelta(days=1), events.randint(1, 14))
        last = max(listing.bars)
        new = [day for day in listing.bars if day > last - timedelta(days=12)]
        match events.choice(["nothing", "nothing", "dividend", "split"]):
            case "dividend":
                listing.pay(events.choice(new), 1.5)
            case "split":
                listing.split(events.choice(new), 2.0)
        clock.moment = datetime(last.year, last.month, last.day, 21, 0, tzinfo=UTC)
        yahoo.today = last

    updated = make_source().bars("AAPL")
    (tmp_path / "cache" / "AAPL.parquet").unlink()
    assert make_source().bars("AAPL").equals(updated)
