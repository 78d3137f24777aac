"""No ticker leads out of the cache folder, and no two tickers share a file."""

from __future__ import annotations

import logging
import pickle
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from curl_cffi.requests import exceptions
from hypothesis import given, settings, strategies as st

from forecast.data.sources.yahoo import Answer, TradingHours, classify, yahoo_symbol
from forecast.data.sources.yfinance import file_name, finished
from forecast.errors import SourceError, UserError

# yfinance keeps the databases of its caches open in every thread that asked, and Python 3.13 says so.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed database in <sqlite3.Connection:ResourceWarning")

REAL = [
    "AAPL",
    "^GSPC",
    "BRK-B",
    "EURUSD=X",
    "005930.KS",
    "M&M.NS",
    "NIFTY_FIN_SERVICE.NS",
    "CON.DE",
    "GC=F",
    "A",
]
HOSTILE = [
    "",
    " ",
    ".",
    "..",
    "../AAPL",
    "..\\AAPL",
    "/etc/passwd",
    "C:\\AAPL",
    "C:AAPL",
    "a/b",
    "AAPL\0",
    "AAPL\n",
    "AAPL?range=1d",
    "AAPL#x",
    "%2e%2e%2fAAPL",
    "~",
    "-rf",
    "^",
    "^^=",
    "A" * 33,
    "AAPL ",
    "ÄPL",
    "ﬁ",  # whose capitals are two plain letters
    "٣",
    "\ud800",
]
DEVICE = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(\..*)?", re.IGNORECASE)
symbols = st.from_regex(r"[A-Za-z0-9^][A-Za-z0-9.\-=^&_]{0,31}", fullmatch=True)


@pytest.mark.parametrize("ticker", REAL)
def test_real_tickers_pass(ticker):
    assert yahoo_symbol(ticker) == ticker
    assert unquote(file_name(ticker).removesuffix(".parquet")) == ticker


def test_plain_tickers_keep_plain_file_names():
    assert file_name("BRK-B") == "BRK-B.parquet"


@pytest.mark.parametrize("ticker", ["CON", "nul", "AUX", "PRN", "COM1", "LPT9", "CON.DE", "PRN.PA"])
def test_no_file_is_named_like_a_device(ticker):
    symbol = yahoo_symbol(ticker)
    assert not DEVICE.fullmatch(file_name(symbol))
    assert unquote(file_name(symbol).removesuffix(".parquet")) == symbol


@pytest.mark.parametrize("ticker", HOSTILE, ids=ascii)
def test_what_is_no_ticker_is_refused_before_anything_happens(make_source, yahoo, tmp_path, ticker):
    with pytest.raises(UserError, match=r"^data\.tickers=.*is no Yahoo ticker; up to 32 letters") as raised:
        make_source().bars(ticker)
    assert str(raised.value).isprintable()
    assert yahoo.requests == []
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("ticker", [True, 5930, 1.5, None], ids=str)
def test_what_yaml_took_for_something_else_is_to_be_quoted(ticker):
    with pytest.raises(
        UserError, match=rf"^data\.tickers={ticker}: a ticker is text, not .*; write it in quotes"
    ):
        yahoo_symbol(ticker)


def test_an_isin_is_no_ticker():
    with pytest.raises(UserError, match="is an ISIN; write the ticker"):
        yahoo_symbol("US0378331005")


@settings(deadline=None, derandomize=True)
@given(st.text(max_size=40))
def test_any_text_is_refused_or_stays_in_the_folder(text):
    try:
        symbol = yahoo_symbol(text)
    except UserError:
        return
    folder = Path("/cache")
    path = folder / file_name(symbol)
    assert path.parent == folder
    assert path.resolve().parent == folder.resolve()
    assert unquote(path.name.removesuffix(".parquet")) == symbol == text.upper()


@settings(deadline=None, derandomize=True)
@given(symbols)
def test_names_are_safe_on_every_file_system(ticker):
    try:
        name = file_name(yahoo_symbol(ticker))
    except UserError:
        return
    assert re.fullmatch(r"[A-Z0-9%_-]{1,96}\.parquet", name)
    assert not DEVICE.fullmatch(name)


@settings(deadline=None, derandomize=True)
@given(symbols, symbols)
def test_different_tickers_have_different_files_whatever_the_case(one, other):
    try:
        first, second = yahoo_symbol(one), yahoo_symbol(other)
    except UserError:
        return
    assert (file_name(first).casefold() == file_name(second).casefold()) == (first == second)


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


@pytest.mark.parametrize(
    ("interval", "begins"),
    [("1wk", ["2024-01-01", "2024-01-08"]), ("1mo", ["2023-12-01", "2024-01-01"])],
)
def test_the_running_week_or_month_is_left_out(interval, begins):
    bars = pd.DataFrame({"Close": 1.0}, index=pd.DatetimeIndex(begins, name="Date").as_unit("ns"))
    answer = Answer(bars, NEW_YORK, None)
    for day, count in ((11, 1), (30, 1 + (interval == "1wk"))):
        now = datetime(2024, 1, day, 12, tzinfo=UTC)
        assert len(finished(answer, interval, now)) == count
    assert len(finished(answer, interval, datetime(2024, 2, 1, 12, tzinfo=UTC))) == 2


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


# What one failed call takes: the client itself asks twice when the status is 400 or more.
PASSING = {
    "429": ["429", "429"],
    "500": ["500", "500"],
    "500-json": ["500-json", "500-json"],
    "503": ["503", "503"],
    "403": ["403", "403"],
    "200-html": ["200-html"],
    "200-odd": ["200-odd"],
    "reset": ["reset"],
    "hang": ["hang"],
    "200-busy": ["200-busy"],
}
MESSAGES = {
    "429": r"limits the rate of requests \(HTTP 429\); wait some minutes, raise source\.pace_s, or work from",
    "500": r"answers with something that is no data; try again later, or work from cached bars",
    "500-json": r"gives no bars \(Internal error\); try again later",
    "503": r"answers with something that is no data; try again later",
    "403": r"answers with something that is no data; try again later",
    "200-html": r"answers with something that is no data; try again later",
    "200-odd": r"answer cannot be read \(KeyError.*\); try again later",
    "reset": r"the connection to Yahoo fails \(.*\); check the network, or work from cached bars",
    "hang": r"does not answer in time; check the network, raise source\.timeout_s",
    "200-busy": r"answers with something that is no data; try again later",
}


@pytest.mark.parametrize("kind", PASSING)
def test_what_may_pass_is_tried_again(make_source, yahoo, clock, kind):
    yahoo.failures = PASSING[kind] * 2
    bars = make_source(timeout_s=0.5, pace_s=0.0).bars("AAPL")
    assert len(bars) == 60
    assert yahoo.failures == []
    first, second = clock.slept
    scale = 5.0 if kind == "429" else 1.0
    assert 0.75 * scale <= first <= 1.25 * scale
    assert 1.5 * scale <= second <= 2.5 * scale


@pytest.mark.parametrize("kind", PASSING)
def test_what_does_not_pass_in_time_is_reported_in_one_line(make_source, yahoo, kind, tmp_path):
    yahoo.always = PASSING[kind][0]
    with pytest.raises(SourceError, match=rf"^data\.tickers=AAPL: .*{MESSAGES[kind]}") as raised:
        make_source(timeout_s=0.3, retries=2).bars("AAPL")
    assert (raised.value.may_pass, raised.value.unknown) == (True, False)
    assert "\n" not in str(raised.value)
    assert len(yahoo.asked) == 3 * len(PASSING[kind])
    assert list((tmp_path / "cache").glob("*.parquet")) == []


def test_no_retries_means_one_call(make_source, yahoo, clock):
    yahoo.always = "200-html"
    with pytest.raises(UserError):
        make_source(retries=0).bars("AAPL")
    assert len(yahoo.asked) == 1
    assert clock.slept == []


def test_a_failure_is_not_remembered(make_source, yahoo):
    source = make_source(retries=0)
    yahoo.listings, listed = {}, yahoo.listings
    with pytest.raises(UserError):
        source.bars("AAPL")
    yahoo.listings = listed
    assert len(source.bars("AAPL")) == 60


def test_an_unknown_ticker_is_not_tried_again(make_source, yahoo, clock):
    source = make_source(pace_s=0.0)
    for ticker in ("NOPE", "NOPE2", "NOPE3", "NOPE"):  # the client raises one thing at first, another later
        with pytest.raises(
            UserError, match=rf"^data\.tickers={ticker}: Yahoo knows no such ticker.*check the spelling"
        ):
            source.bars(ticker)
    assert clock.slept == []
    with pytest.raises(SourceError) as caught:
        source.bars("NOPE")
    assert (caught.value.unknown, caught.value.may_pass) == (True, False)
    assert yahoo.requests.count("/v8/finance/chart/NOPE3") == 2  # by the client, whatever the failure


def test_a_ticker_that_vanished_is_reported_like_an_unknown_one(make_source, yahoo):
    source = make_source()
    source.bars("AAPL")
    del yahoo.listings["AAPL"]  # the client still knows its time zone, and takes another way
    source.force_download = True
    with pytest.raises(UserError, match="Yahoo knows no such ticker, or no longer"):
        source.bars("AAPL")


def test_a_ticker_without_bars_is_not_tried_again(make_source, yahoo, clock):
    yahoo.listings["EMPTY"] = type(yahoo.listings["AAPL"])()
    with pytest.raises(
        SourceError, match=r"data\.tickers=EMPTY: Yahoo has no daily bars for it; check the ticker"
    ) as caught:
        make_source().bars("EMPTY")
    assert caught.value.unknown
    assert clock.slept == []
    assert len(yahoo.asked) == 1


@pytest.mark.parametrize(
    ("error", "message", "calls"),
    [
        (
            exceptions.DNSError("Could not resolve host", 6),
            r"address cannot be found; check the network, or work",
            3,
        ),
        (exceptions.ProxyError("CONNECT failed", 97), r"the proxy fails \(.*\); check HTTPS_PROXY", 3),
        (
            exceptions.CertificateVerifyError("self-signed", 60),
            r"certificate is not accepted .* SSL_CERT_FILE",
            1,
        ),
    ],
    ids=["no network", "proxy", "certificate"],
)
def test_without_a_way_to_yahoo_the_message_says_why(make_source, session, clock, error, message, calls):
    session.unplugged = error
    with pytest.raises(UserError, match=message):
        make_source(retries=2, pace_s=0.0).bars("AAPL")
    assert len(clock.slept) == calls - 1


@pytest.mark.parametrize("kind", ["429", "500", "200-html", "reset", "404", "unplugged"])
def test_the_cache_stands_in_and_says_how_old_it_is(
    make_source, yahoo, session, clock, caplog, tmp_path, kind
):
    bars = make_source().bars("AAPL")
    file = tmp_path / "cache" / "AAPL.parquet"
    content = file.read_bytes()
    clock.moment = datetime(2024, 6, 18, 21, 0, tzinfo=UTC)
    if kind == "unplugged":
        session.unplugged = exceptions.DNSError("Could not resolve host", 6)
    elif kind == "404":
        yahoo.listings = {}
    else:
        yahoo.always = kind

    with caplog.at_level(logging.WARNING):
        assert make_source(retries=1).bars("AAPL").equals(bars)

    [message] = caplog.messages
    assert message.startswith("AAPL: ")
    assert message.endswith("; bars up to 2024-06-14, fetched 4 days ago (2024-06-14 21:00 UTC)")
    assert file.read_bytes() == content


def test_what_stood_in_and_why_can_be_asked(make_source, yahoo, clock):
    source = make_source(retries=0)
    assert (source.held("AAPL"), source.stand_in("AAPL")) == (None, None)
    source.bars("AAPL")
    assert source.stand_in("AAPL") is None
    clock.moment = datetime(2024, 6, 18, 21, 0, tzinfo=UTC)
    yahoo.always = "200-html"
    for reason in ("Yahoo answers with something that is no data", "Yahoo was not asked, it is down"):
        source.bars("aapl")
        assert source.stand_in("AAPL") == source.stand_in("aapl") == reason
    assert source.held("aapl") == "bars up to 2024-06-14, fetched 4 days ago (2024-06-14 21:00 UTC)"
    yahoo.always = None
    clock.seconds += 301.0
    source.bars("AAPL")
    assert source.stand_in("AAPL") is None


def test_an_offline_source_is_not_excused(make_source, clock):
    make_source().bars("AAPL")
    clock.moment = datetime(2024, 6, 18, 21, 0, tzinfo=UTC)
    source = make_source(offline=True)
    source.bars("AAPL")
    assert source.stand_in("AAPL") is None
    assert source.held("AAPL").startswith("bars up to 2024-06-14")


def test_force_download_lets_no_cache_stand_in(make_source, yahoo):
    make_source().bars("AAPL")
    yahoo.always = "200-html"
    with pytest.raises(UserError, match="no data"):
        make_source(force_download=True, retries=0).bars("AAPL")


@pytest.mark.parametrize("sign", ["some minutes", "an answer"])
def test_while_yahoo_is_down_it_is_left_alone(make_source, yahoo, clock, caplog, sign):
    yahoo.listings["MSFT"] = yahoo.listings["IBM"] = yahoo.listings["AAPL"]
    source = make_source()
    for ticker in ("AAPL", "MSFT"):
        source.bars(ticker)
    yahoo.asked.clear()
    clock.moment = datetime(2024, 6, 18, 21, 0, tzinfo=UTC)
    yahoo.always = "200-html"

    source = make_source(retries=2)
    source.bars("AAPL")
    assert len(yahoo.asked) == 3
    source.bars("MSFT")  # in the cache: not asked
    with pytest.raises(UserError):
        source.bars("IBM")  # in no cache: asked once
    assert [ticker for ticker, _ in yahoo.asked] == ["AAPL"] * 3 + ["IBM"]
    assert "MSFT: Yahoo was not asked, it is down; bars up to 2024-06-14" in caplog.text

    yahoo.always = None
    yahoo.listings["AAPL"].add(date(2024, 6, 17), 2)
    yahoo.today = date(2024, 6, 18)
    if sign == "some minutes":
        clock.seconds += 301.0
    else:
        source.bars("IBM")
    assert source.bars("MSFT").index[-1].date() == date(2024, 6, 18)


def test_no_retry_is_begun_when_each_try_takes_minutes(make_source, yahoo, clock, monkeypatch):
    answer = yahoo.chart

    def slow(*arguments):
        clock.seconds += 91.0
        return answer(*arguments)

    monkeypatch.setattr(yahoo, "chart", slow)
    yahoo.always = "200-html"
    with pytest.raises(UserError):
        make_source().bars("AAPL")
    assert len(yahoo.asked) == 1


def test_a_cache_folder_that_is_a_file_is_refused(make_source, yahoo, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(
        UserError, match=r"source\.cache_dir=.*cache: cannot be used .* choose another folder"
    ):
        make_source().bars("AAPL")
    assert yahoo.requests == []


def test_a_damaged_client_folder_is_named(make_source, tmp_path):
    client = tmp_path / "cache" / "client"
    client.mkdir(parents=True)
    (client / "tkr-tz.db").write_bytes(b"no database" * 100)
    with pytest.raises(
        UserError, match=r"folder `client` in source\.cache_dir is damaged .* delete that folder"
    ):
        make_source().bars("AAPL")


def test_a_failure_survives_the_way_between_processes():
    error = classify(exceptions.Timeout("late", 28), "AAPL")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.reason, again.may_pass) == (str(error), error.reason, True)


def test_a_period_yahoo_rejects_is_reported():
    from yfinance.exceptions import YFInvalidPeriodError

    error = classify(YFInvalidPeriodError("AAPL", "7x", "1d, max"), "AAPL")
    assert not error.may_pass
    assert "Yahoo rejects the period (AAPL: Period '7x' is invalid, must be one of: 1d, max)" in str(error)
