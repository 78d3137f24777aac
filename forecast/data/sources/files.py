"""Bars a user already has: one CSV or parquet file a ticker, in one folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from forecast.data.bars import COLUMNS, bar_table
from forecast.data.sources.missing import missing_ticker
from forecast.errors import UserError
from forecast.files import LocalPath

if TYPE_CHECKING:
    import pandas as pd

_SUFFIXES = (".csv", ".parquet")


class FileSource:
    """`path/<TICKER>.csv` or `path/<TICKER>.parquet` with Date, Open, High, Low, Close, Volume.

    A ticker is a file's name as it stands there: `aapl.csv` is the ticker aapl, never AAPL, on any file
    system. Rows are delivered as they stand, in their order; judging them is HealthCheck's task.

    Args:
        path: the folder; `~` is the home folder.
        adjust: use Adj Close, where the file has it, to free prices of splits and dividends.
    """

    def __init__(self, *, path: Annotated[str, LocalPath()], adjust: bool = True) -> None:
        self.path = path
        self.adjust = adjust
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
        # Looked up among the folder's own files, so that no ticker, whatever its letters, leads out of it.
        if ticker not in self._listed:
            self._listed = self._list()
        if ticker not in self._listed:
            raise missing_ticker(ticker, available=sorted(self._listed), origin=f"source.path={self.path}")
        file = self._listed[ticker]
        return bar_table(_read(file), adjust=self.adjust, origin=str(file))

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


def _read(file: Path) -> pd.DataFrame:
    """The columns of a file, the dates as far as possible; UserError naming it when it cannot be read."""
    try:
        if file.suffix.lower() == ".csv":
            from forecast.data.sources.csv_bars import read_csv_bars

            return read_csv_bars(file)
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
