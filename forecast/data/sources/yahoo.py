"""Asking Yahoo through yfinance: one ticker at a time, paced, retried, every failure named."""

from __future__ import annotations

import logging
import random
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time as time_of_day, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from forecast.data.bars import COLUMNS, MINUTES, Interval
from forecast.errors import SourceError, UserError

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

EVENTS = ("Dividends", "Stock Splits", "Capital Gains")
RAW_COLUMNS = (*COLUMNS, "Adj Close", *EVENTS)
# A network that swallows packets costs the client over a minute a try; beyond this no retry is begun.
PATIENCE_S = 90.0
# After a call that failed with all its retries, Yahoo counts as down for so long.
DOWN_S = 300.0
# Quotes come up to 20 minutes late, and closing auctions end some minutes after the regular session.
SETTLING = timedelta(minutes=30)
DAY = timedelta(days=1)
# Days up to now of which Yahoo has bars of an interval; of others it has all.
DAYS_BACK = {"1m": 7, "5m": 60, "15m": 60, "30m": 60, "1h": 730}
_CHART = "https://query2.finance.yahoo.com/v8/finance/chart/"
_UNCLEAR = {"YFTzMissingError", "YFPricesMissingError", "HTTPError"}
_SYMBOL = re.compile(r"[A-Z0-9^][A-Z0-9.\-=^&_]{0,31}")
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
_OFFLINE = "or work from cached bars with source.offline=true"


def yahoo_symbol(ticker: object) -> str:
    """The ticker as Yahoo writes it: in capitals.

    Raises:
        UserError: it cannot be a ticker; so nothing is asked and no file is touched.
    """
    if not isinstance(ticker, str):
        raise UserError(
            f"data.tickers={ticker!r}: a ticker is text, not {type(ticker).__name__}; write it in quotes"
        )
    # Checked before upper(): that turns some letters outside of ASCII into letters within.
    symbol = ticker.upper() if ticker.isascii() else ""
    if not _SYMBOL.fullmatch(symbol) or not any(character.isalnum() for character in symbol):
        raise UserError(
            f"data.tickers={ticker[:40]!r}: is no Yahoo ticker; up to 32 letters, digits and . - = ^ & _, "
            "as in AAPL, BRK-B, ^GSPC, EURUSD=X, 005930.KS"
        )
    if _ISIN.fullmatch(symbol):
        raise UserError(f"data.tickers={ticker!r}: is an ISIN; write the ticker that Yahoo lists it under")
    return symbol


class Clock:
    """The machine's clock; a test puts another in its place, so that nothing really waits."""

    def now(self) -> datetime:
        """This moment, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass(frozen=True)
class TradingHours:
    """Where and when an instrument's regular session ends; the bar of a session that still runs is no daily bar."""

    zone: str  # IANA name, e.g. America/New_York
    close: str | None = None  # local HH:MM; None = unknown, so a day is over when its date is

    def last_day_over(self, now: datetime) -> date:
        """The latest local date whose regular session, had there been one, has ended and settled."""
        local = self._local(now)
        end = time_of_day.fromisoformat(self.close) if self.close else None
        day = local.date()
        after = datetime.combine(day, end) if end else datetime.combine(day + DAY, time_of_day())
        while after + SETTLING > local:
            day, after = day - DAY, after - DAY
        return day

    def last_finished_bar(self, now: datetime, session: date | None) -> date:
        """The latest date whose bar may be kept.

        Args:
            now: this moment, with a time zone.
            session: local date of the session the server calls the current one. When that is an earlier day
                than today, its close says nothing about today's bar, which is then left out.
        """
        over, today = self.last_day_over(now), self._local(now).date()
        if over == today and (session is None or session < today):
            return today - DAY
        return over

    def _local(self, now: datetime) -> datetime:
        return now.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)


@dataclass(frozen=True)
class Answer:
    """What Yahoo said about one ticker."""

    bars: pd.DataFrame  # as raw_bars makes them; the last one may be unfinished
    hours: TradingHours
    session: date | None  # local date of the session Yahoo calls the current one


class YahooError(SourceError):
    """Yahoo gave no bars."""

    reason: str = ""  # what happened, without the way out
    first_wait_s: float = 1.0  # before the first retry


class YahooClient:
    """The real client, one ticker at a time.

    Args:
        folder: for the client's own cookies and time zones; private (0700), since the cookies are pickled.
        pace_s: seconds from the end of a call to the start of the next.
        retries: after a failure that may pass.
        timeout_s: seconds a request for prices may take; the client's own small ones take 10 or 30 at most.
        session: a curl_cffi session in place of the client's own.
        clock: what tells the time and waits.
        interval: what a bar spans.
    """

    def __init__(
        self,
        *,
        folder: Path,
        pace_s: float,
        retries: int,
        timeout_s: float,
        session: Any,
        clock: Clock,
        interval: Interval = "1d",
    ) -> None:
        self.interval = interval
        self.folder = folder
        self.pace_s = pace_s
        self.retries = retries
        self.timeout_s = timeout_s
        self.session = session
        self.clock = clock
        self._failed_at: float | None = None  # when a call failed with all its retries in a way that may pass
        self._free_at = clock.monotonic()  # when the next call may start
        # Not seeded: processes that fail together must not return together. It touches no result.
        self._random = random.Random()
        self._folder_ready = False

    @property
    def is_down(self) -> bool:
        """True while asking is likely to fail again, as it just did."""
        return self._failed_at is not None and self.clock.monotonic() - self._failed_at < DOWN_S

    def history(self, symbol: str, start: date | None = None) -> Answer:
        """Bars from `start`, or from the first one there is, up to this moment.

        Raises:
            YahooError: there is no answer, or none with bars; retried first where that may help.
            UserError: the private folder cannot be made.
        """
        self._prepare_folder()
        # While Yahoo is down, one try a ticker: each of a thousand tickers need not wait for all retries.
        retries = 0 if self.is_down else self.retries
        began = self.clock.monotonic()
        attempt = 0
        while True:
            try:
                answer = self._ask(symbol, start)
            except YahooError as failure:
                now = self.clock.monotonic()
                if not failure.may_pass or attempt == retries or now - began > PATIENCE_S:
                    self._failed_at = now if failure.may_pass else None
                    raise
                log.info("%s: %s; retry %d of %d", symbol, failure.reason, attempt + 1, retries)
                # Doubled each time, a quarter more or less.
                self.clock.sleep(failure.first_wait_s * 2.0**attempt * self._random.uniform(0.75, 1.25))
                attempt += 1
            else:
                self._failed_at = None
                return answer

    def _ask(self, symbol: str, start: date | None) -> Answer:
        import yfinance
        from yfinance.data import YfData

        if (wait := self._free_at - self.clock.monotonic()) > 0:
            self.clock.sleep(wait)
        try:
            with _errors_raised():
                # The client remembers failed answers too: without this, asking again would not reach Yahoo.
                YfData.cache_get.cache_clear()
                ticker = yfinance.Ticker(symbol, session=self.session)
                whole = DAYS_BACK.get(self.interval)
                longest = "max" if whole is None else f"{whole}d"
                span = {"period": longest} if start is None else {"start": start.isoformat()}
                history = ticker.history(
                    **span,
                    interval=self.interval,
                    auto_adjust=False,
                    actions=True,
                    keepna=True,
                    repair=False,
                    timeout=self.timeout_s,
                )
                return _answer(history, ticker.history_metadata, intraday=self.interval in MINUTES)
        # Everything: the client lets through its own errors, those of curl, json and sqlite, and whatever
        # reading an answer of an unforeseen shape raises. Each must reach the user as a sentence.
        except Exception as error:
            raise self._named(error, symbol) from error
        finally:
            self._free_at = self.clock.monotonic() + self.pace_s

    def _named(self, error: Exception, symbol: str) -> YahooError:
        """The failure's name; where the error fits several, by how Yahoo answers about the ticker."""
        from yfinance.data import YfData

        if not _UNCLEAR & {cls.__name__ for cls in type(error).__mro__}:
            return classify(error, symbol)
        try:
            with _errors_raised():
                # The client's own first question, so its memory answers mostly, and no request is made.
                answer = YfData(session=self.session).cache_get(
                    url=_CHART + symbol, params={"range": "1d", "interval": "1d"}, timeout=10
                )
        except Exception as second:  # noqa: BLE001
            return classify(second, symbol)
        return classify(error, symbol, int(answer.status_code))

    def _prepare_folder(self) -> None:
        if self._folder_ready:
            return
        import yfinance

        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.chmod(0o700)  # it may have been there
        except OSError as error:
            raise UserError(
                f"source.cache_dir={self.folder.parent}: cannot be used ({error.strerror}); "
                "choose another folder, or read it as it is with source.offline=true"
            ) from None
        yfinance.set_tz_cache_location(str(self.folder))
        self._folder_ready = True


def raw_bars(history: pd.DataFrame, *, intraday: bool = False) -> pd.DataFrame:
    """Yahoo's history in the shape the cache holds.

    Args:
        history: index in any unit and zone; funds alone have `Capital Gains`.
        intraday: whether bars are shorter than a day; they have no Adj Close of their own.

    Returns:
        RAW_COLUMNS as float64, by ascending `Date` (datetime64[ns], no zone: midnights, or moments in UTC of intraday
        bars); no row is left out.
    """
    import numpy as np
    import pandas as pd

    dates = pd.DatetimeIndex(history.index)
    if dates.tz is not None:
        # The exchange's own day.
        dates = dates.tz_convert("UTC").tz_localize(None) if intraday else dates.tz_localize(None)
    if intraday and "Adj Close" not in history.columns:
        history = history.assign(**{"Adj Close": history["Close"]})
    if not intraday:
        dates = dates.normalize()
    if "Capital Gains" not in history.columns:
        history = history.assign(**{"Capital Gains": 0.0})
    values = {name: history[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in RAW_COLUMNS}
    return pd.DataFrame(values, index=dates.as_unit("ns").rename("Date")).sort_index()


def _answer(history: pd.DataFrame, metadata: Any, *, intraday: bool) -> Answer:
    regular = (metadata.get("currentTradingPeriod") or {}).get("regular") or {}
    end = regular.get("end")
    end = end if isinstance(end, datetime) else None
    hours = TradingHours(metadata["exchangeTimezoneName"], end.strftime("%H:%M") if end else None)
    return Answer(raw_bars(history, intraday=intraday), hours, end.date() if end else None)


@contextmanager
def _errors_raised() -> Iterator[None]:
    """Let the client raise its errors instead of logging them, and keep its pandas warnings from the user."""
    import pandas as pd
    import yfinance

    hidden, logger = yfinance.config.debug.hide_exceptions, logging.getLogger("yfinance")
    level = logger.level
    yfinance.config.debug.hide_exceptions = False
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=pd.errors.Pandas4Warning)
            yield
    finally:
        yfinance.config.debug.hide_exceptions = hidden
        logger.setLevel(level)


def classify(error: BaseException, symbol: str, status: int | None = None) -> YahooError:
    """Name a failure of the client in the user's words.

    Args:
        error: whatever the client raised. Recognised by the names of its classes: curl_cffi's errors and those of
            requests, which the client falls back on, are called alike.
        symbol: the ticker asked for.
        status: HTTP status of Yahoo's answer about that ticker, where it is known.
    """
    names = {cls.__name__ for cls in type(error).__mro__}
    detail = " ".join(str(error).split())[:200]
    if status == 429 or "YFRateLimitError" in names:
        return yahoo_error(
            symbol,
            "Yahoo limits the rate of requests (HTTP 429)",
            f"wait some minutes, raise source.pace_s, {_OFFLINE}",
            may_pass=True,
            first_wait_s=5.0,
        )
    if status == 404:
        return yahoo_error(
            symbol,
            "Yahoo knows no such ticker, or no longer",
            "check the spelling (finance.yahoo.com/lookup); it may be delisted",
            unknown=True,
        )
    if status is not None and status >= 400:
        advice = f"try again later, {_OFFLINE}"
        return yahoo_error(symbol, f"Yahoo refuses to answer (HTTP {status})", advice, may_pass=True)
    if "YFInvalidPeriodError" in names:
        return yahoo_error(symbol, f"Yahoo rejects the period ({detail})", "ask for data.period=max")
    if names & {"YFPricesMissingError", "YFTzMissingError"}:
        return _no_bars(symbol, getattr(error, "yahoo_reason", None))
    if isinstance(error, OSError):
        return _network(symbol, names, detail)
    if names & {"JSONDecodeError", "YFDataException"}:
        advice = f"try again later, {_OFFLINE}"
        return yahoo_error(symbol, "Yahoo answers with something that is no data", advice, may_pass=True)
    if type(error).__module__.partition(".")[0] in {"peewee", "sqlite3", "_pickle"}:
        advice = "delete that folder and run again"
        return yahoo_error(symbol, f"the folder `client` in source.cache_dir is damaged ({detail})", advice)
    reason = f"Yahoo's answer cannot be read ({type(error).__name__}: {detail})"
    # A cookie of an unforeseen shape in that folder would fail every later run too.
    advice = f"try again later, delete the folder `client` in source.cache_dir, {_OFFLINE}"
    return yahoo_error(symbol, reason, advice, may_pass=True)


def _no_bars(symbol: str, said: str | None) -> YahooError:
    if said is None:
        advice = "check the ticker; it may be new or delisted"
        return yahoo_error(symbol, "Yahoo has no daily bars for it", advice, unknown=True)
    lasting = any(text in said.lower() for text in ("no data found", "doesn't exist", "not available"))
    advice = "check the ticker; it may be delisted" if lasting else f"try again later, {_OFFLINE}"
    return yahoo_error(symbol, f"Yahoo gives no bars ({said})", advice, may_pass=not lasting, unknown=lasting)


def _network(symbol: str, names: set[str], detail: str) -> YahooError:
    if "CertificateVerifyError" in names:
        advice = "a proxy in between may need its certificate: set SSL_CERT_FILE or CURL_CA_BUNDLE"
        return yahoo_error(symbol, f"Yahoo's certificate is not accepted ({detail})", advice)
    kinds = {
        "ProxyError": (f"the proxy fails ({detail})", "check HTTPS_PROXY"),
        "DNSError": ("Yahoo's address cannot be found", "check the network"),
        "Timeout": ("Yahoo does not answer in time", "check the network, raise source.timeout_s"),
        "TimeoutError": ("Yahoo does not answer in time", "check the network, raise source.timeout_s"),
    }
    other = (f"the connection to Yahoo fails ({detail})", "check the network")
    reason, advice = next((texts for name, texts in kinds.items() if name in names), other)
    return yahoo_error(symbol, reason, f"{advice}, {_OFFLINE}", may_pass=True)


def yahoo_error(
    symbol: str,
    reason: str,
    advice: str,
    *,
    may_pass: bool = False,
    unknown: bool = False,
    first_wait_s: float = 1.0,
) -> YahooError:
    """An error that names the ticker, what happened and the way out."""
    error = YahooError(f"data.tickers={symbol}: {reason}; {advice}")
    error.reason, error.may_pass, error.unknown, error.first_wait_s = reason, may_pass, unknown, first_wait_s
    return error
