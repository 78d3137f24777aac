"""Bars a user already has: CSV or parquet files, in whatever layout, in one folder."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge

from forecast.data.bars import adjusted, missing_ticker
from forecast.errors import UserError
from forecast.files import LocalPath

if TYPE_CHECKING:
    import pandas as pd

    from forecast.data.sources.raw_files import RawTable
    from forecast.data.sources.reading import DatedRows, FileLayout
    from forecast.data.sources.sniffing import Chosen

_PARQUET = (".parquet", ".pq")
_TEXT = (".csv", ".tsv", ".psv", ".txt", ".tab", ".prn", ".asc", ".dat")
_PACKED = (".gz", ".zip", ".xz", ".bz2", ".zst")
_WANTED = "<TICKER>.csv or <TICKER>.parquet"
# What a vendor adds to a ticker in a file's name: AAPL_daily.csv, daily_AAPL.csv, "AAPL Historical Data.csv".
_WORDS = (
    r"(?:historical[ _-]?data|historical[ _-]?prices|historicaldata|historical|history|hist|daily|day|eod|hourly|"
    r"weekly|monthly|minute|intraday|prices?|quotes?|ohlcv?|bars?|stock[ _-]?data|candles?|1d|d1|1h|h1|1wk|w1|1mo|"
    r"(?:1|5|15|30|60)m(?:in)?|m(?:1|5|15|30)|[15]yr?|max)"
)
_DECORATED = re.compile(rf"(?:(?:{_WORDS}|table)[ _-]+)*(?P<ticker>.+?)(?:[ _-]+{_WORDS})*", re.IGNORECASE)


@dataclass(frozen=True)
class _Opened:
    """A file that was looked at: its layout and cells, and what it was when that was done."""

    stamp: tuple[int, int]
    layout: FileLayout
    table: RawTable
    tickers: list[str]


class FileSource:
    """Bars from `path/<TICKER>.csv`, `.parquet` and their like, or from one file of several tickers.

    A ticker is a file's name as it stands there, without what vendors add (AAPL_daily.csv): `aapl.csv` is the ticker
    aapl, never AAPL, on any file system. A file with a column, or a line of its header, that names tickers holds those.
    How a file is written is looked at once, put in words by `describe` and saved as `layouts`; what could be read in
    two ways is refused with the key that decides.
    Rows are delivered oldest first; judging them is HealthCheck's task.

    Args:
        path: the folder, or one file; `~` is the home folder.
        adjust: use Adj Close, where the file has it, to free prices of splits and dividends.
        adjust_volume: with it, count Volume in today's shares where Adj Close shows a split.
        columns: Date, Time, Ticker, Open, High, Low, Close, AdjClose, Volume -> the file's name of the column, or its
            place from 1; none = there is none, and a volume of 0 stands for it.
        dates: ymd, dmy, mdy, epoch_s, epoch_ms, epoch_us, epoch_ns, excel, or a format of strptime.
        decimal: sign before decimals.
        thousands: sign between groups of digits.
        timezone: the market's, in which days are counted.
        clock: zone in which times are written that name none; None = `timezone`.
        separator: between fields of a text file.
        encoding: of a text file.
        skip: lines before the header.
        header: lines of the header; 0 = there is none.
        layouts: as a run saved them: one layout for all files, and more with the `tickers` they are of.

    Raises:
        UserError: a key that is none.
    """

    def __init__(
        self,
        *,
        path: Annotated[str, LocalPath()],
        adjust: bool = True,
        adjust_volume: bool = False,
        columns: dict[str, str | int | None] | None = None,
        dates: str | None = None,
        decimal: Literal[".", ","] | None = None,
        thousands: str | None = None,
        timezone: str | None = None,
        clock: str | None = None,
        separator: str | None = None,
        encoding: str | None = None,
        skip: Annotated[int, Ge(0)] | None = None,
        header: Annotated[int, Ge(0)] | None = None,
        layouts: list[dict[str, Any]] | None = None,
    ) -> None:
        self.path = path
        self.adjust = adjust
        self.adjust_volume = adjust_volume
        chosen = {
            "columns": {ours: name for ours, name in (columns or {}).items() if name is not None},
            "dates": dates,
            "decimal": decimal,
            "thousands": thousands,
            "timezone": timezone,
            "clock": clock,
            "separator": {"tab": "\t", "\\t": "\t", "space": r"\s+"}.get(separator or "", separator),
            "encoding": encoding,
            "skip": skip,
            "header": header,
        }
        self._chosen: dict[str, Any] = {
            name: value for name, value in chosen.items() if value not in (None, {})
        }
        self._saved = [dict(entry) for entry in layouts or ()]
        self._files: dict[str, Path] = {}  # name of a file -> file
        self._names: dict[str, str] = {}  # name of a file -> ticker
        self._inside: dict[str, Path] = {}  # ticker that a file names -> file
        self._opened: dict[Path, _Opened] = {}
        self._layouts: dict[str, FileLayout] = {}  # of the tickers that were read
        self._left_out: dict[str, int] = {}  # ticker -> rows of dividends and splits in its file
        self._checked = False

    def tickers(self) -> list[str]:
        """Names of all tickers, sorted.

        Raises:
            UserError: no such folder, no file in it, or two files for one ticker.
        """
        self._files = self._list()
        names: dict[str, Path] = {}
        for stem, file in self._files.items():
            inside = self._tickers_in(file)
            for ticker in inside if len(inside) > 1 else [self._ticker(stem)]:
                if ticker in names:
                    raise UserError(
                        f"source.path={self.path}: both {names[ticker].name} and {file.name} are {ticker}; remove one"
                    )
                names[ticker] = file
        return sorted(names)

    def bars(self, ticker: str) -> pd.DataFrame:
        """All rows of one ticker; days at midnight, or moments in UTC.

        Raises:
            UserError: no such ticker, or its file is empty, unreadable, lacks a column, has text for a number,
            or can be
                read in two ways.
        """
        import numpy as np
        import pandas as pd

        from forecast.data.sources.reading import read

        file, inner, opened, rows, layout = self._rows(ticker)
        found = read(opened.table, rows, layout, ticker=inner, origin=str(file))
        self._layouts[ticker] = layout
        self._left_out[ticker] = found.left_out
        values = adjusted(found.columns, adjust=self.adjust, adjust_volume=self.adjust_volume)
        table = pd.DataFrame(values, index=found.index)
        if "Adj Close" in found.columns:
            same = np.array_equal(found.columns["Adj Close"], found.columns["Close"])
            table.attrs["adjusted"] = self.adjust and not same
        return table

    def columns_of(self, ticker: str) -> pd.DataFrame:
        """The other columns of a ticker's file that hold numbers, for instance as covariates.

        Returns:
            float64, indexed by `Date` as the table of `bars` is, named as in the file. Of a file with bars,
            Open to Volume and Adj Close are not among them; a file needs none of these.

        Raises:
            UserError: no such file, or it cannot be read.
        """
        import pandas as pd

        from forecast.data.sources.reading import read

        file, inner, opened, rows, layout = self._rows(ticker, bars=False)
        whole = {"Open", "High", "Low", "Close"} <= layout.columns.keys()
        found = read(opened.table, rows, layout, ticker=inner, origin=str(file), bars=whole, others=True)
        return pd.DataFrame(found.columns, index=found.index)

    def zone(self, ticker: str) -> str | None:
        """The market's time zone, as far as the file or the keys tell it."""
        if ticker not in self._layouts:
            self._layouts[ticker] = self._rows(ticker)[-1]
        return self._layouts[ticker].timezone

    def layouts(self) -> list[dict[str, Any]]:
        """How the files read so far are written, as the argument `layouts` takes it: the commonest layout is "
        "for all."""
        by_text: dict[str, list[str]] = {}
        for ticker, layout in self._layouts.items():
            by_text.setdefault(json.dumps(layout.to_json()), []).append(ticker)
        grouped = sorted(by_text.items(), key=lambda item: -len(item[1]))
        return [
            {**({"tickers": tickers} if number else {}), **json.loads(text)}
            for number, (text, tickers) in enumerate(grouped)
        ]

    def describe(self) -> list[str]:
        """The same in words, a line for each layout."""
        by_text: dict[str, list[str]] = {}
        for ticker, layout in self._layouts.items():
            count = self._left_out.get(ticker, 0)
            note = f"; left out {count} row{'s' * (count > 1)} of dividends or splits" if count else ""
            by_text.setdefault(layout.text() + note, []).append(ticker)
        lines = []
        for text, tickers in by_text.items():
            more = f" and {len(tickers) - 3} more" if len(tickers) > 3 else ""
            lines.append(f"{', '.join(tickers[:3])}{more}: {text}")
        return lines

    def _rows(
        self, ticker: str, *, bars: bool = True
    ) -> tuple[Path, str | None, _Opened, DatedRows, FileLayout]:
        """A ticker's file, its name in there, the file's cells, the ticker's rows and layout."""
        from forecast.data.sources.reading import dated_rows
        from forecast.data.sources.sniffing import sniff_ticker

        file = self._find(ticker)
        opened = self._open(file, ticker, bars=bars)
        inner = ticker if opened.layout.tickers_in else None
        if inner is not None and ticker not in opened.tickers:
            if len(opened.tickers) > 1:
                raise _several(file, opened.tickers)
            inner = opened.tickers[0]
        rows = dated_rows(opened.table, opened.layout, ticker=inner, origin=str(file))
        layout = opened.layout
        if not self._is_whole(ticker):
            name = self._exchange_name(ticker, opened)
            layout = sniff_ticker(rows, layout, name=name, chosen=self._said(ticker), origin=str(file))
        return file, inner, opened, rows, layout

    def _exchange_name(self, ticker: str, opened: _Opened) -> str:
        return ticker if "." in ticker or len(opened.tickers) != 1 else opened.tickers[0]

    def _open(self, file: Path, ticker: str, *, bars: bool = True) -> _Opened:
        """A file's cells and its layout; a file of several tickers is kept for the next of them."""
        from forecast.data.sources.raw_files import RawFile
        from forecast.data.sources.reading import FileLayout, raw_table
        from forecast.data.sources.sniffing import sniff_file, tickers_of

        self._check_keys()
        stamp = _stamp(file)
        kept = self._opened.get(file)
        if kept is not None and kept.stamp == stamp:
            return kept
        self._opened.pop(file, None)
        raw = RawFile(file)
        said = self._said(ticker)
        if self._is_whole(ticker):
            layout = said.over(FileLayout.from_json(self._entry(ticker)))
            table = raw_table(raw, layout)
        else:
            try:
                layout, table = sniff_file(raw, said)
            except UserError:
                if bars:
                    raise
                layout, table = sniff_file(raw, said, bars=False)  # a file of other things than bars
        opened = _Opened(stamp, layout, table, tickers_of(table, layout))
        if len(opened.tickers) > 1 and bars:
            self._opened[file] = opened
        return opened

    def _entry(self, ticker: str) -> dict[str, Any]:
        """What `layouts` says of a ticker."""
        own = [entry for entry in self._saved if ticker in (entry.get("tickers") or ())]
        general = [entry for entry in self._saved if not entry.get("tickers")]
        entry = (own or general or [{}])[0]
        return {name: value for name, value in entry.items() if name != "tickers"}

    def _is_whole(self, ticker: str) -> bool:
        """Whether `layouts` says all of a ticker's file, so that nothing is looked at."""
        return {"columns", "dates", "rows", "order"} <= self._entry(ticker).keys()

    def _said(self, ticker: str) -> Chosen:
        from forecast.data.sources.sniffing import Chosen

        entry = {} if self._is_whole(ticker) else self._entry(ticker)
        known = {one.name for one in fields(Chosen)}
        if unknown := sorted(entry.keys() - known):
            raise UserError(
                f"source.layouts: {unknown[0]} is no part of a layout; known are {', '.join(sorted(known))}"
            )
        return Chosen(**{**entry, **self._chosen})

    def _check_keys(self) -> None:
        """Refuse keys that are none, once something is read."""
        if self._checked:
            return
        from forecast.data.sources.clocks import check_zone
        from forecast.data.sources.date_text import check_kind
        from forecast.data.sources.headers import NAMES

        for ours in self._chosen.get("columns", ()):
            if ours not in NAMES:
                raise UserError(f"source.columns.{ours}: must be one of {', '.join(NAMES)}")
        check_kind(self._chosen.get("dates"))
        for key in ("timezone", "clock"):
            check_zone(f"source.{key}", self._chosen.get(key))
        if self._chosen.get("thousands") is not None and self._chosen.get("thousands") == self._chosen.get(
            "decimal"
        ):
            raise UserError(f"source.thousands={self._chosen['thousands']}: is source.decimal as well")
        self._checked = True

    def _find(self, ticker: str) -> Path:
        # Looked up among the folder's own files, so that no ticker, whatever its letters, leads out of it.
        for fresh in (False, True):
            if fresh or not self._files:
                self._files = self._list()
                self._inside = {}
            if ticker in self._files:
                return self._files[ticker]
            named = [file for stem, file in self._files.items() if self._ticker(stem) == ticker]
            if len(named) == 1:
                return named[0]
            if ticker in self._inside:
                return self._inside[ticker]
        holding = []
        for file in self._files.values():
            for name in self._tickers_in(file):
                self._inside.setdefault(name, file)
                if name == ticker:
                    holding.append(file)
        if len(holding) > 1:
            raise UserError(
                f"source.path={self.path}: both {holding[0].name} and {holding[1].name} hold {ticker}; remove one"
            )
        if holding:
            return holding[0]
        raise missing_ticker(ticker, available=self._available(), origin=f"source.path={self.path}")

    def _available(self) -> list[str]:
        """What `tickers` lists, where a name may stand twice."""
        names: set[str] = set()
        for stem, file in self._files.items():
            inside = self._tickers_in(file)
            names.update(inside if len(inside) > 1 else [self._ticker(stem)])
        return sorted(names)

    def _tickers_in(self, file: Path) -> list[str]:
        """The tickers that a file names; none where it names none or cannot be understood, which is refused when it is
        read.
        """
        from forecast.data.sources.raw_files import RawFile
        from forecast.data.sources.sniffing import names_tickers

        kept = self._opened.get(file)
        if kept is not None:
            return kept.tickers
        ticker = next((stem for stem, path in self._files.items() if path == file), file.stem)
        try:
            if not self._is_whole(ticker) and not names_tickers(RawFile(file, head=True), self._said(ticker)):
                return []
            return self._open(file, ticker).tickers
        except UserError:
            return []

    def _ticker(self, stem: str) -> str:
        """A file's name without what vendors add, unless another file would be called the same."""
        if stem not in self._names:
            return _undecorated(stem)
        return self._names[stem]

    def _list(self) -> dict[str, Path]:
        folder = Path(self.path).expanduser()
        if folder.is_file():
            candidates = [folder]
        elif folder.is_dir():
            candidates = sorted(folder.iterdir())
        else:
            what = "is a file of no bars" if folder.exists() else "does not exist"
            raise UserError(f"source.path={self.path}: {what}; name a folder of {_WANTED}, or one such file")
        files: dict[str, Path] = {}
        for file in candidates:
            stem = _stem(file.name)
            if (
                stem is None
                or not file.is_file()
                or (file.suffix.lower() in _TEXT[3:] and not _is_table(file))
            ):
                continue
            if stem in files:
                raise UserError(
                    f"source.path={self.path}: both {files[stem].name} and {file.name} are {stem}; remove one"
                )
            files[stem] = file
        if not files:
            raise UserError(f"source.path={self.path}: holds no {_WANTED}")
        plain = {stem: _undecorated(stem) for stem in files}
        counts = Counter([*plain.values(), *(stem for stem in files if plain[stem] != stem)])
        self._names = {stem: name if counts[name] == 1 else stem for stem, name in plain.items()}
        return files


def _stem(name: str) -> str | None:
    """A file's name without its endings; None where they are not those of bars."""
    if name.startswith("."):
        return None
    stem, packed = name, False
    for ending in _PACKED:
        if stem.lower().endswith(ending):
            stem, packed = stem[: -len(ending)], True
            break
    for ending in (*_PARQUET, *_TEXT):
        if stem.lower().endswith(ending):
            return stem[: -len(ending)] or None
    return stem if packed and stem else None


def _undecorated(stem: str) -> str:
    match = _DECORATED.fullmatch(stem)
    return match["ticker"] if match else stem


def _is_table(file: Path) -> bool:
    """Whether a file that may hold anything, such as a .txt, looks like bars."""
    from forecast.data.sources.raw_files import RawFile
    from forecast.data.sources.sniffing import Chosen, sniff_text

    try:
        sniff_text(RawFile(file, head=True), Chosen())
    except UserError:
        return False
    return True


def _stamp(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    return found.st_mtime_ns, found.st_size


def _several(file: Path, tickers: Sequence[str]) -> UserError:
    shown = ", ".join(tickers[:5]) + (f" and {len(tickers) - 5} more" if len(tickers) > 5 else "")
    return UserError(
        f"{file}: holds {len(tickers)} tickers, {shown}; name some of them, "
        f"data.tickers=[{','.join(tickers[:2])}], or all "
        "with data.tickers=null"
    )
