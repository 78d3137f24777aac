"""Bars a user already has: one CSV or parquet file a ticker, in one folder."""

from __future__ import annotations

import csv
import warnings
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from forecast.data.bars import COLUMNS, bar_table, missing_ticker
from forecast.errors import UserError
from forecast.files import LocalPath

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_SUFFIXES = (".csv", ".parquet")
_ENCODING = "utf-8-sig"  # with or without a byte-order mark
_DATED = r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?\s?(Z|UTC|[+-]\d\d(:?\d\d)?)?)?"


class FileSource:
    """`path/<TICKER>.csv` or `path/<TICKER>.parquet` with Date, Open, High, Low, Close, Volume.

    A ticker is a file's name as it stands there: `aapl.csv` is the ticker aapl, never AAPL, on any file
    system. Rows are delivered as they stand, in their order; judging them is HealthCheck's task.

    Args:
        path: the folder; `~` is the home folder.
        adjust: use Adj Close, where the file has it, to free prices of splits and dividends.
        adjust_volume: with it, count Volume in today's shares where Adj Close shows a split.
    """

    def __init__(
        self, *, path: Annotated[str, LocalPath()], adjust: bool = True, adjust_volume: bool = False
    ) -> None:
        self.path = path
        self.adjust = adjust
        self.adjust_volume = adjust_volume
        self._listed: dict[str, Path] = {}

    def tickers(self) -> list[str]:
        """Names of all files, sorted.

        Raises:
            UserError: no such folder, no file in it, or two files for one ticker.
        """
        self._listed = self._list()
        return sorted(self._listed)

    def bars(self, ticker: str) -> pd.DataFrame:
        """All rows of one ticker's file.

        Raises:
            UserError: no such file, or it is empty, unreadable, lacks a column, or has text for a number.
        """
        file = self._file(ticker)
        return bar_table(_read(file), adjust=self.adjust, origin=str(file), adjust_volume=self.adjust_volume)

    def _file(self, ticker: str) -> Path:
        # Looked up among the folder's own files, so that no ticker, whatever its letters, leads out of it.
        if ticker not in self._listed:
            self._listed = self._list()
        if ticker not in self._listed:
            raise missing_ticker(ticker, available=sorted(self._listed), origin=f"source.path={self.path}")
        return self._listed[ticker]

    def columns_of(self, ticker: str) -> pd.DataFrame:
        """The other columns of a ticker's file that hold numbers, for instance as covariates.

        Returns:
            float64, indexed by `Date` as the table of `bars` is, named as in the file; Open to Volume and Adj Close are
            not among them.

        Raises:
            UserError: no such file, or it cannot be read.
        """
        import pandas as pd

        file = self._file(ticker)
        table = _read(file, all_columns=True)
        if "Date" in table.columns:
            table = table.set_index("Date")
        others = table.drop(columns=[*COLUMNS, "Adj Close"], errors="ignore")
        numbers = others.select_dtypes(["number", "bool"]).astype("float64")
        dates = pd.DatetimeIndex(numbers.index)
        return numbers.set_axis(dates.tz_localize(None).normalize().as_unit("ns").rename("Date"))

    def _list(self) -> dict[str, Path]:
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "does not exist"
            raise UserError(
                f"source.path={self.path}: {what}; name a folder of <TICKER>.csv or <TICKER>.parquet"
            )
        files: dict[str, Path] = {}
        for file in sorted(folder.iterdir()):
            if file.name.startswith(".") or file.suffix.lower() not in _SUFFIXES or not file.is_file():
                continue
            if file.stem in files:
                raise UserError(
                    f"source.path={self.path}: both {files[file.stem].name} and {file.name} are {file.stem}; "
                    "remove one"
                )
            files[file.stem] = file
        if not files:
            raise UserError(f"source.path={self.path}: holds no <TICKER>.csv or <TICKER>.parquet")
        return files


def _read(file: Path, *, all_columns: bool = False) -> pd.DataFrame:
    """The columns of a file, the dates as far as possible; UserError naming it when it cannot be read."""
    try:
        if file.suffix.lower() == ".csv":
            return read_csv_bars(file, all_columns=all_columns)
        return _read_parquet(file)
    except OSError as error:
        # pyarrow's ArrowInvalid is a ValueError, but a truncated page is an OSError without strerror.
        raise UserError(f"{file}: cannot be read ({error.strerror or _first_line(error)})") from None
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{file}: cannot be read ({_first_line(error)})") from None


def _read_parquet(file: Path) -> pd.DataFrame:
    import pandas as pd

    with file.open("rb") as stream:  # given a path, pyarrow would read columns out of folder names like a=b
        table = pd.read_parquet(stream, engine="pyarrow")
    index = table.index
    if "Date" not in table.columns and index.name != "Date" and not isinstance(index, pd.DatetimeIndex):
        raise UserError(f"{file}: no column Date and no index of dates; needs Date, {', '.join(COLUMNS)}")
    return table


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def read_csv_bars(file: Path, *, all_columns: bool = False) -> pd.DataFrame:
    """Rows of a CSV in their order: Date as datetime64, the other columns as numbers.

    Read strictly, every complaint names the file and the line: plain commas, a header, an optional byte-order mark,
    blank lines anywhere, dates as YYYY-MM-DD with or without a time and a zone (the day is the one written, whatever
    the zone). Columns besides Date, Open, High, Low, Close, Volume and Adj Close are passed over.

    Args:
        file: to read.
        all_columns: keep the others too, as pandas reads them.

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
            )
            table = table if all_columns else table[wanted]
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
