"""Yahoo Finance through a cache: asked for what is new, used without it when it cannot be reached."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

from annotated_types import Ge, Gt

from forecast.data.bars import bar_table
from forecast.data.sources.bar_cache import BarCache, CachedBars
from forecast.data.sources.pacing import Clock
from forecast.data.sources.raw_bars import finished, merge
from forecast.data.sources.yahoo_client import Answer, YahooClient
from forecast.data.sources.yahoo_errors import YahooError, yahoo_error
from forecast.data.sources.yahoo_symbols import yahoo_symbol
from forecast.errors import UserError
from forecast.files import LocalPath

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

OVERLAP = 10  # sessions fetched again with every update, to see whether they were rewritten


class YFinanceSource:
    """Daily bars of Yahoo Finance, for personal use.

    Args:
        cache_dir: folder with one parquet file a ticker, and the client's own files in a private folder.
        adjust: prices adjusted for splits and dividends. Yahoo's raw prices are adjusted for splits already.
        force_download: ask for the whole history again; the cache does not stand in then.
        offline: the cache alone.
        pace_s: seconds between two calls to Yahoo.
        retries: after a failure that may pass.
        timeout_s: seconds a request for prices may take.
        session: a curl_cffi session in place of the client's own; for proxies and tests.
        clock: what tells the time and waits; for tests.
    """

    def __init__(
        self,
        *,
        cache_dir: Annotated[str, LocalPath()] = ".cache/yfinance",
        adjust: bool = True,
        force_download: bool = False,
        offline: bool = False,
        pace_s: Annotated[float, Ge(0)] = 0.7,
        retries: Annotated[int, Ge(0)] = 4,
        timeout_s: Annotated[float, Gt(0)] = 20.0,
        session: Any = None,
        clock: Clock | None = None,
    ) -> None:
        if offline and force_download:
            raise UserError("source.offline=true and source.force_download=true exclude each other; drop one")
        self.cache_dir = cache_dir
        self.adjust = adjust
        self.force_download = force_download
        self.offline = offline
        self.clock = clock or Clock()
        self._stand_ins: dict[str, str] = {}
        folder = Path(cache_dir).expanduser()
        self._cache = BarCache(folder)
        self._client = YahooClient(
            folder=folder / "client",
            pace_s=pace_s,
            retries=retries,
            timeout_s=timeout_s,
            session=session,
            clock=self.clock,
        )

    def tickers(self) -> list[str]:
        """Yahoo does not list its tickers.

        Raises:
            UserError: always.
        """
        raise UserError(
            "data.tickers=null: Yahoo cannot list its tickers; name them, as in data.tickers=[AAPL,MSFT]"
        )

    def bars(self, ticker: str) -> pd.DataFrame:
        """The whole history of one ticker, up to the last session that is over.

        Raises:
            UserError: it is no ticker, or neither Yahoo nor the cache has bars of it.
        """
        symbol = yahoo_symbol(ticker)
        cached = self._cache.read(symbol)
        return bar_table(self._bars(symbol, cached).frame, adjust=self.adjust, origin=symbol)

    def symbol(self, ticker: str) -> str:
        """The ticker as Yahoo writes it, which does not tell capitals from small letters.

        Raises:
            UserError: it is no ticker.
        """
        return yahoo_symbol(ticker)

    def held(self, ticker: str) -> str | None:
        """What the cache has of a ticker and how old that is, in words; None: nothing."""
        cached = self._cache.read(yahoo_symbol(ticker))
        return None if cached is None else cached.age(self.clock.now())

    def stand_in(self, ticker: str) -> str | None:
        """Why the last answer to `bars` came from the cache although Yahoo may have more; None: it is up to date.

        A source that is told to be offline was not meant to ask.
        """
        return self._stand_ins.get(yahoo_symbol(ticker))

    def _bars(self, symbol: str, cached: CachedBars | None) -> CachedBars:
        now = self.clock.now()
        self._stand_ins.pop(symbol, None)
        if self.offline:
            if cached is None:
                raise UserError(
                    f"data.tickers={symbol}: not in the cache (source.cache_dir={self.cache_dir}), and "
                    "source.offline=true forbids asking Yahoo; run once with source.offline=false"
                )
            log.warning("%s: offline; %s", symbol, cached.age(now))
            return cached
        if cached is None or self.force_download:
            return self._keep(symbol, self._download(symbol, cached))
        if cached.is_current(now):
            return cached
        if self._client.is_down:
            return self._instead(symbol, cached, "Yahoo was not asked, it is down", now)
        try:
            bars = self._update(symbol, cached)
        except YahooError as failure:
            return self._instead(symbol, cached, failure.reason, now)
        return self._keep(symbol, bars)

    def _instead(self, symbol: str, cached: CachedBars, reason: str, now: datetime) -> CachedBars:
        log.warning("%s: %s; %s", symbol, reason, cached.age(now))
        self._stand_ins[symbol] = reason
        return cached

    def _keep(self, symbol: str, bars: CachedBars) -> CachedBars:
        self._cache.write(symbol, bars)
        return bars

    def _update(self, symbol: str, cached: CachedBars) -> CachedBars:
        """The last sessions again and what came after; everything when these show a rewritten history."""
        if len(cached.frame) < OVERLAP:
            return self._download(symbol, cached)
        fetched = self.clock.now()
        answer = self._client.history(symbol, start=cached.frame.index[-OVERLAP].date())
        merged = merge(cached.frame, self._finished(answer, fetched))
        if merged is None:
            log.info(
                "%s: history was rewritten since %s; fetched again", symbol, f"{cached.fetched:%Y-%m-%d}"
            )
            return self._download(symbol, cached)
        return CachedBars(merged, fetched, answer.hours)

    def _download(self, symbol: str, cached: CachedBars | None) -> CachedBars:
        fetched = self.clock.now()
        answer = self._client.history(symbol)
        frame = self._finished(answer, fetched)
        if frame.empty:
            raise yahoo_error(
                symbol, "Yahoo has no bar of a finished session", "wait for the session's close"
            )
        if cached is not None and frame.index[0] > cached.frame.index[0]:
            # Taken over all the same: it is what Yahoo says. But nobody should wonder where the years went.
            first, was = frame.index[0].date(), cached.frame.index[0].date()
            log.warning(
                "%s: Yahoo's history now begins on %s; in the cache it began on %s", symbol, first, was
            )
        return CachedBars(frame, fetched, answer.hours)

    @staticmethod
    def _finished(answer: Answer, fetched: datetime) -> pd.DataFrame:
        # As of the moment before asking: a session that ended while Yahoo answered may lack its last trades.
        last = answer.hours.last_finished_bar(fetched, answer.session)
        return finished(answer.bars, last, fetched.astimezone(ZoneInfo(answer.hours.zone)).date())
