"""A column of dates: which way of writing all of them have, and the strict reading of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecast.data.sources.date_text import DIGITS, PLAIN, bare_date, date_parts, minutes_ahead
from forecast.data.sources.layout import FileError
from forecast.errors import UserError

# What source.dates may say, besides a format of strptime.
ORDERS = ("ymd", "dmy", "mdy", "roc")  # roc: year of Taiwan, month, day; 113/06/28 is of 2024
_UNITS = {"epoch_s": 10**9, "epoch_ms": 10**6, "epoch_us": 10**3, "epoch_ns": 1}
_NEVER = np.timedelta64("NaT", "ns")
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
    def of(cls, local: NDArray[np.datetime64], offset: NDArray[np.timedelta64] | None = None) -> Stamps:
        """Of moments, those at midnight without a time of day; without offsets no zone is written."""
        if offset is None:
            offset = np.full(len(local), _NEVER, "timedelta64[ns]")
        return cls(local, offset, (local.astype("datetime64[D]") != local) & ~np.isnat(local))

    @classmethod
    def joined(cls, parts: Sequence[Stamps]) -> Stamps:
        """Several columns of dates, one after the other."""
        if len(parts) == 1:
            return parts[0]
        names = [one.name for one in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def backwards(self) -> Stamps:
        """The dates in reverse order."""
        return Stamps(self.local[::-1], self.offset[::-1], self.timed[::-1])


def sniff_dates(cells: pd.Series) -> str:
    """How a column's dates are written: one of KINDS.

    Raises:
        FileError: more than one way fits every row, and the ways differ.
    """
    if pd.api.types.is_datetime64_any_dtype(cells) or _holds_dates(cells):
        return "ymd"
    first_row: Any = cells.first_valid_index()
    if first_row is None or _ISO.match(str(cells[first_row]).strip()):
        return "ymd"
    present = cells.dropna()
    if pd.api.types.is_float_dtype(present) and (present % 1 == 0).all():
        present = present.astype("Int64")
    text = present.astype("str")
    first = bare_date(text.iloc[0])
    if (form := _short_digits(first, text)) is not None:
        return form
    if DIGITS.fullmatch(first):
        return "ymd"
    if PLAIN.fullmatch(first):
        numbers = pd.to_numeric(text, errors="coerce")
        return _numeric_kind(first, float(numbers.min()), float(numbers.max()))
    distinct = [bare_date(cell) for cell in text.unique()]
    # A year of three digits shows Taiwan's; one of two is no sign of it.
    orders = ORDERS if any(re.match(r"\D*\d{3}\D", distinct[end]) for end in (0, -1)) else ORDERS[:3]
    fitting = [order for order in orders if all(date_parts(cell, order) for cell in distinct)]
    if not fitting:  # what is no date at all the reader names with its line
        distinct = [cell for cell in distinct if any(date_parts(cell, order) for order in orders)]
        fitting = [order for order in orders if all(date_parts(cell, order) for cell in distinct)]
    if not distinct:
        return "ymd"
    if len(fitting) > 1:  # 28/06/24 is no day of 2028: no bar is of the future
        today = str(pd.Timestamp.now().date() + pd.Timedelta(days=2))
        past = [order for order in fitting if all(_example(cell, order) <= today for cell in distinct)]
        fitting = past or fitting
    if len(fitting) > 1:
        examples = " or ".join(_example(first, order) for order in fitting)
        keys = " or ".join(f"source.dates={order}" for order in fitting)
        raise FileError(f"Date={text.iloc[0]!r} may be {examples}, and no other date tells; set {keys}")
    if fitting:
        return fitting[0]
    # Some rows are wrong under each order: the one that most rows fit, so that the wrong ones are named.
    return max(ORDERS, key=lambda order: sum(date_parts(cell, order) is not None for cell in distinct[:1000]))


def _short_digits(first: str, text: pd.Series) -> str | None:
    """The format of six or seven digits that all dates have and that gives none of the future: 202406, 240628, 2024180.

    Raises:
        FileError: two formats do.
    """
    forms = {6: ("%Y%m", "%y%m%d"), 7: ("%Y%j",)}.get(len(first), ()) if first.isdigit() else ()
    cells = text[text.str.fullmatch(r"\s*\d+\s*")].str.strip()
    found = {form: pd.to_datetime(cells, format=form, errors="coerce") for form in forms}
    now = pd.Timestamp.now() + pd.Timedelta(days=2)
    fitting = {form: days for form, days in found.items() if ((days.dt.year > 1800) & (days <= now)).all()}
    if len(fitting) > 1:
        shown = " or ".join(f"{days.iloc[0]:%Y-%m-%d}" for days in fitting.values())
        keys = " or ".join(f"source.dates='{form}'" for form in fitting)
        raise FileError(f"Date={first} may be {shown}, and no other date tells; set {keys}")
    return next(iter(fitting), None)


def read_dates(cells: pd.Series, kind: str) -> Stamps:
    """Dates as written, NaT where a cell is none in this way of writing.

    Raises:
        FileError: `kind` is no format.
    """
    if pd.api.types.is_datetime64_any_dtype(cells) or _holds_dates(cells):
        return _from_datetimes(cells)
    if kind in _UNITS or kind == EXCEL:
        return _from_numbers(cells, kind)
    if pd.api.types.is_numeric_dtype(cells):
        whole = cells.notna() & (cells % 1 == 0)
        cells = cells.where(whole).astype("Int64").astype("str").where(whole)
    text = cells.astype("str").where(cells.notna())
    if kind not in ORDERS:
        return _from_format(text, kind)
    if kind == "ymd" and (found := _from_iso(text)) is not None:
        return found
    return _from_parts(text, kind)


def _from_datetimes(cells: pd.Series) -> Stamps:
    if cells.dtype == object:
        zones = {str(getattr(cell, "tzinfo", None)) for cell in cells.dropna().iloc[:1000]}
        if zones <= {"None"}:
            return Stamps.of(_ns(pd.to_datetime(cells, errors="coerce")))
        utc = pd.to_datetime(cells, utc=True, errors="coerce").dt.tz_localize(None)
        bare = [cell.replace(tzinfo=None) if hasattr(cell, "tzinfo") else cell for cell in cells]
        local = _ns(pd.to_datetime(pd.Series(bare, index=cells.index), errors="coerce"))
        return Stamps.of(local, local - _ns(utc))
    written = _ns(cells.dt.tz_localize(None))
    if cells.dt.tz is None:
        return Stamps.of(written)
    return Stamps.of(written, written - _ns(cells.dt.tz_convert("UTC").dt.tz_localize(None)))


def _ns(dates: pd.Series) -> NDArray[np.datetime64]:
    """As datetime64[ns]; what nanoseconds cannot hold is NaT."""
    values = dates.to_numpy()
    if values.dtype != "datetime64[ns]":
        far = (values < np.datetime64("1678-01-01")) | (values > np.datetime64("2262-01-01"))  # never of NaT
        values = np.where(far, np.datetime64("NaT"), values)
    return values.astype("datetime64[ns]", copy=False)


def _from_numbers(cells: pd.Series, kind: str) -> Stamps:
    numbers = pd.to_numeric(cells, errors="coerce")
    whole = pd.api.types.is_integer_dtype(numbers)
    values = numbers.to_numpy(dtype=np.int64 if whole else np.float64)
    if kind == EXCEL:
        values = np.round(np.asarray(values, np.float64) * 86_400)
        whole, scale, begin, limit = True, 10**9, np.datetime64("1899-12-30", "ns"), 8e9
    else:
        scale = _UNITS[kind]
        begin, limit = np.datetime64("1970-01-01", "ns"), 2**63 // scale - 1
    good = np.isfinite(values) & (np.abs(values) < limit)
    since = np.where(good, values, 0)
    since = since.astype(np.int64) * scale if whole else np.round(since * scale).astype(np.int64)
    local = begin + since.astype("timedelta64[ns]")
    local[~good] = np.datetime64("NaT")
    offset = np.where(good & (kind != EXCEL), np.timedelta64(0, "ns"), _NEVER)
    return Stamps(local, offset.astype("timedelta64[ns]"), np.asarray(good))


def _from_format(text: pd.Series, form: str) -> Stamps:
    try:
        found = pd.to_datetime(text.str.strip(), format=form, errors="coerce", utc="%z" in form)
    except ValueError as error:
        raise FileError(
            f"source.dates={form}: {str(error).splitlines()[0]}; must be {', '.join(KINDS)} or a "
            "format such as '%d.%m.%Y %H:%M'"
        ) from None
    return _from_datetimes(found)


def _from_iso(text: pd.Series) -> Stamps | None:
    """The fast way, for dates that begin YYYY-MM-DD all alike; None = not so."""
    days = _ns(pd.to_datetime(text, format="%Y-%m-%d", errors="coerce"))
    if not np.isnat(days).any():
        return Stamps.of(days)
    parts = text.str.extract(rf"^\s*({_ISO.pattern})\s?(Z|UTC|GMT|[+-]\d\d:?(?:\d\d)?)?\s*$")
    if parts[0].isna().any():
        return None
    local = _ns(pd.to_datetime(parts[0], format="ISO8601", errors="coerce"))
    if np.isnat(local).any():
        return None
    return Stamps(local, _offsets(parts[1]), (parts[0].str.len() > 10).to_numpy(bool))


def _offsets(zones: pd.Series) -> NDArray[np.timedelta64]:
    codes, distinct = pd.factorize(zones)
    minutes = [np.timedelta64(minutes_ahead(str(zone)) or 0, "m") for zone in distinct]
    return np.array([*minutes, _NEVER], "timedelta64[ns]")[codes]


def _from_parts(text: pd.Series, order: str) -> Stamps:
    """Dates taken apart, distinct ones once."""
    codes, distinct = pd.factorize(text)
    local = np.full(len(distinct) + 1, np.datetime64("NaT"), "datetime64[ns]")
    offset = np.full(len(distinct) + 1, _NEVER, "timedelta64[ns]")
    timed = np.zeros(len(distinct) + 1, bool)
    for number, cell in enumerate(distinct):
        if (parts := date_parts(bare_date(str(cell)), order)) is None:
            continue
        date, clock, zone = parts
        local[number] = np.datetime64(date, "ns") + np.timedelta64(clock or 0, "ns")
        timed[number] = clock is not None
        if zone is not None:
            offset[number] = np.timedelta64(zone, "m")
    return Stamps(local[codes], offset[codes], timed[codes])


def _numeric_kind(example: str, smallest: float, largest: float) -> str:
    """What a bare number counts, by its size: days of a spreadsheet, or a unit since 1970."""
    if 10_000 <= smallest <= largest < 100_000:
        return EXCEL
    if 1_000_101 <= smallest <= largest <= 1_991_231:
        return "roc"
    scales = {kind: 10**9 / nanoseconds for kind, nanoseconds in _UNITS.items()}
    kind = next((kind for kind, scale in scales.items() if _EPOCH[0] <= largest / scale < _EPOCH[1]), None)
    if kind is None or _TICKS[0] <= largest < _TICKS[1]:
        raise FileError(
            f"Date={example} counts neither days of a spreadsheet nor a unit since 1970 that gives dates of "
            f"our time; set source.dates={'|'.join(_UNITS)} if it does, or a format such as '%y%m%d'; or YYYY-MM-DD"
        )
    if any(_EPOCH[0] <= smallest / scale < _EPOCH[1] for scale in scales.values() if scale < scales[kind]):
        raise FileError(
            f"Date counts in two units since 1970, {smallest:.0f} and {largest:.0f}; name another column of "
            f"dates with source.columns={{Date: NAME}}, mend the file, or set source.dates={kind} if all are in that"
        )
    return kind


def _holds_dates(cells: pd.Series) -> bool:
    """Whether a column of objects holds dates: date, datetime, Timestamp."""
    if cells.dtype != object:
        return False
    present = cells.dropna()
    return bool(len(present) and isinstance(present.iloc[0], date))


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
