"""Files as they lie on the disk, CSV or parquet, packed or not: the cells of their columns before any is understood."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO, StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecast.data.sources import headers
from forecast.data.sources.headers import Label
from forecast.data.sources.layout import SPACES, FileError, FileLayout
from forecast.data.sources.text_shape import (
    decode,
    first_lines,
    has_other_digits,
    labels_of,
    lines_of,
    split,
)

PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".txt", ".tsv", ".tab", ".psv", ".prn", ".asc", ".dat")
PACKED = (".gz", ".zip", ".xz", ".bz2", ".zst")
_LARGE = 1 << 24  # bytes from which threads gain more than they cost
_HEAD = 1 << 16  # bytes that show the header of a file
# As pandas has them, named because it takes them for one column only when they are given by column.
_MISSING = ("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A",
            "NA", "NULL", "NaN", "None", "n/a", "nan", "null")  # fmt: skip


class RawTable:
    """The cells of a file.

    Args:
        labels: (columns,) as the file names them.
        frame: (rows, columns) by place, text or numbers; its index counts the file's rows from 0.
        text: of the file, without the lines that are no rows; None of parquet.
        first: line of the first row.
    """

    def __init__(
        self, labels: list[Label], frame: pd.DataFrame, *, text: str | None = None, first: int = 0
    ) -> None:
        self.labels = labels
        self.frame = frame
        self.text = text
        self.first = first
        self._groups: dict[str, NDArray[np.intp]] | None = None

    def rows_of(self, ticker: str, place: int) -> NDArray[np.intp]:
        """The rows in whose column at `place` a ticker stands, in their order."""
        if self._groups is None:
            codes, names = pd.factorize(self.frame[place].astype("str").str.strip())
            order = np.argsort(codes, kind="stable")
            bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
            self._groups = {str(name): order[bounds[i] : bounds[i + 1]] for i, name in enumerate(names)}
        return self._groups.get(ticker, np.array([], dtype=np.intp))

    def place(self, row: int) -> str:
        """Where data row `row`, counted from 0, stands in the file: ", line 7" or ", row 6"."""
        if self.text is None:
            return f", row {row + 1}"
        reader = csv.reader(StringIO(self.text, newline=""))
        filled = (reader.line_num for fields in reader if reader.line_num > self.first and _filled(fields))
        return f", line {next(islice(filled, row, None), row + 1 + self.first)}"

    def names(self, ticker: str | None) -> dict[int, str]:
        """Place -> name of the columns that belong to a ticker; those that belong to none are everyone's."""
        return {place: name for place, (name, of) in enumerate(self.labels) if of in (None, ticker)}

    def header_tickers(self) -> list[str]:
        """The tickers that the header names, in its order."""
        return list(dict.fromkeys(label.ticker for label in self.labels if label.ticker is not None))


class RawFile:
    """A file's content, unpacked.

    Args:
        path: of the file.
        head: of a plain text file the first lines are enough.

    Raises:
        FileError: it cannot be read or unpacked.
    """

    def __init__(self, path: Path, *, head: bool = False) -> None:
        self.path = path
        try:
            content = _first_bytes(path) if head else None
            self.content = _unpacked(path.read_bytes()) if content is None else content
        except (OSError, EOFError) as error:
            reason = getattr(error, "strerror", None) or first_line(error)
            raise FileError(f"cannot be read ({reason})") from None
        stem = path.name.lower()
        for ending in PACKED:
            stem = stem.removesuffix(ending)
        self.is_parquet = stem.endswith(PARQUET) or self.content.startswith(b"PAR1")

    def parquet_labels(self) -> list[Label]:
        """Names of a parquet file's columns as its schema has them, its index among them.

        Raises:
            FileError: it is broken.
        """
        from pyarrow import parquet

        try:
            names = parquet.read_schema(BytesIO(self.content)).names
        except (OSError, ValueError) as error:
            raise FileError(f"cannot be read ({first_line(error)})") from None
        if any(name.startswith("('") for name in names):  # as pandas saves two levels of names
            return _read_parquet(self).labels
        return headers.split_tickers(names)


def read_table(
    file: RawFile, layout: FileLayout, *, text: str | None = None, as_text: bool = False
) -> RawTable:
    """The cells of a file, its numbers read as the layout says.

    Args:
        file: to read.
        layout: of it; of `columns` those that are there.
        text: of the file, where it is known.
        as_text: read every column as text.

    Raises:
        FileError: it is not as the layout says, or broken.
    """
    if file.is_parquet != (layout.encoding is None):
        raise not_as_saved("is a parquet file" if file.is_parquet else "is no parquet file")
    if file.is_parquet:
        return _read_parquet(file)
    if text is None:
        text, _ = decode(file.content, layout.encoding)
    return _read_csv(file, layout, text, as_text)


def not_as_saved(what: str) -> FileError:
    """The refusal of a file that is no longer as a run saved its layout."""
    return FileError(f"{what}, other than source.layouts says; source.layouts=null looks at the file anew")


def _read_parquet(file: RawFile) -> RawTable:
    """The columns of a parquet file, its index among them."""
    from pyarrow import parquet

    large = len(file.content) > _LARGE
    try:
        table = parquet.read_table(BytesIO(file.content), use_threads=large).to_pandas(use_threads=large)
    except (OSError, ValueError) as error:
        # pyarrow's ArrowInvalid is a ValueError, but a truncated page is an OSError.
        raise FileError(f"cannot be read ({first_line(error)})") from None
    labels: list[Label] = []
    columns: list[Any] = [table.iloc[:, place] for place in range(table.shape[1])]
    if not isinstance(table.index, pd.RangeIndex) or table.index.name is not None:
        labels = [Label("" if name is None else str(name)) for name in table.index.names]
        columns = [table.index.get_level_values(level) for level in range(table.index.nlevels)] + columns
    frame = pd.DataFrame({place: _plain_series(column) for place, column in enumerate(columns)})
    return RawTable([*labels, *_labels(table.columns)], frame)


def _read_csv(file: RawFile, layout: FileLayout, text: str, as_text: bool) -> RawTable:
    """The columns of a text file; those of dates and tickers stay text."""
    labels = labels_of(first_lines(text), layout)
    names = [label.name for label in labels]
    places = {ours: names.index(name) for ours, name in layout.columns.items() if name in names}
    body, separator = text, layout.separator
    if layout.footer or layout.comment or separator == SPACES:
        body = _without(text, layout)
        separator = "\t" if separator == SPACES else separator
    missing: dict[str, Any] = {}
    if "Ticker" in places:  # where no word stands for a missing value: NA may be a ticker
        others = [place for place in range(len(labels)) if place != places["Ticker"]]
        missing = {"keep_default_na": False, "na_values": {place: list(_MISSING) for place in others}}
    plain = body is text and layout.encoding in ("utf-8", "utf-8-sig")
    plain = plain and (file.content.isascii() or not has_other_digits(file.content.decode("utf-8")))
    as_written = [places[ours] for ours in ("Date", "Time", "Ticker") if ours in places]
    try:
        with warnings.catch_warnings():
            # pandas cuts a first row that is too long and only warns.
            warnings.simplefilter("error", category=pd.errors.ParserWarning)
            frame = pd.read_csv(
                BytesIO(file.content) if plain else StringIO(body),
                encoding="utf-8-sig" if plain else None,
                sep=separator,
                header=None,
                names=range(len(labels)),
                skiprows=layout.skip + layout.header,
                index_col=False,
                dtype="str" if as_text else dict.fromkeys(as_written, "str"),
                decimal=layout.decimal,
                skipinitialspace=True,
                low_memory=False,
                **missing,
            )
    except pd.errors.EmptyDataError:
        frame = pd.DataFrame({place: [] for place in range(len(labels))}, dtype="str")
    except pd.errors.ParserWarning:
        raise FileError(
            "its first row has more fields than the header; write numbers that hold the separator in quotes, or "
            "without it"
        ) from None
    except (pd.errors.ParserError, csv.Error) as error:
        reason = first_line(error).removeprefix("Error tokenizing data. C error: ")
        raise FileError(f"cannot be read as CSV ({reason}); mend that line") from None
    return RawTable(labels, frame, text=body, first=layout.skip + layout.header)


def sample_rows(text: str, shape: FileLayout, count: int = 60) -> list[list[str]]:
    """The fields of the first rows, as text."""
    lines = [*filter(shape.is_row, first_lines(text)[shape.skip + shape.header :][: count + 10])]
    if shape.footer and len(lines) > shape.footer and len(first_lines(text)) == len(lines_of(text[:60_000])):
        lines = lines[: -shape.footer]
    return [split(line, shape.separator) for line in lines[:count]]


def _without(text: str, shape: FileLayout) -> str:
    """The text with empty lines for comments and the footer, so that lines keep their numbers."""
    lines = lines_of(text)
    first = shape.skip + shape.header
    if shape.comment:
        lines[first:] = ["" if line.lstrip().startswith(shape.comment) else line for line in lines[first:]]
    left, number = shape.footer, len(lines) - 1
    while left and number >= first:
        if lines[number].strip():
            lines[number] = ""
            left -= 1
        number -= 1
    if shape.separator == SPACES:
        lines = [re.sub(r"\s{2,}|\t+", "\t", line.strip()) for line in lines]
    return "\n".join(lines)


def _first_bytes(path: Path) -> bytes | None:
    """Whole lines from the beginning of a text file; None where it is short, packed, or of wide letters."""
    with path.open("rb") as stream:
        content = stream.read(_HEAD)
    binary = b"\x00" in content or content.startswith(
        (b"PAR1", b"BZh", b"PK", b"\x1f\x8b", b"\xfd7z", b"\x28\xb5")
    )
    return None if len(content) < _HEAD or binary else content[: content.rfind(b"\n") + 1] or None


def _unpacked(content: bytes) -> bytes:
    """The content of a packed file, recognised by its first bytes."""

    def zstd(content: bytes) -> bytes:
        import pyarrow

        return bytes(pyarrow.CompressedInputStream(pyarrow.BufferReader(content), "zstd").read())

    def only_file(content: bytes) -> bytes:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if not re.match(r"\.|__MACOSX|.*/$", name)]
            if "[Content_Types].xml" in names:
                raise FileError("is a spreadsheet; save its sheet as CSV or parquet")
            if len(names) != 1:
                raise FileError(f"is an archive of {len(names)} files; unpack it into a folder")
            return archive.read(names[0])

    openers: dict[bytes, Callable[[bytes], bytes]] = {
        b"\x1f\x8b": gzip.decompress,
        b"BZh": bz2.decompress,
        b"\xfd7zXZ\x00": lzma.decompress,
        b"\x28\xb5\x2f\xfd": zstd,
        b"PK\x03\x04": only_file,
    }
    unpack = next((opener for mark, opener in openers.items() if content.startswith(mark)), None)
    try:
        return content if unpack is None else unpack(content)
    except FileError:
        raise
    except (
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        zlib.error,
        lzma.LZMAError,
        zipfile.BadZipFile,
    ) as error:
        raise FileError(f"cannot be unpacked ({first_line(error)})") from None


def _labels(columns: pd.Index) -> list[Label]:
    """Names of columns; of two levels, the one that names prices is the name and the other one the ticker."""
    if columns.nlevels == 1:
        return headers.split_tickers([str(name) for name in columns])
    if columns.nlevels > 2:
        return [Label(" ".join(map(str, name))) for name in columns]
    names = [str(name) for name in columns.get_level_values(0)]
    tickers = [str(name) for name in columns.get_level_values(1)]
    if sum(map(headers.is_number_name, tickers)) > sum(map(headers.is_number_name, names)):
        names, tickers = tickers, names
    return [
        Label(name, ticker) if name and ticker else Label(name or ticker)
        for name, ticker in zip(names, tickers, strict=True)
    ]


def _plain_series(column: Any) -> pd.Series:
    """A column as pandas' own types: categories as their values, periods as their begin."""
    series = pd.Series(column).reset_index(drop=True)
    if isinstance(series.dtype, pd.CategoricalDtype):
        return series.astype(series.cat.categories.dtype)
    if isinstance(series.dtype, pd.PeriodDtype):
        return pd.Series(pd.PeriodIndex(series).to_timestamp())
    if isinstance(series.dtype, pd.ArrowDtype):
        return pd.Series(series.to_numpy())
    return series


def _filled(fields: list[str]) -> bool:
    """False for what pandas too takes for a blank line."""
    return len(fields) > 1 or bool("".join(fields).strip())


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
