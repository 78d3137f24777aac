"""The strict reader: a file and the layout that describes it -> bars, and the file's other columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecast.data.sources import headers
from forecast.data.sources.clocks import read_clock
from forecast.data.sources.dates import Stamps, join_time, read_dates
from forecast.data.sources.layout import FileError, FileLayout, Order, named
from forecast.data.sources.number_text import read_numbers
from forecast.data.sources.raw_files import RawTable, not_as_saved
from forecast.errors import UserError

_EVENT = re.compile(r"dividend|split|dividende|dividendo|aktiensplit|capital gain", re.IGNORECASE)
_FIGURES = re.compile(r"[^A-Za-z]*\d[^A-Za-z]*")
_BLANK, _EVENTS, _WORDS = "blank", "dividends or splits", "neither date nor price"
_MOST_LATE = 0.1  # share of rows out of order in a file that runs from the newest to the oldest all the same


@dataclass(frozen=True)
class DatedRows:
    """The rows of one ticker in one file, oldest first where the file has an order, and their dates as written.

    Args:
        table: of the file.
        layout: of the file.
        file: it was read from.
        ticker: of those the file names; None where it is of one.
        frame: (rows, columns) cells by place.
        places: our names -> places.
        stamps: of the rows.
        order: in which they stand in the file.
        left_out: kind -> number of rows that stood among them and are no bars.
    """

    table: RawTable
    layout: FileLayout
    file: Path
    ticker: str | None
    frame: pd.DataFrame
    places: Mapping[str, int]
    stamps: Stamps
    order: Order
    left_out: Mapping[str, int]


def places_of(table: RawTable, layout: FileLayout, *, ticker: str | None) -> dict[str, int]:
    """Our names -> places of the columns that belong to a ticker.

    Raises:
        FileError: a column of the layout is not there.
    """
    by_name: dict[str, int] = {}
    for place, name in table.names(ticker if layout.tickers_in == "header" else None).items():
        by_name.setdefault(name, place)
    places = {}
    for ours, name in layout.columns.items():
        if name in by_name:
            places[ours] = by_name[name]
        elif name != headers.ABSENT:
            raise not_as_saved(f"has no column {name!r} for {ours}")
    return places


def dated_rows(table: RawTable, layout: FileLayout, *, ticker: str | None, file: Path) -> DatedRows:
    """The rows of a ticker, without blank ones, repeated headers, dividends and splits, and their dates.

    Raises:
        FileError: there is none, a column of the layout is not there, or a date is none, named with its line.
    """
    places = places_of(table, layout, ticker=ticker)
    frame = table.frame
    if layout.tickers_in == "column" and ticker is not None:
        frame = frame.iloc[table.rows_of(ticker, places["Ticker"])]
    left_out = _no_bars(frame, places, layout)
    if any(map(len, left_out.values())):
        frame = frame.drop(index=left_out[_BLANK].union(left_out[_EVENTS]).union(left_out[_WORDS]))
    if not len(frame):
        raise FileError("holds no bars")
    cells = date_cells(frame, places)
    stamps = read_dates(cells, layout.dates)
    wrong = np.isnat(stamps.local)
    if wrong.any():
        row = int(wrong.argmax())
        cell = cells.iloc[row]
        what = "has no Date" if pd.isna(cell) else f"Date={cell!r} is no date as {layout.dates}"
        way = "write YYYY-MM-DD, or say how dates are written with source.dates, a format such as '%d %b %Y'"
        if not re.search(r"\d", str(cell)):
            way = "remove the line, or write YYYY-MM-DD where it is a bar"
        raise FileError(f"{what}; {way}", place=table.place(int(frame.index[row])))
    order = _order_of(stamps.local)
    if order == "newest first":
        frame, stamps = frame.iloc[::-1], stamps.backwards()
    counts = {what: len(rows) for what, rows in left_out.items() if len(rows) and what != _BLANK}
    return DatedRows(table, layout, file, ticker, frame, places, stamps, order, counts)


def date_cells(rows: pd.DataFrame, places: Mapping[str, int]) -> pd.Series:
    """Date, and where it stands in a column of its own, time."""
    cells = rows[places["Date"]]
    return cells if "Time" not in places else join_time(cells.astype("str"), rows[places["Time"]])


def _no_bars(frame: pd.DataFrame, places: Mapping[str, int], layout: FileLayout) -> dict[str, pd.Index]:
    """What stands among the rows and is none: blank lines, dividends and splits, and what has neither date nor price.

    The last are headers in files that were joined, rulers drawn below them, titles, sums, and notes.
    """
    own = [places[ours] for ours in ("Close", "Open", "High", "Low") if ours in places]
    prices = own or [place for place in range(frame.shape[1]) if place not in places.values()]
    close = frame[prices[0]] if prices else frame[places["Date"]]
    if close.dtype.kind in "iufb":
        rows = frame[close.isna().to_numpy()]
    else:
        rows = frame[~close.astype("str").str.fullmatch(_FIGURES.pattern).fillna(False).to_numpy(bool)]
    none = pd.Index([])
    found = {_BLANK: none, _EVENTS: none, _WORDS: none}
    if not len(rows):
        return found
    blank = rows.isna().all(axis=1).to_numpy()
    text = rows[prices].astype("str")
    event = _any(text, _EVENT) & bool(own)
    undated = np.isnat(read_dates(date_cells(rows, places), layout.dates).local)
    bare = undated & ~_any(text, re.compile(r"\d")) & ~event & ~blank & bool(prices)
    return {_BLANK: rows.index[blank], _EVENTS: rows.index[event], _WORDS: rows.index[bare]}


def _any(text: pd.DataFrame, pattern: re.Pattern[str]) -> NDArray[np.bool_]:
    """Rows of which a cell has the pattern in it."""
    return (
        text.map(lambda cell: isinstance(cell, str) and pattern.search(cell) is not None)
        .any(axis=1)
        .to_numpy(bool)
    )


def read_bars(
    parts: Sequence[DatedRows], layout: FileLayout
) -> tuple[pd.DatetimeIndex, dict[str, NDArray[np.float64]], list[str]]:
    """The bars of one ticker, its files one after the other.

    Returns:
        (rows,) midnights of days, or moments in UTC; name -> (rows,), Open to Volume, perhaps Adj Close; and in words
        which rows were left out.

    Raises:
        UserError: a number is none, a time cannot be, or two files have other numbers for one.
    """
    index, columns = _index(parts, layout), _joined(parts, _bar_columns)
    left_out = [
        f"{count} row{'s' * (count > 1)} of {what}" for part in parts for what, count in part.left_out.items()
    ]
    if len(parts) > 1 and (again := _again(parts, index, columns)).any():
        index, columns = index[~again], {name: values[~again] for name, values in columns.items()}
        left_out.append(f"{again.sum()} that two files have alike")
    return index, columns, left_out


def read_others(
    parts: Sequence[DatedRows], layout: FileLayout
) -> tuple[pd.DatetimeIndex, dict[str, NDArray[np.float64]]]:
    """As `read_bars`, the columns that hold numbers alone and are not bars; a file may have none of these."""
    return _index(parts, layout), _joined(parts, _other_columns)


def _index(parts: Sequence[DatedRows], layout: FileLayout) -> pd.DatetimeIndex:
    stamps = Stamps.joined([part.stamps for part in parts])
    with named(parts[0].file):
        return pd.DatetimeIndex(read_clock(stamps, layout), name="Date")


def _joined(
    parts: Sequence[DatedRows], read: Callable[[DatedRows], dict[str, NDArray[np.float64]]]
) -> dict[str, NDArray[np.float64]]:
    """The columns that all parts have, one after the other."""
    found = []
    for part in parts:
        with named(part.file):
            found.append(read(part))
    first, *others = found
    if not others:
        return first
    shared = [name for name in first if all(name in other for other in others)]
    return {name: np.concatenate([one[name] for one in found]) for name in shared}


def _again(
    parts: Sequence[DatedRows], index: pd.DatetimeIndex, columns: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.bool_]:
    """Rows that an earlier piece of the series has too."""
    piece = np.repeat(np.arange(len(parts)), [len(part.frame) for part in parts])
    table = pd.DataFrame(dict(columns)).assign(time=index, piece=piece)
    again: NDArray[np.bool_] = (
        table.duplicated("time").to_numpy() & ~table.duplicated(["time", "piece"]).to_numpy()
    )
    if (other := again & ~table.drop(columns="piece").duplicated().to_numpy()).any():
        row = int(other.argmax())
        first = piece[int((index == index[row]).argmax())]
        raise UserError(
            f"{parts[first].file} and {parts[piece[row]].file.name}, pieces of one series by their names, "
            f"have other numbers for {str(index[row]).removesuffix(' 00:00:00')}; remove one, or ask for "
            "each by its whole name without the ending"
        )
    return again


def _bar_columns(part: DatedRows) -> dict[str, NDArray[np.float64]]:
    columns: dict[str, NDArray[np.float64]] = {}
    for ours in headers.NUMBERS:
        name = "Adj Close" if ours == "AdjClose" else ours
        if ours in part.places:
            columns[name] = _numbers(part, part.frame[part.places[ours]], name)
        elif ours in part.layout.columns:
            columns[name] = np.zeros(len(part.frame))
    return columns


def _numbers(part: DatedRows, cells: pd.Series, name: str) -> NDArray[np.float64]:
    if cells.dtype.kind in "iuf":
        return cells.to_numpy(np.float64, na_value=np.nan)
    values, wrong = read_numbers(cells, part.layout)
    if wrong.any():
        row = int(wrong.argmax())
        where = part.table.place(int(cells.index[row]))
        plain = part.layout.decimal == "." and part.layout.thousands is None
        hint = "" if plain else f" with the decimal sign {part.layout.decimal!r}"
        raise FileError(
            f"{name}={str(cells.iloc[row])!r} is no number{hint}; leave the cell empty where there is none",
            place=where,
        )
    return values


def _other_columns(part: DatedRows) -> dict[str, NDArray[np.float64]]:
    whole = {"Open", "High", "Low", "Close"} <= part.layout.columns.keys()
    keys = part.places if whole else ("Date", "Time", "Ticker")
    taken = {part.places[ours] for ours in keys if ours in part.places}
    found: dict[str, NDArray[np.float64]] = {}
    for place, name in part.table.names(part.ticker if part.layout.tickers_in == "header" else None).items():
        if place in taken or not name:
            continue
        cells = part.frame[place]
        if cells.dtype.kind in "iufb":
            found.setdefault(name, cells.to_numpy(np.float64, na_value=np.nan))
        elif cells.dtype.kind not in "mM":
            values, wrong = read_numbers(cells, part.layout)
            if not wrong.any() and not np.isnan(values).all():
                found.setdefault(name, values)
    return found


def _order_of(local: NDArray[np.datetime64]) -> Order:
    """Whether rows ascend or descend; days that come twice, and an hour that clocks repeat, are no matter."""
    if (local[1:] >= local[:-1]).all():
        return "oldest first"
    descends = local[0] > local[-1] and (local[1:] > local[:-1]).mean() < _MOST_LATE
    return "newest first" if descends else "unsorted"
