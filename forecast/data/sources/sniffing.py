"""The one step that looks at a file and says how it is written: a FileLayout, which the reader then follows.

Nothing is guessed: what two readings fit is refused with the key under `source` that decides.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from forecast.data.bars import COLUMNS
from forecast.data.sources import headers
from forecast.data.sources.date_text import is_date
from forecast.data.sources.dates import sniff_dates
from forecast.data.sources.headers import Label
from forecast.data.sources.layout import FileError, FileLayout
from forecast.data.sources.number_text import sniff_notation, unclear_notation
from forecast.data.sources.raw_files import RawFile, RawTable, read_table, sample_rows
from forecast.data.sources.reading import date_cells, places_of
from forecast.data.sources.text_shape import (
    date_place,
    decode,
    first_lines,
    headerless,
    labels_of,
    sniff_shape,
)

_NAMELESS = ("", "index", "unnamed0", "level0", "x")  # an index that was saved without a name
Said = Mapping[str, Any]  # what the user says of files, by the names in layout.KEYS


def sniff_text(file: RawFile, said: Said) -> tuple[str, FileLayout]:
    """The text of a file and its shape.

    Raises:
        FileError: it is no text, or has no header and no row.
    """
    text, encoding = decode(file.content, said.get("encoding"))
    return text, sniff_shape(text, encoding=encoding, said=said)


def sniff_file(file: RawFile, said: Said, *, bars: bool = True) -> tuple[FileLayout, RawTable]:
    """What is the same for every ticker of a file, and its cells.

    Args:
        file: to look at.
        said: stands above what is found.
        bars: prices and volume must be among the columns; else Date alone.

    Raises:
        FileError: a column is missing, or something may be read in two ways.
    """
    sample: list[list[str]] = []
    if file.is_parquet:
        table = read_table(file, FileLayout())
        layout = FileLayout(columns=_columns(table.labels, said, bars=bars, table=table))
    else:
        text, shape = sniff_text(file, said)
        labels = labels_of(first_lines(text), shape)
        dated = any(label.ticker is None and headers.is_date_name(label.name) for label in labels)
        needed = shape.header == 0 or not bars or not dated or shape.separator == ";"
        sample = sample_rows(text, shape) if needed else []
        columns = _columns(labels, said, bars=bars, header=shape.header, rows=sample)
        other = {".": ",", ",": "."}.get(said.get("thousands", ""), ".")
        layout = replace(shape, columns=columns, decimal=said.get("decimal", other))
        table = read_table(file, layout, text=text)
    layout = _with_tickers(layout, table, said)
    layout = _with_used_volume(layout, table, said)
    places = _places(table, layout)
    dates = said.get("dates") or sniff_dates(date_cells(table.frame, places))
    layout = replace(layout, dates=dates)
    return _with_notation(file, layout, table, places, said, sample)


def names_tickers(file: RawFile, said: Said) -> bool:
    """Whether a file has a column, or a line of its header, of tickers; its rows are not read.

    Raises:
        FileError: it is no text, or has no header and no row.
    """
    if "Ticker" in said.get("columns", {}):
        return True
    if file.is_parquet:
        labels = file.parquet_labels()
    else:
        text, shape = sniff_text(file, said)
        if shape.header == 0:
            return "Ticker" in headerless(sample_rows(text, shape))
        labels = labels_of(first_lines(text), shape)
    return any(label.ticker is not None or headers.rank("Ticker", label.name) is not None for label in labels)


def tickers_of(table: RawTable, layout: FileLayout) -> list[str]:
    """The tickers that a file names, in its order; none where it is of one that it does not name."""
    if layout.tickers_in == "header":
        return table.header_tickers()
    if "Ticker" not in layout.columns:
        return []
    place = _places(table, layout)["Ticker"]
    return [str(name) for name in table.frame[place].dropna().astype("str").str.strip().unique()]


def _columns(
    labels: Sequence[Label],
    said: Said,
    *,
    bars: bool,
    header: int = 1,
    rows: Sequence[Sequence[str]] = (),
    table: RawTable | None = None,
) -> dict[str, str]:
    """Our names -> those of the file, `none` for a volume that is not wanted."""
    first = next((label.ticker for label in labels if label.ticker is not None), None)
    names = [label.name for label in labels if label.ticker in (None, first)]
    picked = dict(said.get("columns", {}))
    absent = [ours for ours in ("AdjClose", "Volume") if picked.get(ours) == headers.ABSENT]
    if header == 0:
        if rows and not {"Date", "Close"} <= picked.keys():
            found_places = headerless(rows) if bars else {"Date": date_place(rows) or headers.ABSENT}
            picked = {**found_places, **picked}
        picked = {**dict.fromkeys(headers.NAMES, headers.ABSENT), **picked}
    found = headers.recognised(names, chosen=picked)
    if "Date" not in found and picked.get("Date") is None:
        name = _unnamed_dates([one for one in names if one not in found.values()], names, rows, table)
        if name is not None:
            found = {"Date": name, **found}
    if "Time" in found and found["Time"] == found.get("Date"):
        del found["Time"]
    needed = ("Date", *COLUMNS) if bars else ("Date",)
    if missing := [ours for ours in needed if ours not in found and ours not in absent]:
        where = f"in its header {','.join(names)[:80]!r}"
        if table is not None:
            where = f"among {', '.join(names)[:80]}" + " and no index of dates" * ("Date" in missing)
        raise FileError(
            f"no column {', '.join(missing)} {where}; needs {', '.join(needed)}; {_way_out(missing, names)}"
        )
    if "Volume" in absent:
        found["Volume"] = headers.ABSENT
    return found


def _way_out(missing: Sequence[str], names: Sequence[str]) -> str:
    named = ", ".join(f"{ours}: NAME" for ours in missing)
    ways = [f"source.columns={{{named}}} names {'it' if len(missing) == 1 else 'them'}"]
    if "Date" in missing and {"year", "month", "day"} <= {*map(headers.spelled, names)}:
        ways = ["join Year, Month and Day into one column YYYY-MM-DD"]
    if "Volume" in missing:
        ways.append("source.columns={Volume: none} takes 0 for it")
    if {"Open", "High", "Low"} <= {*missing}:
        ways.append("of a file with one price a bar, name its column for Open, High, Low and Close alike")
    return ", ".join(ways)


def _unnamed_dates(
    free: Sequence[str], names: Sequence[str], rows: Sequence[Sequence[str]], table: RawTable | None
) -> str | None:
    """The column of dates that has no name of dates: a nameless index, or the only one of dates."""
    dated = []
    for place, name in enumerate(names):
        if name not in free:
            continue
        typed = table is not None and pd.api.types.is_datetime64_any_dtype(table.frame[place])
        cells = [row[place] for row in rows if len(row) > place]
        if table is not None:
            cells = [str(cell) for cell in table.frame[place].iloc[:20]]
        if not typed and not (cells and all(map(is_date, cells))):
            continue
        if headers.spelled(name) in (*_NAMELESS, str(place + 1)):
            return name
        if typed or not all(cell.strip().isdigit() for cell in cells) or _runs(cells):
            dated.append(name)
    return dated[0] if len(dated) == 1 else None


def _runs(cells: Sequence[str]) -> bool:
    """Whether numbers rise or fall throughout, as those of dates do and those of volumes do not."""
    steps = [int(later) - int(earlier) for earlier, later in itertools.pairwise(cells)]
    return len(steps) > 3 and (min(steps) > 0 or max(steps) < 0)


def _places(table: RawTable, layout: FileLayout) -> dict[str, int]:
    """The places of the columns of the first ticker."""
    first = table.header_tickers()[0] if layout.tickers_in == "header" else None
    return places_of(table, layout, ticker=first)


def _with_tickers(layout: FileLayout, table: RawTable, said: Said) -> FileLayout:
    """Whether the file is of several tickers, and where it names them."""
    if table.header_tickers():
        return replace(layout, tickers_in="header")
    if "Ticker" not in layout.columns:
        return layout
    places = _places(table, layout)
    cells, dates = table.frame[places["Ticker"]].dropna(), table.frame[places["Date"]]
    count = cells.nunique()
    if count < 2:
        return layout
    chosen = "Ticker" in said.get("columns", {})
    if not chosen and len(cells) >= 4 and min(count, dates.nunique()) > len(cells) / 2:
        # Another text for nearly each day names no ticker.
        columns = {ours: name for ours, name in layout.columns.items() if ours != "Ticker"}
        return replace(layout, columns=columns)
    return replace(layout, tickers_in="column")


def _with_used_volume(layout: FileLayout, table: RawTable, said: Said) -> FileLayout:
    """Of two columns of volumes the one that is not 0 throughout: MetaTrader writes 0 beside the ticks."""
    if "Volume" in said.get("columns", {}) or "Volume" not in layout.columns:
        return layout
    names = table.names(table.header_tickers()[0] if layout.tickers_in == "header" else None)
    zero = {
        name: bool(
            table.frame[place].dtype.kind in "iuf" and len(table.frame) and (table.frame[place] == 0).all()
        )
        for place, name in names.items()
        if name == layout.columns["Volume"]
        or (name not in layout.columns.values() and headers.rank("Volume", name) is not None)
    }
    other = next((name for name in zero if not zero[name]), None)
    if not zero.get(layout.columns["Volume"]) or other is None:
        return layout
    return replace(layout, columns={**layout.columns, "Volume": other})


def _with_notation(
    file: RawFile,
    layout: FileLayout,
    table: RawTable,
    places: Mapping[str, int],
    said: Said,
    sample: Sequence[Sequence[str]],
) -> tuple[FileLayout, RawTable]:
    """The layout with the signs of its numbers, and its cells read with them."""
    prices = [place for ours, place in places.items() if ours in headers.NUMBERS]
    others = [place for place in range(len(table.labels)) if place not in places.values()]
    columns = prices or others
    if layout.tickers_in == "header":  # all tickers' columns
        columns = [place for place, label in enumerate(table.labels) if label.ticker is not None]
    comma_country = layout.separator == ";"
    decimal, thousands = said.get("decimal"), said.get("thousands")

    def sniffed(cells: Iterable[str]) -> tuple[str, str | None] | None:
        return sniff_notation(cells, decimal=decimal, thousands=thousands, comma_country=comma_country)

    def read_with(sign: str) -> RawTable:
        """With another decimal sign, columns of plain numbers are numbers."""
        same = sign == layout.decimal or layout.encoding is None
        return table if same else read_table(file, replace(layout, decimal=sign))

    # A few rows nearly always tell the sign, and the reader refuses what does not fit it.
    some = [row[place] for row in sample for place in columns if place < len(row)]
    found = sniffed(some) if any("." in cell or "," in cell for cell in some) else None
    if found is not None:
        decimal = found[0]
        table, layout = read_with(decimal), replace(layout, decimal=decimal)
    texts = [place for place in columns if table.frame[place].dtype.kind not in "iufbmM"]
    if not texts and (decimal is not None or not comma_country):
        return replace(layout, thousands=thousands), table
    found = sniffed(_cells(table, texts)) if texts else None
    if found is None:
        whole = table if layout.encoding is None else read_table(file, layout, as_text=True)
        # A change in percent may tell what the prices do not.
        found = sniffed(_cells(whole, columns)) or sniffed(_cells(whole, [*columns, *others]))
        if found is None:
            raise unclear_notation(_cells(whole, columns))
    return replace(layout, decimal=found[0], thousands=found[1]), read_with(found[0])


def _cells(table: RawTable, places: list[int]) -> Iterator[str]:
    """Distinct text of some columns."""
    for place in places:
        for cell in table.frame[place].dropna().unique():
            if isinstance(cell, str):
                yield cell
