"""The one step that looks at a file and says how it is written: a FileLayout, which the reader then obeys.

Nothing is guessed: what two readings fit is refused with the key under `source` that decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from forecast.data.bars import COLUMNS
from forecast.data.sources import headers
from forecast.data.sources.clocks import sniff_clock
from forecast.data.sources.date_text import is_date, sniff_dates
from forecast.data.sources.number_text import Notation, sniff_notation, unclear_notation
from forecast.data.sources.raw_files import RawFile, RawTable, sample_rows
from forecast.data.sources.reading import (
    DatedRows,
    FileLayout,
    date_cells,
    order_of,
    places_of,
    raw_table,
    with_clock,
)
from forecast.data.sources.text_shape import Shape, first_lines, headerless, labels_of, sniff_shape
from forecast.errors import UserError

if TYPE_CHECKING:
    pass

_NAMELESS = ("", "index", "unnamed0", "level0", "x")  # an index that was saved without a name


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What the user says of files; None = to be found.

    Args:
        columns: our names -> a name or a place.
        dates: see date_text.KINDS.
        decimal: sign.
        thousands: sign.
        timezone: of the market.
        clock: of times without a zone.
        separator: between fields.
        encoding: of text.
        skip: lines before the header.
        header: lines of the header.
    """

    columns: Mapping[str, str | int] = field(default_factory=dict)
    dates: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    timezone: str | None = None
    clock: str | None = None
    separator: str | None = None
    encoding: str | None = None
    skip: int | None = None
    header: int | None = None

    def over(self, layout: FileLayout) -> FileLayout:
        """A saved layout with what is chosen now."""
        names = (
            "dates",
            "decimal",
            "thousands",
            "timezone",
            "clock",
            "separator",
            "encoding",
            "skip",
            "header",
        )
        said: dict[str, Any] = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.columns:
            said["columns"] = {**layout.columns, **{ours: str(name) for ours, name in self.columns.items()}}
        return replace(layout, **said) if said else layout


def sniff_text(file: RawFile, chosen: Chosen) -> tuple[str, Shape]:
    """The text of a file and its shape.

    Raises:
        UserError: it is no text, or has no header and no row.
    """
    text, encoding = file.decoded(chosen.encoding)
    shape = sniff_shape(
        text,
        encoding=encoding,
        separator=chosen.separator,
        skip=chosen.skip,
        header=chosen.header,
        origin=file.origin,
    )
    return text, shape


def sniff_file(
    file: RawFile, chosen: Chosen, *, known: tuple[str, Shape] | None = None, bars: bool = True
) -> tuple[FileLayout, RawTable]:
    """What is the same for every ticker of a file, and its cells.

    Args:
        file: to look at.
        chosen: what stands above what is found.
        known: what `sniff_text` found before.
        bars: prices and volume must be among the columns; else Date alone.

    Raises:
        UserError: a column is missing, or something may be read in two ways.
    """
    sample: list[list[str]] = []
    if file.is_parquet:
        table = file.parquet()
        layout = FileLayout(columns=_columns(table.labels, None, chosen, file.origin, bars=bars, table=table))
    else:
        text, shape = known or sniff_text(file, chosen)
        labels = labels_of(first_lines(text), shape, file.origin)
        dated = any(isinstance(label, str) and headers.is_date_name(label) for label in labels)
        needed = shape.header == 0 or not bars or not dated or shape.separator == ";"
        sample = sample_rows(text, shape) if needed else []
        columns = _columns(labels, sample, chosen, file.origin, bars=bars, shape=shape)
        layout = FileLayout(
            encoding=shape.encoding,
            separator=shape.separator,
            skip=shape.skip,
            header=shape.header,
            footer=shape.footer,
            comment=shape.comment,
            columns=columns,
            decimal=chosen.decimal or (_other(chosen.thousands) if chosen.thousands in (".", ",") else "."),
        )
        table = raw_table(file, layout, text=text)
    layout = _with_tickers(layout, table, chosen)
    layout = _with_used_volume(layout, table, chosen)
    places = _places(table, layout, file.origin)
    dates = chosen.dates or sniff_dates(date_cells(table.frame, places), origin=file.origin)
    layout = replace(layout, dates=dates)
    return _with_notation(file, layout, table, places, chosen, sample)


def sniff_ticker(
    rows: DatedRows, layout: FileLayout, *, name: str, chosen: Chosen, origin: str
) -> FileLayout:
    """A file's layout with what the dates of one ticker show: days or moments, zone, order.

    Args:
        rows: of the ticker.
        layout: of the file.
        name: of the ticker, whose ending may name an exchange.
        chosen: what stands above what is found.
        origin: the file, named in errors.

    Raises:
        UserError: they do not show it, see clocks.sniff_clock.
    """
    clock = sniff_clock(rows.stamps, ticker=name, timezone=chosen.timezone, clock=chosen.clock, origin=origin)
    return with_clock(layout, clock, order_of(rows.stamps.local))


def names_tickers(file: RawFile, chosen: Chosen) -> bool:
    """Whether a file has a column, or a line of its header, of tickers; its rows are not read.

    Raises:
        UserError: it is no text, or has no header and no row.
    """
    if "Ticker" in chosen.columns:
        return True
    if file.is_parquet:
        labels = file.parquet_labels()
    else:
        text, shape = sniff_text(file, chosen)
        if shape.header == 0:
            return "Ticker" in headerless(sample_rows(text, shape), file.origin)
        labels = labels_of(first_lines(text), shape, file.origin)
    return any(not isinstance(label, str) or headers.rank("Ticker", label) is not None for label in labels)


def tickers_of(table: RawTable, layout: FileLayout) -> list[str]:
    """The tickers that a file names, in its order; none where it is of one that it does not name."""
    if layout.tickers_in == "header":
        return table.header_tickers()
    if "Ticker" not in layout.columns:
        return []
    place = _places(table, layout, "")["Ticker"]
    return [str(name) for name in table.frame[place].dropna().astype("str").str.strip().unique()]


def _columns(
    labels: list[str | tuple[str, str]],
    rows: list[list[str]] | None,
    chosen: Chosen,
    origin: str,
    *,
    bars: bool,
    shape: Shape | None = None,
    table: RawTable | None = None,
) -> dict[str, str]:
    """Our names -> those of the file, `none` for a volume that is not wanted."""
    several = next((label[0] for label in labels if not isinstance(label, str)), None)
    header = [label if isinstance(label, str) else label[1] for label in labels
              if isinstance(label, str) or label[0] == several]  # fmt: skip
    picked = dict(chosen.columns)
    if shape is not None and shape.header == 0 and rows and not {"Date", "Close"} <= picked.keys():
        picked = {**headerless(rows, origin), **picked} if bars else {**_date_place(rows), **picked}
    if shape is not None and shape.header == 0:
        found = headers.recognised(
            header, chosen={**dict.fromkeys(headers.NAMES, headers.ABSENT), **picked}, origin=origin
        )
    else:
        found = headers.recognised(header, chosen=picked, origin=origin)
    if "Date" not in found and chosen.columns.get("Date") is None:
        name = _nameless_dates(header, rows, table)
        if name is not None:
            found = {"Date": name, **found}
    if "Time" in found and found["Time"] == found.get("Date"):
        del found["Time"]
    absent = [ours for ours in ("AdjClose", "Volume") if chosen.columns.get(ours) == headers.ABSENT]
    _refuse_missing(found, header, absent, origin, bars=bars, text=shape is not None)
    if "Volume" in absent:
        found["Volume"] = headers.ABSENT
    return found


def _date_place(rows: list[list[str]]) -> dict[str, str | int]:
    for place in range(min(map(len, rows))):
        if all(is_date(row[place]) for row in rows):
            return {"Date": place + 1}
    return {}


def _nameless_dates(header: list[str], rows: list[list[str]] | None, table: RawTable | None) -> str | None:
    """The column of dates that has no name of dates: a nameless index, in parquet the one of the type."""
    import pandas as pd

    for place, name in enumerate(header):
        if headers.spelled(name) not in _NAMELESS:
            continue
        if rows and all(is_date(row[place]) for row in rows if len(row) > place):
            return name
        if table is not None and (
            pd.api.types.is_datetime64_any_dtype(table.frame[place])
            or all(is_date(str(cell)) for cell in table.frame[place].iloc[:20])
        ):
            return name
    if table is not None:
        dated = [
            name
            for place, name in enumerate(header)
            if pd.api.types.is_datetime64_any_dtype(table.frame[place])
        ]
        if len(dated) == 1:
            return dated[0]
    return None


def _refuse_missing(
    found: Mapping[str, str], header: list[str], absent: list[str], origin: str, *, bars: bool, text: bool
) -> None:
    wanted = ("Date", *COLUMNS) if bars else ("Date",)
    missing = [ours for ours in wanted if ours not in found and ours not in absent]
    if not missing:
        return
    where = f"in its header {','.join(header)[:80]!r}" if text else f"among {', '.join(header)[:80]}"
    if "Date" in missing and not text:
        where += " and no index of dates"
    way = f"source.columns={{{missing[0]}: NAME}} names it"
    if missing == ["Volume"]:
        way = "source.columns={Volume: NAME} names it, source.columns={Volume: none} takes 0 for it"
    raise UserError(f"{origin}: no column {', '.join(missing)} {where}; needs {', '.join(wanted)}; {way}")


def _places(table: RawTable, layout: FileLayout, origin: str) -> dict[str, int]:
    """Of the columns of the first ticker."""
    first = table.header_tickers()[0] if layout.tickers_in == "header" else None
    return places_of(table, layout, ticker=first, origin=origin)


def _with_tickers(layout: FileLayout, table: RawTable, chosen: Chosen) -> FileLayout:
    """Whether the file is of several tickers, and where it names them."""
    if table.header_tickers():
        return replace(layout, tickers_in="header")
    if "Ticker" not in layout.columns:
        return layout
    cells = table.frame[_places(table, layout, "")["Ticker"]].dropna()
    count = cells.nunique()
    if count < 2:
        return layout
    if "Ticker" not in chosen.columns and len(cells) >= 4 and count > len(cells) / 2:
        # Another text for nearly each row names no ticker.
        return replace(
            layout, columns={ours: name for ours, name in layout.columns.items() if ours != "Ticker"}
        )
    return replace(layout, tickers_in="column")


def _with_used_volume(layout: FileLayout, table: RawTable, chosen: Chosen) -> FileLayout:
    """Of two columns of volumes the one that is not 0 throughout: MetaTrader writes 0 beside the ticks."""
    if "Volume" in chosen.columns or "Volume" not in layout.columns:
        return layout
    names = table.names(table.header_tickers()[0] if layout.tickers_in == "header" else None)
    by_name = {name: place for place, name in names.items()}

    def is_zero(name: str) -> bool:
        cells = table.frame[by_name[name]]
        return bool(cells.dtype.kind in "iuf" and len(cells) and (cells == 0).all())

    if is_zero(layout.columns["Volume"]):
        for name in by_name:
            used = name not in layout.columns.values() and headers.rank("Volume", name) is not None
            if used and not is_zero(name):
                return replace(layout, columns={**layout.columns, "Volume": name})
    return layout


def _with_notation(
    file: RawFile,
    layout: FileLayout,
    table: RawTable,
    places: Mapping[str, int],
    chosen: Chosen,
    sample: list[list[str]],
) -> tuple[FileLayout, RawTable]:
    """The layout with the signs of its numbers, and its cells read with them."""
    prices = [place for ours, place in places.items() if ours in headers.NUMBERS]
    columns = prices or [place for place in range(len(table.labels)) if place not in places.values()]
    if layout.tickers_in == "header":  # all tickers' columns
        columns = [place for place, label in enumerate(table.labels) if not isinstance(label, str)]
    comma_country = layout.separator == ";"
    decimal = chosen.decimal

    def sniffed(cells: Iterable[str]) -> Notation | None:
        return sniff_notation(
            cells,
            decimal=decimal,
            thousands=chosen.thousands,
            origin=file.origin,
            comma_country=comma_country,
        )

    def text_columns() -> list[int]:
        return [place for place in columns if table.frame[place].dtype.kind not in "iufbmM"]

    def read_again(sign: str) -> RawTable:
        """With another decimal sign, columns of plain numbers are numbers."""
        return (
            table
            if sign == layout.decimal or layout.shape is None
            else raw_table(file, replace(layout, decimal=sign))
        )

    # A few rows nearly always tell the sign, and the reader refuses what does not fit it.
    some = [row[place] for row in sample for place in columns if place < len(row)]
    notation = sniffed(some) if any("." in cell or "," in cell for cell in some) else None
    if notation is not None:
        decimal = notation.decimal
        table = read_again(decimal)
        layout = replace(layout, decimal=decimal)
    if not text_columns() and (notation is not None or decimal is not None or not comma_country):
        return replace(layout, thousands=chosen.thousands), table
    notation = sniffed(_cells(table, text_columns())) if text_columns() else None
    if notation is None:
        whole = table if layout.shape is None else raw_table(file, layout, as_text=True)
        others = [place for place in range(len(table.labels)) if place not in places.values()]
        # A change in percent may tell what the prices do not.
        notation = sniffed(_cells(whole, columns)) or sniffed(_cells(whole, [*columns, *others]))
        if notation is None:
            raise unclear_notation(_cells(whole, columns), file.origin)
    table = read_again(notation.decimal)
    return replace(layout, decimal=notation.decimal, thousands=notation.thousands), table


def _cells(table: RawTable, places: list[int]) -> Iterator[str]:
    """Distinct text of some columns."""
    for place in places:
        for cell in table.frame[place].dropna().unique():
            if isinstance(cell, str):
                yield cell


def _other(sign: str | None) -> str:
    return "," if sign == "." else "."
