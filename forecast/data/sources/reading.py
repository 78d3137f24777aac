"""The strict reader: a file and the layout that describes it -> bars, and the file's other columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from forecast.data.sources import headers
from forecast.data.sources.clocks import Clock, Rows, read_clock
from forecast.data.sources.date_text import Stamps, join_time, read_dates
from forecast.data.sources.number_text import Notation, read_numbers
from forecast.data.sources.raw_files import RawFile, RawTable
from forecast.data.sources.text_shape import Shape
from forecast.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

Order = Literal["oldest first", "newest first", "unsorted"]
_EVENT = re.compile(r"dividend|split|dividende|dividendo|aktiensplit|capital gain", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class FileLayout:
    """How a file is written; what the reader obeys, what `trainer=none` prints and a run saves.

    Args:
        encoding: of a text file; None of parquet, as the next five.
        separator: between fields.
        skip: lines before the header.
        header: lines of the header.
        footer: lines at the end that are no rows.
        comment: what lines begin with that are no rows.
        columns: our names -> the file's; `none` = there is no such column and 0 stands for it.
        tickers_in: `column` or `header`: where a file of several tickers names them; None = it is of one.
        dates: how they are written: ymd, dmy, mdy, epoch_s, ..., or a format of strptime.
        decimal: sign of numbers that are text.
        thousands: sign between their groups of digits.
        rows: `days` or `moments`.
        timezone: the market's; None = dates count as they are written.
        clock: in which times without a zone are written; None = in `timezone`.
        order: of the rows.
    """

    encoding: str | None = None
    separator: str | None = None
    skip: int | None = None
    header: int | None = None
    footer: int | None = None
    comment: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    tickers_in: Literal["column", "header"] | None = None
    dates: str = "ymd"
    decimal: str = "."
    thousands: str | None = None
    rows: Rows = "days"
    timezone: str | None = None
    clock: str | None = None
    order: Order = "oldest first"

    @property
    def shape(self) -> Shape | None:
        """Of a text file; None of parquet."""
        if self.encoding is None or self.separator is None:
            return None
        return Shape(
            self.encoding, self.separator, self.skip or 0, self.header or 0, self.footer or 0, self.comment
        )

    def to_json(self) -> dict[str, Any]:
        """As plain values, without what does not apply."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FileLayout:
        """What `to_json` wrote.

        Raises:
            UserError: a key it does not know.
        """
        known = {one.name for one in fields(cls)}
        for name in values:
            if name not in known:
                raise UserError(
                    f"source.layouts: has {name}, which is no part of a layout; known are {', '.join(known)}"
                )
        return cls(**{**values, "columns": {str(k): str(v) for k, v in values.get("columns", {}).items()}})

    def text(self) -> str:
        """In words, for a person: only what a file of plain commas, ISO days and points does not have."""
        said = []
        if self.encoding is None:
            said.append("parquet")
        else:
            names = {"\t": "tab", r"\s+": "blanks", r"\s{2,}": "blanks"}
            said.append(f"separator {names.get(self.separator or '', repr(self.separator))}, {self.encoding}")
            for count, what in (
                (self.skip, "lines before the header"),
                (self.footer, "lines after the rows"),
            ):
                if count:
                    said.append(
                        f"{count} {what}" if count > 1 else f"{count} {what.replace('lines', 'line')}"
                    )
            if self.comment:
                said.append(f"comments {self.comment}")
            if self.header != 1:
                said.append(f"header of {self.header} lines" if self.header else "no header")
        said.append(f"dates {self.dates}" + ("" if self.rows == "days" else " with times"))
        if self.timezone is not None:
            said.append(f"zone {self.timezone}")
        if self.clock is not None:
            said.append(f"written in {self.clock}")
        if self.decimal != "." or self.thousands is not None:
            said.append(
                f"decimal {self.decimal!r}" + (f", thousands {self.thousands!r}" if self.thousands else "")
            )
        if self.tickers_in is not None:
            said.append(f"tickers in its {self.tickers_in}")
        said.append(self.order)
        renamed = [f"{ours} = {name or 'the nameless column'}" for ours, name in self.columns.items()]
        return "; ".join(said) + "; " + ", ".join(renamed)


@dataclass(frozen=True)
class Reading:
    """What was read of one ticker.

    Args:
        index: (rows,) midnights of days, or moments in UTC.
        columns: name -> (rows,): Open, High, Low, Close, Volume and perhaps Adj Close; or the file's other columns.
        left_out: rows of dividends and splits that stood among them.
    """

    index: pd.DatetimeIndex
    columns: dict[str, NDArray[np.float64]]
    left_out: int


def raw_table(
    file: RawFile, layout: FileLayout, *, text: str | None = None, as_text: bool = False
) -> RawTable:
    """The cells of a file, its numbers read as the layout says.

    Args:
        file: to read.
        layout: of it; of `columns` those that are there.
        text: of the file, where it is known.
        as_text: read every column as text.

    Raises:
        UserError: it is not as the layout says.
    """
    shape = layout.shape
    if shape is None:
        if not file.is_parquet:
            raise not_as_saved(file.origin, "is no parquet file")
        return file.parquet()
    if file.is_parquet:
        raise not_as_saved(file.origin, "is a parquet file")
    if text is None:
        text, _ = file.decoded(layout.encoding)
    from forecast.data.sources.text_shape import first_lines, labels_of

    labels = [
        label if isinstance(label, str) else label[1]
        for label in labels_of(first_lines(text), shape, file.origin)
    ]
    places = {ours: labels.index(name) for ours, name in layout.columns.items() if name in labels}
    return file.csv(
        text,
        shape,
        text_columns=[places[ours] for ours in ("Date", "Time", "Ticker") if ours in places],
        exact_columns=[places["Ticker"]] if "Ticker" in places else (),
        decimal=layout.decimal,
        as_text=as_text,
    )


def not_as_saved(origin: str, what: str) -> UserError:
    """A file that is not as its layout says."""
    return UserError(
        f"{origin}: {what}, other than source.layouts says; source.layouts=null looks at the file anew"
    )


def places_of(table: RawTable, layout: FileLayout, *, ticker: str | None, origin: str) -> dict[str, int]:
    """Our names -> places of the columns that belong to a ticker.

    Raises:
        UserError: a column of the layout is not there.
    """
    names = table.names(ticker if layout.tickers_in == "header" else None)
    by_name: dict[str, int] = {}
    for place, name in names.items():
        by_name.setdefault(name, place)
    places = {}
    for ours, name in layout.columns.items():
        if name == headers.ABSENT and name not in by_name:
            continue
        if name not in by_name:
            raise not_as_saved(origin, f"has no column {name!r} for {ours}")
        places[ours] = by_name[name]
    return places


@dataclass(frozen=True)
class DatedRows:
    """The rows of one ticker and their dates as written.

    Args:
        frame: (rows, columns) cells by place.
        places: our names -> places.
        stamps: of the rows.
        left_out: rows of dividends and splits that stood among them.
    """

    frame: pd.DataFrame
    places: Mapping[str, int]
    stamps: Stamps
    left_out: int


def dated_rows(table: RawTable, layout: FileLayout, *, ticker: str | None, origin: str) -> DatedRows:
    """The rows of a ticker, without blank ones and those of dividends and splits, and their dates.

    Args:
        table: of the file.
        layout: of the file.
        ticker: of those the file names; None where it is of one.
        origin: the file, named in errors.

    Raises:
        UserError: there is none, a column of the layout is not there, or a date is none, named with its line.
    """
    import numpy as np
    import pandas as pd

    places = places_of(table, layout, ticker=ticker, origin=origin)
    frame = table.frame
    if layout.tickers_in == "column" and ticker is not None:
        frame = frame.iloc[table.rows_of(ticker, places["Ticker"])]
    blank = frame[places["Date"]].isna().to_numpy()
    if blank.any():
        frame = frame.loc[~(blank & frame.isna().all(axis=1).to_numpy())]
    event = _events(frame, places)
    if event.any():
        frame = frame.loc[~event]
    if not len(frame):
        raise UserError(f"{origin}: holds no bars")
    cells = date_cells(frame, places)
    stamps = read_dates(cells, layout.dates, origin=origin)
    wrong = np.isnat(stamps.local)
    if wrong.any():
        row = int(wrong.argmax())
        cell = cells.iloc[row]
        where = table.place(int(frame.index[row]))
        what = "has no Date" if pd.isna(cell) else f"Date={cell!r} is no date as {layout.dates}"
        raise UserError(
            f"{origin}{where}: {what}; write YYYY-MM-DD, or say how dates are written with source.dates"
        )
    return DatedRows(frame, places, stamps, int(event.sum()))


def date_cells(rows: pd.DataFrame, places: Mapping[str, int]) -> pd.Series:
    """Date, and where it stands in a column of its own, time."""
    cells = rows[places["Date"]]
    if "Time" not in places:
        return cells
    return join_time(cells.astype("str"), rows[places["Time"]])


def _events(rows: pd.DataFrame, places: Mapping[str, int]) -> NDArray[np.bool_]:
    """Rows of a dividend or a split, which some vendors set among the bars."""
    import numpy as np

    found = np.zeros(len(rows), bool)
    for ours in ("Open", "High", "Low", "Close"):
        if ours in places and rows[places[ours]].dtype.kind not in "iufb":
            cells = rows[places[ours]].astype("str")
            found |= cells.str.contains(_EVENT.pattern, case=False, regex=True).fillna(False).to_numpy(bool)
    return found


def numbers_of(
    table: RawTable, cells: pd.Series, name: str, notation: Notation, origin: str
) -> NDArray[np.float64]:
    """A column of numbers.

    Raises:
        UserError: a cell is none, named with its line.
    """
    import numpy as np

    if cells.dtype.kind in "iuf":
        return cells.to_numpy(np.float64, na_value=np.nan)
    values, wrong = read_numbers(cells, notation)
    if wrong.any():
        row = int(wrong.argmax())
        where = table.place(int(cells.index[row]))
        hint = "" if notation == Notation() else f" with the decimal sign {notation.decimal!r}"
        raise UserError(f"{origin}{where}: {name}={str(cells.iloc[row])!r} is no number{hint}")
    return values


def read(
    table: RawTable,
    rows: DatedRows,
    layout: FileLayout,
    *,
    ticker: str | None,
    origin: str,
    bars: bool = True,
    others: bool = False,
) -> Reading:
    """One ticker's rows as the layout says, oldest first where they stand in order.

    Args:
        table: of the file.
        rows: of the ticker.
        layout: of the file.
        ticker: of those the file names; None where it is of one.
        origin: the file, named in errors.
        bars: whether the file has them; else all its columns are other ones.
        others: read the other columns instead of the bars.

    Raises:
        UserError: a number is none, or a time cannot be; named with its line.
    """
    import numpy as np
    import pandas as pd

    notation = Notation(layout.decimal, layout.thousands)
    index = read_clock(rows.stamps, Clock(layout.rows, layout.timezone, layout.clock), origin=origin)
    columns: dict[str, NDArray[np.float64]] = {}
    if others:
        keys = rows.places if bars else ("Date", "Time", "Ticker")
        taken = {rows.places[ours] for ours in keys if ours in rows.places}
        columns = _others(rows.frame, table, taken, layout, ticker, notation)
    for ours in () if others else headers.NUMBERS:
        if ours in rows.places:
            name = "Adj Close" if ours == "AdjClose" else ours
            columns[name] = numbers_of(table, rows.frame[rows.places[ours]], name, notation, origin)
        elif ours in layout.columns:
            columns[ours] = np.zeros(len(index))
    if layout.order == "newest first":
        index, columns = index[::-1], {name: values[::-1] for name, values in columns.items()}
    return Reading(pd.DatetimeIndex(index, name="Date"), columns, rows.left_out)


def _others(
    rows: pd.DataFrame,
    table: RawTable,
    taken: set[int],
    layout: FileLayout,
    ticker: str | None,
    notation: Notation,
) -> dict[str, NDArray[np.float64]]:
    """Columns that are not bars and hold numbers alone."""
    import numpy as np

    found: dict[str, NDArray[np.float64]] = {}
    for place, name in table.names(ticker if layout.tickers_in == "header" else None).items():
        if place in taken or not name:
            continue
        cells = rows[place]
        if cells.dtype.kind in "iufb":
            found.setdefault(name, cells.to_numpy(np.float64, na_value=np.nan))
        elif cells.dtype.kind not in "mM":
            values, wrong = read_numbers(cells, notation)
            if not wrong.any() and not np.isnan(values).all():
                found.setdefault(name, values)
    return found


def order_of(index: NDArray[np.datetime64]) -> Order:
    """Whether rows ascend or descend; days that come twice are no matter."""
    forwards = bool((index[1:] >= index[:-1]).all())
    if forwards:
        return "oldest first"
    return "newest first" if bool((index[1:] <= index[:-1]).all()) else "unsorted"


def with_clock(layout: FileLayout, clock: Clock, order: Order) -> FileLayout:
    """A layout with what was found of one ticker's dates."""
    return replace(layout, rows=clock.rows, timezone=clock.timezone, clock=clock.clock, order=order)
