"""What the Yahoo source delivers, with the real client against a server of our own."""

from __future__ import annotations

import logging
import subprocess
import sys
from datetime import UTC, date, datetime, time
from pathlib import Path

import numpy as np
import pytest

from forecast.data.sources import YFinanceSource
from forecast.errors import UserError

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
