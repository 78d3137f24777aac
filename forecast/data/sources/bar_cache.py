"""One parquet file a ticker: Yahoo's raw bars, and when they were fetched."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from forecast.data.sources.raw_bars import RAW_COLUMNS
from forecast.data.sources.trading_day import DAY, TradingHours
from forecast.data.sources.yahoo_symbols import file_name
from forecast.errors import UserError
from forecast.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

FORMAT = 1
LEARNED = 30  # bars that show on which weekdays there are sessions; a share on its second day does not
_KEY = b"forecast.bars"


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
