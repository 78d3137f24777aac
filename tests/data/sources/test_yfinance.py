"""What the Yahoo source delivers, with the real client against a server of our own."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from forecast.data import MarketData
from forecast.data.bars import MINUTES
from forecast.data.features import NoProcessing
from forecast.data.sources import YFinanceSource
from forecast.errors import UserError

# yfinance keeps the databases of its caches open in every thread that asked, and Python 3.13 says so.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed database in <sqlite3.Connection:ResourceWarning")

NEW_YORK = ZoneInfo("America/New_York")
FRIDAY = date(2024, 6, 14)  # the server's today


def test_the_first_fetch_asks_for_everything_and_delivers_the_bar_table(make_source, yahoo):
    bars = make_source().bars("AAPL")

    [(ticker, first)] = yahoo.asked
    assert ticker == "AAPL"
    assert first.year < 1930
    assert list(bars.columns) == ["Open", "High", "Low", "Close", "Volume"]
    assert set(bars.dtypes) == {np.dtype("float64")}
    assert bars.index.dtype == np.dtype("datetime64[ns]")
    assert bars.index.name == "Date"
    assert [day.date() for day in bars.index] == sorted(yahoo.listings["AAPL"].bars)
    assert bars.iloc[0].tolist() == [100.0, 101.0, 99.0, 100.25, 1000.0]


def test_prices_are_freed_of_dividends_unless_told_otherwise(make_source, yahoo):
    ex_day = date(2024, 5, 1)
    yahoo.listings["AAPL"].pay(ex_day, 10.0)
    close_on_ex_day = yahoo.listings["AAPL"].bars[ex_day][3]
    factor = 1 - 10.0 / close_on_ex_day

    adjusted = make_source().bars("AAPL")
    raw = make_source(adjust=False).bars("AAPL")

    before = raw.index < "2024-05-01"
    for column in ("Open", "High", "Low", "Close"):
        np.testing.assert_allclose(adjusted[column][before], raw[column][before] * factor)
        np.testing.assert_allclose(adjusted[column][~before], raw[column][~before])
    assert raw["Close"].iloc[0] == 100.25
    assert raw["Volume"].equals(adjusted["Volume"])


@pytest.mark.parametrize(
    ("ticker", "zone", "opens", "closes"),
    [
        ("^GSPC", "America/New_York", time(9, 30), time(16, 0)),
        ("BRK-B", "America/New_York", time(9, 30), time(16, 0)),
        ("005930.KS", "Asia/Seoul", time(9, 0), time(15, 30)),
        ("EURUSD=X", "Europe/London", time(0, 0), time(23, 59)),
        ("BTC-USD", "UTC", time(0, 0), time(23, 59)),
        ("M&M.NS", "Asia/Kolkata", time(9, 15), time(15, 30)),
        ("CON", "Europe/Berlin", time(9, 0), time(17, 30)),
    ],
)
def test_dates_are_the_exchanges_own(make_source, yahoo, ticker, zone, opens, closes):
    listing = type(yahoo.listings["AAPL"])(zone=zone, open_at=opens, close_at=closes)
    listing.add(date(2024, 3, 20), 40)  # across the change to summer time in Europe
    yahoo.listings[ticker] = listing

    bars = make_source().bars(ticker)

    assert [day.date() for day in bars.index] == sorted(listing.bars)
    assert make_source(offline=True).bars(ticker).equals(bars)


def test_a_fund_has_capital_gains_and_is_read_like_a_share(make_source, yahoo):
    yahoo.listings["AAPL"].kind = "ETF"
    assert len(make_source().bars("AAPL")) == 60


@pytest.mark.parametrize(
    ("moment", "last"),
    [
        (datetime(2024, 6, 14, 19, 0, tzinfo=UTC), date(2024, 6, 13)),  # 15:00 in New York
        (datetime(2024, 6, 14, 20, 10, tzinfo=UTC), date(2024, 6, 13)),  # 16:10: quotes come late
        (datetime(2024, 6, 14, 20, 31, tzinfo=UTC), date(2024, 6, 14)),
        (datetime(2024, 6, 15, 2, 0, tzinfo=UTC), date(2024, 6, 14)),
    ],
    ids=["running", "settling", "over", "evening"],
)
def test_the_bar_of_a_running_session_is_left_out(make_source, clock, moment, last):
    clock.moment = moment
    source = make_source()
    assert source.bars("AAPL").index[-1].date() == last
    assert make_source(offline=True).bars("AAPL").index[-1].date() == last


def test_todays_bar_waits_for_midnight_where_yahoo_does_not_tell_the_hours(make_source, yahoo, clock):
    yahoo.listings["AAPL"].close_at = None
    assert make_source().bars("AAPL").index[-1].date() == date(2024, 6, 13)
    clock.moment = datetime(2024, 6, 15, 5, 0, tzinfo=UTC)  # 01:00 in New York
    assert make_source().bars("AAPL").index[-1].date() == FRIDAY


def test_days_without_prices_are_delivered_but_for_an_empty_today(make_source, yahoo):
    bars = yahoo.listings["AAPL"].bars
    bars[date(2024, 5, 27)] = bars[FRIDAY] = [None] * 6

    delivered = make_source().bars("AAPL")

    assert delivered.index[-1].date() == date(2024, 6, 13)
    assert delivered["Close"].isna().sum() == 1
    assert np.isnan(delivered.loc["2024-05-27", "Close"])


def test_a_share_on_its_first_day_has_no_bars_yet(make_source, yahoo, clock):
    yahoo.listings["NEW"] = type(yahoo.listings["AAPL"])()
    yahoo.listings["NEW"].add(FRIDAY, 1)
    clock.moment = datetime(2024, 6, 14, 15, 0, tzinfo=UTC)
    with pytest.raises(UserError, match=r"data\.tickers=NEW: Yahoo has no bar of a finished session; wait"):
        make_source().bars("NEW")


def test_letter_case_makes_no_second_ticker(make_source, yahoo, tmp_path):
    upper, lower = make_source().bars("AAPL"), make_source().bars("aapl")
    assert upper.equals(lower)
    assert len(yahoo.asked) == 1
    assert [file.name for file in (tmp_path / "cache").glob("*.parquet")] == ["AAPL.parquet"]


def test_calls_keep_their_distance(make_source, yahoo, clock):
    yahoo.listings["MSFT"] = yahoo.listings["IBM"] = yahoo.listings["AAPL"]
    source = make_source(pace_s=0.5)
    for ticker in ("AAPL", "MSFT", "IBM"):
        source.bars(ticker)
    assert clock.slept == [0.5, 0.5]


def test_a_request_for_prices_may_take_as_long_as_told(make_source, session):
    make_source(timeout_s=7.5).bars("AAPL")
    assert 7.5 in session.timeouts


def test_yahoo_lists_no_tickers(make_source):
    with pytest.raises(UserError, match=r"data\.tickers=null: .* name them"):
        make_source().tickers()


def test_offline_works_from_the_cache_and_says_how_old_it_is(make_source, yahoo, clock, caplog):
    bars = make_source().bars("AAPL")
    yahoo.requests.clear()
    clock.moment = datetime(2024, 6, 20, 21, 0, tzinfo=UTC)

    with caplog.at_level(logging.WARNING):
        assert make_source(offline=True).bars("AAPL").equals(bars)

    assert yahoo.requests == []
    expected = "AAPL: offline; bars up to 2024-06-14, fetched 6 days ago (2024-06-14 21:00 UTC)"
    assert caplog.messages == [expected]


def test_offline_without_a_cache_says_what_to_do(make_source, yahoo, tmp_path):
    with pytest.raises(UserError, match=r"data\.tickers=AAPL: not in the cache .* source\.offline=false"):
        make_source(offline=True).bars("AAPL")
    assert yahoo.requests == []
    assert not (tmp_path / "cache").exists()


def test_offline_and_force_download_exclude_each_other():
    with pytest.raises(
        UserError, match=r"source\.offline=true and source\.force_download=true exclude each other"
    ):
        YFinanceSource(offline=True, force_download=True)


def test_the_clients_own_files_lie_in_a_private_folder(make_source, tmp_path):
    client = tmp_path / "cache" / "client"
    client.mkdir(parents=True, mode=0o755)
    make_source().bars("AAPL")
    assert client.stat().st_mode & 0o777 == 0o700
    assert {"cookies.db", "tkr-tz.db"} <= {file.name for file in client.iterdir()}


@pytest.mark.parametrize("ticker", ["AAPL", "NOPE"], ids=["answered", "failed"])
def test_the_clients_settings_are_left_as_they_were(make_source, ticker, caplog):
    import yfinance

    caplog.set_level(logging.INFO, logger="yfinance")
    try:
        make_source().bars(ticker)
    except UserError:
        assert ticker == "NOPE"
    assert yfinance.config.debug.hide_exceptions is True
    assert logging.getLogger("yfinance").level == logging.INFO


def test_without_a_session_the_client_makes_its_own(session, clock, tmp_path, monkeypatch):
    from yfinance import data

    monkeypatch.setattr(data, "new_session", lambda: session)  # its own, led to our server
    assert len(YFinanceSource(cache_dir=str(tmp_path), clock=clock).bars("AAPL")) == 60


def test_naming_and_building_the_source_imports_nothing_heavy():
    code = (
        "import sys; from forecast.data.sources import YFinanceSource; YFinanceSource();"
        "print(sorted({'yfinance', 'pandas', 'numpy', 'pyarrow', 'curl_cffi'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


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


def test_what_yahoo_does_not_have_so_far_back_is_refused_before_asking(tmp_path):
    plan = {"features": NoProcessing(), "scope": "single", "tickers": ["AAPL"]}
    for interval, period, days in (("1m", "10y", 7), ("5m", "90d", 60), ("1h", "3y", 730)):
        source = YFinanceSource(cache_dir=str(tmp_path), interval=interval)
        with pytest.raises(
            UserError, match=rf"^data.period={period}: .* of the last {days} days only; .*{days}d"
        ):
            MarketData(source=source, interval=interval, period=period, **plan)
        MarketData(source=source, interval=interval, period=f"{days}d", **plan)
    with pytest.raises(UserError, match=r"^data.start=2020-01-01: "):
        MarketData(source=source, interval="1h", start="2020-01-01", **plan)
    with pytest.raises(UserError, match=r"^source.interval=1h: data.interval=5m wants other bars"):
        MarketData(source=source, interval="5m", **plan)
    MarketData(source=YFinanceSource(cache_dir=str(tmp_path)), period="50y", **plan)


@pytest.mark.parametrize("interval", ["1m", "5m", "15m", "30m", "1h"])
def test_intraday_bars_are_moments_in_utc_and_the_running_one_is_left_out(
    make_source, yahoo, clock, interval
):
    listing, step = yahoo.listings["AAPL"], timedelta(minutes=MINUTES[interval])
    listing.trade(date(2024, 6, 10), 5, step)
    clock.moment = datetime(2024, 6, 13, 18, 1, tzinfo=UTC)
    begins = [begin for begin in sorted(listing.intraday) if begin + step <= clock.moment]

    bars = make_source(interval=interval).bars("AAPL")

    assert [moment.tz_localize("UTC") for moment in bars.index] == begins
    assert bars["Close"].tolist() == [listing.intraday[begin][3] for begin in begins]
    yahoo.asked.clear()
    clock.moment = datetime(2024, 6, 14, 21, 0, tzinfo=UTC)
    updated = make_source(interval=interval).bars("AAPL")
    assert [moment.tz_localize("UTC") for moment in updated.index] == sorted(listing.intraday)
    assert [first for _, first in yahoo.asked] == [begins[-10].astimezone(NEW_YORK).date()]
    assert make_source(interval=interval, offline=True).bars("AAPL").equals(updated)


def test_hours_and_days_of_a_ticker_do_not_mix_in_the_cache(make_source, yahoo, tmp_path):
    yahoo.listings["AAPL"].trade(date(2024, 6, 10), 5, timedelta(hours=1))
    days, hours = make_source().bars("AAPL"), make_source(interval="1h").bars("AAPL")
    assert len(days) == 60
    assert len(hours) == 35
    assert {str(file.relative_to(tmp_path / "cache")) for file in tmp_path.rglob("*.parquet")} == {
        "AAPL.parquet",
        "1h/AAPL.parquet",
    }
