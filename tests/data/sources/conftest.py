"""A Yahoo of our own: a small server that the real yfinance client talks to, and a clock that never waits."""

from __future__ import annotations

import gc
import json
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

import pytest

from forecast.data.sources import YFinanceSource
from forecast.data.sources.yahoo import Clock

NEW_YORK = "America/New_York"


@dataclass
class Listing:
    """One instrument: daily bars as Yahoo keeps them."""

    zone: str = NEW_YORK
    open_at: time = time(9, 30)
    close_at: time | None = time(16, 0)  # None: Yahoo does not tell the trading period
    kind: str = "EQUITY"
    bars: dict[date, list[float | None]] = field(default_factory=dict)  # open high low close adjclose volume
    dividends: dict[date, float] = field(default_factory=dict)
    splits: dict[date, float] = field(default_factory=dict)
    intraday: dict[datetime, list[float]] = field(
        default_factory=dict
    )  # begin in UTC: open high low close volume

    def add(self, first: date, count: int, *, price: float = 100.0, every_day: bool = False) -> None:
        """Bars on weekdays from `first`, each a little above the last."""
        day = first
        while count:
            if every_day or day.weekday() < 5:
                step = price + len(self.bars) * 0.5
                self.bars[day] = [
                    step,
                    step + 1.0,
                    step - 1.0,
                    step + 0.25,
                    step + 0.25,
                    1000.0 + len(self.bars),
                ]
                count -= 1
            day += timedelta(days=1)

    def trade(self, first: date, days: int, step: timedelta) -> None:
        """Bars of `step` in the sessions of some days in a row."""
        for number in range(days):
            begin = datetime.combine(
                first + timedelta(days=number), self.open_at, ZoneInfo(self.zone)
            ).astimezone(UTC)
            last = begin.astimezone(ZoneInfo(self.zone)).replace(
                hour=self.close_at.hour if self.close_at else 23
            )
            while begin < last.replace(minute=0):
                level = 100.0 + len(self.intraday) * 0.01
                self.intraday[begin] = [level, level + 1.0, level - 1.0, level + 0.25, 1000.0]
                begin += step

    def pay(self, day: date, amount: float) -> None:
        """A dividend: every earlier adjusted price falls by its share of the price."""
        close = self.bars[day][3]
        assert close is not None
        self.dividends[day] = amount
        for earlier in self.bars:
            adjusted = self.bars[earlier][4]
            if earlier < day and adjusted is not None:
                self.bars[earlier][4] = adjusted * (1.0 - amount / close)

    def split(self, day: date, ratio: float) -> None:
        """A split: Yahoo divides every earlier price."""
        self.splits[day] = ratio
        for earlier, bar in self.bars.items():
            if earlier < day:
                self.bars[earlier] = [None if value is None else value / ratio for value in bar[:5]] + [
                    bar[5]
                ]

    def opening(self, day: date) -> int:
        """Seconds since 1970 at the day's opening."""
        return int(datetime.combine(day, self.open_at, ZoneInfo(self.zone)).timestamp())


class FakeYahoo:
    """What the server knows, what it was asked, and how its next answers fail."""

    def __init__(self) -> None:
        self.listings: dict[str, Listing] = {}
        self.today = date(2024, 6, 14)
        self.asked: list[tuple[str, date]] = []  # (ticker, first day) of every question for prices
        self.requests: list[str] = []  # path of every request
        # One a question for prices. The client repeats those of status 400 or more: two are one failure.
        self.failures: list[str] = []
        self.always: str | None = None
        self.released = threading.Event()

    def chart(self, ticker: str, query: dict[str, list[str]]) -> tuple[int, bytes]:
        """Status and body of an answer about one ticker, or the failure that is due."""
        listing = self.listings.get(ticker)
        if "period1" in query:
            start = datetime.fromtimestamp(
                int(query["period1"][0]), ZoneInfo(listing.zone if listing else "UTC")
            )
            self.asked.append((ticker, start.date()))
            failure = self.failures.pop(0) if self.failures else self.always
            if failure is not None:
                return _failure(failure)
        if listing is None:
            return _failure("404")
        if query.get("interval", ["1d"])[0] not in ("1d", "1wk", "1mo"):
            return 200, json.dumps(
                {"chart": {"result": [self._moments(listing, query)], "error": None}}
            ).encode()
        days = [day for day in listing.bars if self._within(listing.opening(day), query)]
        return 200, json.dumps(
            {"chart": {"result": [self._result(listing, sorted(days))], "error": None}}
        ).encode()

    @staticmethod
    def _within(second: int, query: dict[str, list[str]]) -> bool:
        if "period1" not in query:
            return True
        return int(query["period1"][0]) <= second < int(query["period2"][0])

    def _moments(self, listing: Listing, query: dict[str, list[str]]) -> dict[str, Any]:
        """An answer of bars within days, which have no adjusted close."""
        begins = [begin for begin in sorted(listing.intraday) if self._within(int(begin.timestamp()), query)]
        columns = list(zip(*(listing.intraday[begin] for begin in begins), strict=True))
        names = ("open", "high", "low", "close", "volume")
        days = sorted({begin.astimezone(ZoneInfo(listing.zone)).date() for begin in begins})
        sessions = [
            [
                {
                    "timezone": "X",
                    "gmtoffset": 0,
                    "start": listing.opening(day),
                    "end": listing.opening(day) + 6 * 3600 + 1800,
                }
            ]
            for day in days
        ]
        meta = self._result(listing, [])["meta"] | {
            "dataGranularity": query["interval"][0],
            "tradingPeriods": sessions,
        }
        return {
            "meta": meta,
            "timestamp": [int(begin.timestamp()) for begin in begins],
            "indicators": {
                "quote": [{name: list(column) for name, column in zip(names, columns, strict=True)}]
            },
        }

    def _result(self, listing: Listing, days: list[date]) -> dict[str, Any]:
        meta: dict[str, Any] = {
            "currency": "USD",
            "symbol": "X",
            "instrumentType": listing.kind,
            "exchangeTimezoneName": listing.zone,
            "regularMarketTime": listing.opening(self.today),
            "validRanges": ["1d", "5d", "1mo", "max"],
        }
        if listing.close_at is not None:
            close = datetime.combine(self.today, listing.close_at, ZoneInfo(listing.zone))
            period = {
                "timezone": "X",
                "gmtoffset": 0,
                "start": listing.opening(self.today),
                "end": int(close.timestamp()),
            }
            meta["currentTradingPeriod"] = {"pre": dict(period), "regular": period, "post": dict(period)}
        if not days:
            return {"meta": meta, "indicators": {"quote": [{}], "adjclose": [{}]}}
        columns = list(zip(*(listing.bars[day] for day in days), strict=True))
        names = ("open", "high", "low", "close", "adjclose", "volume")
        values = {name: list(column) for name, column in zip(names, columns, strict=True)}
        adjusted = values.pop("adjclose")
        first, last = days[0], days[-1]
        dividends = {
            str(listing.opening(day)): {"amount": amount, "date": listing.opening(day)}
            for day, amount in listing.dividends.items()
            if first <= day <= last
        }
        splits = {
            str(listing.opening(day)): {"date": listing.opening(day), "numerator": ratio, "denominator": 1.0}
            for day, ratio in listing.splits.items()
            if first <= day <= last
        }
        return {
            "meta": meta,
            "timestamp": [listing.opening(day) for day in days],
            "events": {"dividends": dividends, "splits": splits},
            "indicators": {"quote": [values], "adjclose": [{"adjclose": adjusted}]},
        }


def _failure(kind: str) -> tuple[int, bytes]:
    reasons = {
        "404": ("Not Found", "No data found, symbol may be delisted"),
        "500-json": ("Oops", "Internal error"),
    }
    if kind in reasons:
        code, description = reasons[kind]
        error = {"code": code, "description": description}
        return int(kind[:3]), json.dumps({"chart": {"result": None, "error": error}}).encode()
    if kind == "200-busy":
        return 200, b"Will be right back..."
    if kind == "200-html":
        return 200, b"<html>Something else</html>"
    if kind == "200-null":
        return 200, json.dumps({"chart": {"result": None, "error": None}}).encode()
    if kind == "200-odd":
        return 200, json.dumps(
            {"chart": {"result": [{"meta": {}, "indicators": {"quote": [{"open": []}]}}]}}
        ).encode()
    if kind.isdecimal():
        return int(kind), b"<html>No.</html>"
    return 0, kind.encode()


class _Handler(BaseHTTPRequestHandler):
    yahoo: FakeYahoo

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.yahoo.requests.append(url.path)
        status, body = 404, b"{}"
        if url.path.endswith("/getcrumb"):
            status, body = 200, b"crumb"
        elif url.path.startswith("/v8/finance/chart/"):
            status, body = self.yahoo.chart(unquote(url.path.rpartition("/")[2]), parse_qs(url.query))
        if body == b"reset":
            self.connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        if body == b"hang":
            self.yahoo.released.wait()
            return
        self.send_response(status)
        if url.path == "/":
            self.send_header("Set-Cookie", "A3=x; Domain=.yahoo.com; Path=/; Max-Age=86400")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: stderr belongs to the tests."""


class FakeClock(Clock):
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.moment = datetime(2024, 6, 14, 21, 0, tzinfo=UTC)  # a Friday, an hour after New York's close
        self.seconds = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


@pytest.fixture
def yahoo(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeYahoo]:
    """The server's mind, with AAPL: 60 sessions up to Friday 2024-06-14; the client remembers nothing."""
    from yfinance import base, cache, data

    monkeypatch.setattr(data.SingletonMeta, "_instances", {})
    monkeypatch.setattr(base, "_tz_info_fetch_ctr", 0)
    monkeypatch.setattr(cache._TzCacheManager, "_tz_cache", None)
    monkeypatch.setattr(cache._CookieCacheManager, "_Cookie_cache", None)
    fake = FakeYahoo()
    fake.listings["AAPL"] = Listing()
    fake.listings["AAPL"].add(date(2024, 3, 25), 60)
    yield fake
    cache._TzDBManager.close_db()
    cache._CookieDBManager.close_db()


@pytest.fixture
def session(yahoo: FakeYahoo) -> Iterator[Any]:
    """A curl_cffi session for which every host is the server, without encryption."""
    from curl_cffi import CurlOpt
    from curl_cffi.requests import Session

    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"yahoo": yahoo}))
    port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    class LocalSession(Session):  # type: ignore[type-arg]
        unplugged: Exception | None = None
        timeouts: ClassVar[list[float]] = []

        def request(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Any:
            if self.unplugged is not None:
                raise self.unplugged
            self.timeouts.append(kwargs["timeout"])
            parts = urlsplit(url)
            query = f"?{parts.query}" if parts.query else ""
            return super().request(
                method, f"http://{parts.hostname}:{port}{parts.path}{query}", *args, **kwargs
            )

    # An error put in `unplugged` meets every request, as without a network.
    with LocalSession(trust_env=False, curl_options={CurlOpt.RESOLVE: [f"*:{port}:127.0.0.1"]}) as local:
        yield local
    yahoo.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make_source(session: Any, clock: FakeClock, tmp_path: Path) -> Callable[..., YFinanceSource]:
    """A source as a new process would build it, over one cache folder and one server."""

    def make(**options: Any) -> YFinanceSource:
        return YFinanceSource(cache_dir=str(tmp_path / "cache"), session=session, clock=clock, **options)

    return make


@pytest.fixture(autouse=True, scope="module")
def _collect_open_caches() -> Iterator[None]:
    """What yfinance's caches left open is collected before another module's tests would be blamed for it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
