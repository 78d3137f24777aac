"""One CSV of bars, read strictly: every complaint names the file and the line.

Read are plain commas, a header, an optional byte-order mark, blank lines anywhere, dates as YYYY-MM-DD with
or without a time and a zone (the day is the one written, whatever the zone). Columns besides Date, Open,
High, Low, Close, Volume and Adj Close are passed over.
"""

from __future__ import annotations

import csv
import warnings
from itertools import islice
from typing import TYPE_CHECKING

from forecast.data.bars import COLUMNS
from forecast.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd

_ENCODING = "utf-8-sig"  # with or without a byte-order mark
_DATED = r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?\s?(Z|UTC|[+-]\d\d(:?\d\d)?)?)?"


def read_csv_bars(file: Path) -> pd.DataFrame:
    """Rows of a CSV in their order: Date as datetime64, the other columns as numbers.

    Raises:
        UserError: empty, no UTF-8 text, a column missing or named twice, a row too long, no number, no date.
    """
    import pandas as pd

    try:
        wanted = _wanted_columns(file)
        with warnings.catch_warnings():
            # pandas cuts a first row that is too long and only warns.
            warnings.simplefilter("error", category=pd.errors.ParserWarning)
            # Not `usecols`: with it, pandas lets rows that are too long pass.
            table = pd.read_csv(
                file, encoding=_ENCODING, index_col=False, dtype={"Date": "str"}, low_memory=False
            )[wanted]
    except pd.errors.ParserWarning:
        raise UserError(f"{file}: its first row has more fields than the header") from None
    except (pd.errors.ParserError, csv.Error) as error:
        raise UserError(f"{file}: cannot be read as CSV ({_reason(error)})") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: is no UTF-8 text; save it as CSV UTF-8") from None
    for column in wanted:
        if column != "Date":
            _refuse_text(file, table[column])
    table["Date"] = _dates(file, table["Date"])
    return table


def _wanted_columns(file: Path) -> list[str]:
    with file.open(encoding=_ENCODING, newline="") as lines:
        header = next((fields for fields in csv.reader(lines) if _filled(fields)), None)
    if header is None:
        raise UserError(f"{file}: is empty; it needs the header Date,{','.join(COLUMNS)} and a row a day")
    missing = [column for column in ("Date", *COLUMNS) if column not in header]
    if missing:
        raise UserError(
            f"{file}: no column {', '.join(missing)} in its header {','.join(header)[:80]!r}; "
            f"needs Date, {', '.join(COLUMNS)}, separated by commas"
        )
    wanted = [column for column in ("Date", *COLUMNS, "Adj Close") if column in header]
    twice = [column for column in wanted if header.count(column) > 1]
    if twice:
        raise UserError(f"{file}: has the column {twice[0]} twice; remove one")
    return wanted


def _refuse_text(file: Path, column: pd.Series) -> None:
    import pandas as pd

    if column.dtype.kind in "iuf":
        return
    text = pd.to_numeric(column, errors="coerce").isna() & column.notna()
    if column.dtype.kind == "b" or text.any():
        row = 0 if column.dtype.kind == "b" else int(text.to_numpy().argmax())
        raise UserError(
            f"{file}, line {_line(file, row)}: {column.name}={str(column.iloc[row])!r} is no number"
        )


def _dates(file: Path, written: pd.Series) -> np.ndarray:
    """Days as datetime64[ns]: the first ten letters of an ISO date, so that no zone moves a bar."""
    import pandas as pd

    dates = pd.to_datetime(written, format="%Y-%m-%d", errors="coerce")
    if dates.isna().any():  # the slower way, for times and zones
        dated = written.str.fullmatch(_DATED).fillna(False).astype(bool)
        dates = pd.to_datetime(written.str[:10].where(dated), format="%Y-%m-%d", errors="coerce")
    dates = dates.where(dates.between(pd.Timestamp.min, pd.Timestamp.max))  # what nanoseconds can hold
    bad = dates.isna().to_numpy()
    if bad.any():
        row = int(bad.argmax())
        what = "has no Date" if pd.isna(written.iloc[row]) else f"Date={written.iloc[row]!r} is no date"
        raise UserError(f"{file}, line {_line(file, row)}: {what}; write YYYY-MM-DD")
    return dates.to_numpy(dtype="datetime64[ns]")


def _line(file: Path, row: int) -> int:
    """Line of the file on which data row `row`, counted from 0, ends."""
    with file.open(encoding=_ENCODING, newline="") as lines:
        reader = csv.reader(lines)
        filled = (reader.line_num for fields in reader if _filled(fields))
        return next(islice(filled, row + 1, None))


def _filled(fields: list[str]) -> bool:
    """False for what pandas too takes for a blank line."""
    return len(fields) > 1 or bool("".join(fields).strip())


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0].removeprefix("Error tokenizing data. C error: ")
