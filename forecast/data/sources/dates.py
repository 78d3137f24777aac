"""A column of dates: which order day, month and year have in it, and the strict reading of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from forecast.data.sources.date_text import (
    DIGITS,
    ORDERS,
    PLAIN,
    bare_date,
    date_parts,
    fits_order,
    minutes_ahead,
)
from forecast.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_UNITS = {"epoch_s": 10**9, "epoch_ms": 10**6, "epoch_us": 10**3, "epoch_ns": 1}
EXCEL = "excel"  # days since 1899-12-30, as spreadsheets save them
KINDS = (*ORDERS, *_UNITS, EXCEL)
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?")
# Seconds since 1970 that the last bar of a file may have, and what .NET counts since the year 1 for these years.
_EPOCH = (5e8, 5e9)
_TICKS = (6.277e17, 6.7e17)


@dataclass(frozen=True)
class Stamps:
    """Dates as written, and how far their clocks are from UTC.

    Args:
        local: (rows,) datetime64[ns], the date and time written; NaT where none can be read.
        offset: (rows,) timedelta64[ns] of the written clock before UTC; NaT where no zone is written.
        timed: (rows,) whether a time of day is written.
    """

    local: NDArray[np.datetime64]
    offset: NDArray[np.timedelta64]
    timed: NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: Sequence[Stamps]) -> Stamps:
        """One after the other."""
        import numpy as np

        if len(parts) == 1:
            return parts[0]
        names = [one.name for one in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def backwards(self) -> Stamps:
        """The last first."""
        return Stamps(self.local[::-1], self.offset[::-1], self.timed[::-1])


def sniff_dates(cells: pd.Series, *, origin: str) -> str:
    """How a column's dates are written: one of KINDS.

    Args:
        cells: text or numbers, some of them perhaps missing.
        origin: the file, named in errors.

    Raises:
        UserError: more than one way fits every row, and the ways differ.
    """
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(cells) or _holds_dates(cells):
        return "ymd"
    first_row: Any = cells.first_valid_index()
    if first_row is None or _ISO.match(str(cells[first_row]).strip()):
        return "ymd"
    present = cells.dropna()
    text = present.astype(
        "Int64" if pd.api.types.is_float_dtype(present) and (present % 1 == 0).all() else present.dtype
    )
    text = text.astype("str")
    first = bare_date(text.iloc[0])
    if DIGITS.fullmatch(first):
        return "ymd"
    if PLAIN.fullmatch(first):
        numbers = pd.to_numeric(text, errors="coerce")
        return _numeric_kind(first, float(numbers.min()), float(numbers.max()), origin)
    distinct = [bare_date(cell) for cell in text.unique()]
    # A year of three digits shows Taiwan's; one of two is no sign of it.
    orders = ORDERS if any(re.match(r"\D*\d{3}\D", distinct[end]) for end in (0, -1)) else ORDERS[:3]
    fitting = [order for order in orders if all(fits_order(cell, order) for cell in distinct)]
    if not fitting:  # what is no date at all the reader names with its line
        distinct = [cell for cell in distinct if any(fits_order(cell, order) for order in orders)]
        fitting = [order for order in orders if all(fits_order(cell, order) for cell in distinct)]
    if not distinct:
        return "ymd"
    if len(fitting) > 1:  # 28/06/24 is no day of 2028: no bar is of the future
        today = str(pd.Timestamp.now().date() + pd.Timedelta(days=2))
        past = [order for order in fitting if all(_example(cell, order) <= today for cell in distinct)]
        fitting = past or fitting
    if len(fitting) > 1:
        examples = " or ".join(_example(first, order) for order in fitting)
        keys = " or ".join(f"source.dates={order}" for order in fitting)
        raise UserError(
            f"{origin}: Date={text.iloc[0]!r} may be {examples}, and no other date tells; set {keys}"
        )
    if fitting:
        return fitting[0]
    # Some rows are wrong under each order: the one that most rows fit, so that the wrong ones are named.
    return max(ORDERS, key=lambda order: sum(fits_order(cell, order) for cell in distinct[:1000]))


def read_dates(cells: pd.Series, kind: str, *, origin: str = "") -> Stamps:
    """Dates as written, NaT where a cell is none in this way of writing.

    Args:
        cells: text, numbers or dates.
        kind: one of KINDS, or a format of strptime.
        origin: the file, named in errors.

    Raises:
        UserError: `kind` is no format.
    """
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(cells) or _holds_dates(cells):
        return _from_datetimes(cells)
    if kind in _UNITS or kind == EXCEL:
        return _from_numbers(cells, kind)
    if pd.api.types.is_numeric_dtype(cells):
        whole = cells.notna() & (cells % 1 == 0)
        cells = cells.where(whole).astype("Int64").astype("str").where(whole)
    text = cells.astype("str").where(cells.notna())
    if kind not in ORDERS:
        return _from_format(text, kind, origin)
    if kind == "ymd" and (found := _from_iso(text)) is not None:
        return found
    return _from_parts(text, kind)


def _from_datetimes(cells: pd.Series) -> Stamps:
    import numpy as np
    import pandas as pd

    if cells.dtype == object:
        zones = {str(getattr(cell, "tzinfo", None)) for cell in cells.dropna().iloc[:1000]}
        if zones <= {"None"}:
            cells = pd.Series(pd.to_datetime(cells, errors="coerce"), index=cells.index)
        else:
            utc = pd.to_datetime(cells, utc=True, errors="coerce")
            local = pd.to_datetime(
                pd.Series([_naive(cell) for cell in cells], index=cells.index), errors="coerce"
            )
            return _stamps(_ns(local), _ns(local) - _ns(utc.dt.tz_localize(None)))
    written = _ns(cells.dt.tz_localize(None))
    if cells.dt.tz is None:
        return _stamps(written, np.full(len(written), np.timedelta64("NaT"), "timedelta64[ns]"))
    return _stamps(written, written - _ns(cells.dt.tz_convert("UTC").dt.tz_localize(None)))


def _naive(cell: Any) -> Any:
    return cell.replace(tzinfo=None) if hasattr(cell, "tzinfo") else cell


def _ns(dates: pd.Series) -> NDArray[np.datetime64]:
    """As datetime64[ns]; what nanoseconds cannot hold is NaT."""
    import numpy as np

    values = dates.to_numpy()
    if values.dtype != "datetime64[ns]":
        far = (values < np.datetime64("1678-01-01")) | (values > np.datetime64("2262-01-01"))  # never of NaT
        if far.any():
            values = np.where(far, np.datetime64("NaT"), values)
    return values.astype("datetime64[ns]", copy=False)


def _stamps(local: NDArray[np.datetime64], offset: NDArray[np.timedelta64]) -> Stamps:
    import numpy as np

    timed = (local.astype("datetime64[D]") != local) & ~np.isnat(local)
    return Stamps(local, offset, timed)


def _from_numbers(cells: pd.Series, kind: str) -> Stamps:
    import numpy as np
    import pandas as pd

    numbers = pd.to_numeric(cells, errors="coerce")
    whole = pd.api.types.is_integer_dtype(numbers)
    values = numbers.to_numpy(dtype=np.int64 if whole else np.float64)
    zero = np.timedelta64(0, "ns")
    if kind == EXCEL:
        seconds = np.round(np.asarray(values, np.float64) * 86_400)
        good = np.isfinite(seconds) & (np.abs(seconds) < 8e9)
        since = np.where(good, seconds, 0).astype(np.int64) * 10**9
        local = np.datetime64("1899-12-30", "ns") + since.astype("timedelta64[ns]")
        offset = np.full(len(values), np.timedelta64("NaT"), "timedelta64[ns]")
    else:
        scale = _UNITS[kind]
        limit = 2**63 // scale - 1
        good = np.isfinite(values) & (np.abs(values) < limit)
        safe = np.where(good, values, 0)
        since = safe * scale if whole else np.round(safe * scale).astype(np.int64)
        local = since.astype("datetime64[ns]")
        offset = np.full(len(values), zero, "timedelta64[ns]")
    local[~good] = np.datetime64("NaT")
    offset[~good] = np.timedelta64("NaT")
    return Stamps(local, offset, np.asarray(good))


def _from_format(text: pd.Series, form: str, origin: str) -> Stamps:
    import pandas as pd

    try:
        found = pd.to_datetime(text.str.strip(), format=form, errors="coerce", utc="%z" in form)
    except ValueError as error:
        raise UserError(
            f"{origin}: source.dates={form}: {str(error).splitlines()[0]}; must be {', '.join(KINDS)} or a "
            f"format such as "
            "'%d.%m.%Y %H:%M'"
        ) from None
    return _from_datetimes(found)


def _from_iso(text: pd.Series) -> Stamps | None:
    """The fast way, for dates that begin YYYY-MM-DD all alike; None = not so."""
    import numpy as np
    import pandas as pd

    dates = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce")
    if not dates.isna().any():
        local = _ns(dates)
        none = np.full(len(local), np.timedelta64("NaT"), "timedelta64[ns]")
        return Stamps(local, none, np.zeros(len(local), bool))
    parts = text.str.extract(rf"^\s*({_ISO.pattern})\s?(Z|UTC|GMT|[+-]\d\d:?(?:\d\d)?)?\s*$")
    if parts[0].isna().any():
        return None
    dates = pd.to_datetime(parts[0], format="ISO8601", errors="coerce")
    return Stamps(_ns(dates), _offsets(parts[1]), (parts[0].str.len() > 10).to_numpy(bool))


def _offsets(zones: pd.Series) -> NDArray[np.timedelta64]:
    import numpy as np
    import pandas as pd

    codes, distinct = pd.factorize(zones)
    minutes = [minutes_ahead(str(zone)) or 0 for zone in distinct]
    table = np.array(
        [*(np.timedelta64(one, "m") for one in minutes), np.timedelta64("NaT")], "timedelta64[ns]"
    )
    return table[codes]


def _from_parts(text: pd.Series, order: str) -> Stamps:
    """Dates taken apart, distinct ones once."""
    import numpy as np
    import pandas as pd

    codes, distinct = pd.factorize(text)
    local = np.full(len(distinct) + 1, np.datetime64("NaT"), "datetime64[ns]")
    offset = np.full(len(distinct) + 1, np.timedelta64("NaT"), "timedelta64[ns]")
    timed = np.zeros(len(distinct) + 1, bool)
    for number, cell in enumerate(distinct):
        parts = date_parts(bare_date(str(cell)), order)
        if parts is None:
            continue
        date, clock, zone = parts
        local[number] = np.datetime64(date, "ns") + np.timedelta64(clock or 0, "ns")
        timed[number] = clock is not None
        if zone is not None:
            offset[number] = np.timedelta64(zone, "m")
    return Stamps(local[codes], offset[codes], timed[codes])


def _numeric_kind(example: str, smallest: float, largest: float, origin: str) -> str:
    """What a bare number counts, by its size: days of a spreadsheet, or a unit since 1970.

    Raises:
        UserError: nothing that gives dates of our time, or another unit in some rows.
    """
    if 10_000 <= smallest <= largest < 100_000:
        return EXCEL
    if 1_000_101 <= smallest <= largest <= 1_991_231:
        return "roc"
    scales = {kind: 10**9 / nanoseconds for kind, nanoseconds in _UNITS.items()}
    kind = next((kind for kind, scale in scales.items() if _EPOCH[0] <= largest / scale < _EPOCH[1]), None)
    if kind is None or _TICKS[0] <= largest < _TICKS[1]:
        raise UserError(
            f"{origin}: Date={example} counts neither days of a spreadsheet nor a unit since 1970 that gives dates of "
            f"our time; set source.dates={'|'.join(_UNITS)} if it does, or a format such as '%y%m%d'; or YYYY-MM-DD"
        )
    if any(_EPOCH[0] <= smallest / scale < _EPOCH[1] for scale in scales.values() if scale < scales[kind]):
        raise UserError(
            f"{origin}: Date counts in two units since 1970, {smallest:.0f} and {largest:.0f}; name another column of "
            f"dates with source.columns={{Date: NAME}}, mend the file, or set source.dates={kind} if all are in that"
        )
    return kind


def _holds_dates(cells: pd.Series) -> bool:
    """Whether a column of objects holds dates: date, datetime, Timestamp."""
    import datetime

    if cells.dtype != object:
        return False
    present = cells.dropna()
    return bool(len(present) and isinstance(present.iloc[0], datetime.date))


def _example(cell: str, order: str) -> str:
    found = date_parts(cell, order)
    return found[0] if found else order


def join_time(dates: pd.Series, times: pd.Series) -> pd.Series:
    """Date and time of two columns as the text of one; 93000 and 930 are half past nine."""

    def clock(cell: str) -> str:
        cell = cell.strip()
        if cell.isdigit():
            digits = cell.zfill(6 if len(cell) > 4 else 4).ljust(6, "0")
            return f"{digits[:2]}:{digits[2:4]}:{digits[4:]}"
        return cell

    return dates.str.strip() + " " + times.astype("str").map(clock, na_action="ignore")


def check_kind(value: str | None) -> None:
    """Refuse what source.dates cannot be.

    Raises:
        UserError: neither a kind nor a format of strptime.
    """
    if value is not None and value not in KINDS and "%" not in value:
        raise UserError(
            f"source.dates={value}: must be {', '.join(KINDS)}, or a format of strptime such as '%d.%m.%Y %H:%M'"
        )
