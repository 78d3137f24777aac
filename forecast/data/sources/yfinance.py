"""Yahoo Finance through a cache, one parquet file a ticker: asked for what is new, used alone when it cannot be
reached."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from annotated_types import Ge, Gt

from forecast.data.bars import MINUTES, PRICES, Interval, bar_table
from forecast.data.sources.yahoo import (
    DAY,
    DAYS_BACK,
    EVENTS,
    RAW_COLUMNS,
    Answer,
    Clock,
    TradingHours,
    YahooClient,
    YahooError,
    yahoo_error,
    yahoo_symbol,
)
from forecast.errors import UserError
from forecast.files import LocalPath, write_whole

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

OVERLAP = 10  # sessions fetched again with every update, to see whether they were rewritten
FORMAT = 1
LEARNED = 30  # bars that show on which weekdays there are sessions; a share on its second day does not
# Yahoo's figures are float32 and jitter in the seventh digit; a rewritten history differs by more.
TOLERANCE = 1e-5
SUFFIX = ".parquet"
_KEY = b"forecast.bars"
# Windows opens a device for these stems, whatever follows the first dot.
_DEVICE = re.compile(r"CON|PRN|AUX|NUL|(COM|LPT)[0-9]")


class YFinanceSource:
    """Bars of Yahoo Finance, for personal use.

    Args:
        cache_dir: folder with one parquet file a ticker, and the client's own files in a private folder.
        interval: what a bar spans. Yahoo has minutes of the last 7 days, 5, 15 and 30 minutes of the last 60, hours of
            the last 730; what was fetched earlier stays in the cache, as long as each fetch reaches back to the one
            before and there is no split.
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
        interval: Interval = "1d",
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
        self.interval: Interval = interval
        self.adjust = adjust
        self.force_download = force_download
        self.offline = offline
        self.clock = clock or Clock()
        self._stand_ins: dict[str, str] = {}
        folder = Path(cache_dir).expanduser()
        self._cache = BarCache(folder if interval == "1d" else folder / interval)
        self._client = YahooClient(
            folder=folder / "client",
            pace_s=pace_s,
            retries=retries,
            timeout_s=timeout_s,
            session=session,
            clock=self.clock,
            interval=interval,
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

    def days_back(self, interval: Interval) -> int | None:
        """Days up to now of which Yahoo has bars of an interval; None = all there are.

        Raises:
            UserError: the interval is not that of this source.
        """
        if interval != self.interval:
            raise UserError(
                f"source.interval={self.interval}: data.interval={interval} wants other bars; set both alike"
            )
        return None if self.offline else DAYS_BACK.get(interval)

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

        A source that is set to be offline was not meant to ask.
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
            bars = self._download(symbol, cached)
        elif self.interval == "1d" and cached.is_current(now):
            return cached
        else:
            try:
                if self._client.is_down:
                    raise yahoo_error(symbol, "Yahoo was not asked, it is down", "")
                bars = self._update(symbol, cached)
            except YahooError as failure:
                log.warning("%s: %s; %s", symbol, failure.reason, cached.age(now))
                self._stand_ins[symbol] = failure.reason
                return cached
        self._cache.write(symbol, bars)
        return bars

    def _update(self, symbol: str, cached: CachedBars) -> CachedBars:
        """The last sessions again and what came after; everything when these show a rewritten history."""
        if len(cached.frame) < OVERLAP:
            return self._download(symbol, cached)
        fetched, since = self.clock.now(), cached.frame.index[-OVERLAP].date()
        limit = DAYS_BACK.get(self.interval)
        if limit is not None and (fetched.date() - since).days >= limit:
            return self._download(symbol, cached)
        answer = self._client.history(symbol, start=since)
        # Intraday prices are adjusted for splits alone.
        rewriting = ("Stock Splits",) if self.interval in MINUTES else EVENTS
        merged = merge(cached.frame, finished(answer, self.interval, fetched), rewriting=rewriting)
        if merged is None:
            log.info(
                "%s: history was rewritten since %s; fetched again", symbol, f"{cached.fetched:%Y-%m-%d}"
            )
            return self._download(symbol, cached)
        return CachedBars(merged, fetched, answer.hours)

    def _download(self, symbol: str, cached: CachedBars | None) -> CachedBars:
        fetched = self.clock.now()
        answer = self._client.history(symbol)
        frame = finished(answer, self.interval, fetched)
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


@dataclass(frozen=True)
class CachedBars:
    """The whole history of one ticker, as fetched."""

    frame: pd.DataFrame  # as raw_bars makes it; never empty
    fetched: datetime  # with a time zone
    hours: TradingHours

    def is_current(self, now: datetime) -> bool:
        """True when no bar can have been added since: the last one is that of the last session that is over.

        Known without asking: the exchange's zone and closing time came with the bars, and a weekday on which
        the last year has no bar (Saturday, say) has no session. Holidays are unknown, so Yahoo is asked then.
        """
        import pandas as pd

        year = pd.DatetimeIndex(self.frame.index[-260:])
        weekdays = set(year.day_of_week) if len(year) >= LEARNED else set(range(7))
        day = self.hours.last_day_over(now)
        while day.weekday() not in weekdays:
            day -= DAY
        return year[-1].date() >= day

    def age(self, now: datetime) -> str:
        """How old these bars are, in words."""
        days = max((now - self.fetched).days, 0)
        ago = "less than a day" if days == 0 else "1 day" if days == 1 else f"{days} days"
        return (
            f"bars up to {self.frame.index[-1].date()}, fetched {ago} ago ({self.fetched:%Y-%m-%d %H:%M} UTC)"
        )


class BarCache:
    """The files of one folder.

    A file is written under another name and moved into place at once, so that a reader sees the old one or
    the new one, whole. Of two processes that update a ticker the later stays, and either is a full history.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, symbol: str) -> CachedBars | None:
        """What the folder holds for a symbol; a file that cannot be read is moved aside, with a warning.

        Raises:
            UserError: the file is there but the system does not let us read or move it.
        """
        path = self.folder / file_name(symbol)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._refused(error) from None
        try:
            return _parse(content, symbol)
        # pyarrow's errors are these and subclasses of them
        except (OSError, ValueError, LookupError, TypeError, NotImplementedError) as error:
            reason = str(error).partition("\n")[0]
            log.warning("%s: %s is corrupt (%s); moved to %s", symbol, path, reason, self._move_aside(path))
            return None

    def write(self, symbol: str, bars: CachedBars) -> None:
        """Put a history in place of the file of that symbol.

        Raises:
            UserError: the folder cannot be written.
        """
        path = self.folder / file_name(symbol)
        try:
            write_whole(path, _serialise(bars, symbol))
        except OSError as error:
            raise self._refused(error) from None

    def _move_aside(self, path: Path) -> str:
        number = 1
        while (aside := path.with_name(f"{path.name}.corrupt-{number}")).exists():
            number += 1
        try:
            os.replace(path, aside)
        except FileNotFoundError:
            pass  # another process was faster
        except OSError as error:
            raise self._refused(error) from None
        return aside.name

    def _refused(self, error: OSError) -> UserError:
        return UserError(
            f"source.cache_dir={self.folder}: cannot be used ({error.strerror or error}); "
            "choose another folder"
        )


def _serialise(bars: CachedBars, symbol: str) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    facts = {
        "format": FORMAT,
        "symbol": symbol,
        "fetched": bars.fetched.isoformat(),
        "zone": bars.hours.zone,
        "close": bars.hours.close,
    }
    columns = {"Date": bars.frame.index.to_numpy()}
    columns.update({name: bars.frame[name].to_numpy() for name in RAW_COLUMNS})
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(facts)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    return bytes(sink.getvalue().to_pybytes())


def _parse(content: bytes, symbol: str) -> CachedBars:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True).read()
    facts = json.loads((table.schema.metadata or {})[_KEY])
    if facts["format"] != FORMAT:
        raise ValueError(f"format {facts['format']}, not {FORMAT}")
    if facts["symbol"] != symbol:
        raise ValueError(f"holds {facts['symbol']}")
    if table.column_names != ["Date", *RAW_COLUMNS]:
        raise ValueError(f"columns {', '.join(table.column_names)}")
    dates = pd.DatetimeIndex(table["Date"].to_numpy(), name="Date")
    if dates.empty or dates.hasnans or not dates.is_monotonic_increasing:
        raise ValueError("dates missing or not ascending")
    values = {name: table[name].to_numpy().astype(np.float64) for name in RAW_COLUMNS}
    fetched = datetime.fromisoformat(facts["fetched"])
    if fetched.tzinfo is None:
        raise ValueError("fetch time without a zone")
    hours = TradingHours(facts["zone"], facts["close"])
    hours.last_day_over(fetched)  # raises for an unknown zone or a malformed time
    return CachedBars(pd.DataFrame(values, index=dates.as_unit("ns")), fetched, hours)


def finished(answer: Answer, interval: Interval, fetched: datetime) -> pd.DataFrame:
    """Bars without the one that still runs, and without rows that have no price, made by the client of gaps and events.

    Of days, only today's row needs a price to be a bar: checking earlier ones is HealthCheck's task.

    Args:
        answer: weeks and months stand at their first day.
        interval: what a bar spans.
        fetched: moment before it was asked for: a session that ended meanwhile may lack its last trades.
    """
    import pandas as pd

    bars, hours = answer.bars, answer.hours
    begins, keep = pd.DatetimeIndex(bars.index), bars["Close"].notna()
    if interval in MINUTES:
        now = pd.Timestamp(fetched).tz_convert("UTC").tz_localize(None)
        keep &= begins <= now - pd.Timedelta(minutes=MINUTES[interval])
    elif interval == "1d":
        today = fetched.astimezone(ZoneInfo(hours.zone)).date()
        keep |= begins < pd.Timestamp(today)
        keep &= begins <= pd.Timestamp(hours.last_finished_bar(fetched, answer.session))
    else:
        span = pd.DateOffset(weeks=1) if interval == "1wk" else pd.DateOffset(months=1)
        keep &= begins + span <= pd.Timestamp(hours.last_day_over(fetched) + DAY)
    kept: pd.DataFrame = bars[keep]
    return kept


def merge(old: pd.DataFrame, new: pd.DataFrame, *, rewriting: Sequence[str] = EVENTS) -> pd.DataFrame | None:
    """Old bars continued by new ones that overlap their end; None when history was rewritten.

    Rewritten means: a date of the overlap is on one side only, a price there differs, or there is an event that the
    old bars do not have. A volume that alone was corrected is taken over.

    Args:
        old: bars as `raw_bars` makes them.
        new: later ones.
        rewriting: columns of the events that change every earlier adjusted price.
    """
    import numpy as np
    import pandas as pd

    if old.empty or new.empty:
        return None
    before, seen = old[old.index < new.index[0]], old[old.index >= new.index[0]]
    again, added = new[new.index <= old.index[-1]], new[new.index > old.index[-1]]
    if seen.empty or not seen.index.equals(again.index):
        return None
    if (added[list(rewriting)].fillna(0.0) != 0.0).to_numpy().any():
        return None
    compared = [*PRICES, "Adj Close", *rewriting]
    if not np.allclose(seen[compared], again[compared], rtol=TOLERANCE, atol=0.0, equal_nan=True):
        return None
    merged: pd.DataFrame = pd.concat([before, new])
    return merged


def file_name(symbol: str) -> str:
    """A name inside one folder, safe on every file system, different for different symbols."""
    stem = quote(symbol, safe="").replace(".", "%2E")
    if _DEVICE.fullmatch(stem):
        stem = f"%{ord(stem[0]):02X}{stem[1:]}"
    return stem + SUFFIX
