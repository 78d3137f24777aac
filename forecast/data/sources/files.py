"""Bars a user already has: CSV or parquet files, in whatever layout, in one folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge

from forecast.data.bars import adjusted, missing_ticker
from forecast.data.sources.layout import KEYS, FileError, FileLayout, named
from forecast.errors import UserError
from forecast.files import LocalPath

if TYPE_CHECKING:
    import pandas as pd

    from forecast.data.sources.raw_files import RawTable
    from forecast.data.sources.reading import DatedRows


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
    Files whose names differ in a stretch of time alone (AAPL_2023.csv, AAPL_2024.csv) are pieces of one series.
    How a file is written is looked at once, put in words by `describe` and saved as `layouts`; what could be read in
    two ways is refused with the key that decides.
    Rows are delivered oldest first; checking them is HealthCheck's task.

    Args:
        path: the folder, or one file; `~` is the home folder.
        adjust: use Adj Close, where the file has it, to free prices of splits and dividends.
        adjust_volume: with it, count Volume in today's shares where Adj Close shows a split.
        columns: Date, Time, Ticker, Open, High, Low, Close, AdjClose, Volume -> the file's name of the column, or its
            place from 1; none = there is none, and a volume of 0 stands for it.
        dates: ymd, dmy, mdy, roc (years of Taiwan), epoch_s, epoch_ms, epoch_us, epoch_ns, excel, or a format of
            strptime.
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
            key: value for key, value in chosen.items() if value not in (None, {})
        }
        self._saved = [dict(entry) for entry in layouts or ()]
        self._files: dict[str, Path] = {}  # name of a file -> file
        self._names: dict[Path, str] = {}
        self._series: dict[str, list[Path]] = {}  # ticker by name -> file, or its pieces
        self._inside: dict[str, list[Path]] = {}  # ticker that files name -> those files
        self._unclear = ""  # why the tickers of a file could not be looked up
        self._opened: dict[Path, _Opened] = {}
        # Ticker that was read -> name of a file -> layout.
        self._layouts: dict[str, dict[str, FileLayout]] = {}
        self._notes: dict[str, str] = {}  # ticker -> what was left out

    def tickers(self) -> list[str]:
        """Names of all tickers, sorted.

        Raises:
            UserError: no such folder, no file in it, or two files for one ticker.
        """
        self._list()
        found: dict[str, Path] = {}
        for name, inside in self._contents():
            for ticker, files in inside.items() if len(inside) > 1 else [(name, self._series[name])]:
                if ticker in found:
                    raise self._twice(ticker, found[ticker], files[0])
                found[ticker] = files[0]
        return sorted(found)

    def bars(self, ticker: str) -> pd.DataFrame:
        """All rows of one ticker; days at midnight, or moments in UTC.

        Raises:
            UserError: no such ticker, or its file is empty, unreadable, lacks a column, has text for a number, or can
                be read in two ways.
        """
        import pandas as pd

        from forecast.data.sources.reading import read_bars

        parts, layout = self._rows(ticker)
        index, columns, left_out = read_bars(parts, layout)
        self._notes[ticker] = "; left out " + ", ".join(left_out) if left_out else ""
        self._layouts[ticker] = self._written(parts, layout)
        table = pd.DataFrame(
            adjusted(columns, adjust=self.adjust, adjust_volume=self.adjust_volume), index=index
        )
        if "Adj Close" in columns:
            same = (columns["Adj Close"] == columns["Close"]).all()
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

        from forecast.data.sources.reading import read_others

        parts, layout = self._rows(ticker, bars=False)
        index, columns = read_others(parts, layout)
        self._layouts.setdefault(ticker, self._written(parts, layout))
        found = pd.DataFrame(columns, index=index)
        return found if found.index.is_unique else found[~found.index.duplicated()]

    def zone(self, ticker: str) -> str | None:
        """The market's time zone, as far as the file or the keys tell it."""
        if ticker in self._layouts:
            return next(iter(self._layouts[ticker].values())).timezone
        return self._rows(ticker)[1].timezone

    def layouts(self) -> list[dict[str, Any]]:
        """How the files read so far are written, as the argument `layouts` takes it: the commonest is for all."""
        by_text: dict[str, list[str]] = {}
        for ticker, layouts in self._layouts.items():
            texts = {name: json.dumps(layout.to_json()) for name, layout in layouts.items()}
            *_, newest = texts.values()
            by_text.setdefault(newest, []).append(ticker)  # the next piece will be as the newest one
            for name, text in texts.items():
                if text != newest:
                    by_text.setdefault(text, []).append(name)
        grouped = sorted(by_text.items(), key=lambda item: -len(item[1]))
        return [
            {**({"tickers": tickers} if number else {}), **json.loads(text)}
            for number, (text, tickers) in enumerate(grouped)
        ]

    def describe(self) -> list[str]:
        """The layouts in words, a line each."""
        by_text: dict[str, list[str]] = {}
        for ticker, layouts in self._layouts.items():
            texts = [layout.text() for layout in layouts.values()]
            for text in dict.fromkeys(texts):
                count = texts.count(text)
                name = ticker if len(texts) == 1 else f"{ticker} ({count} file{'s' * (count > 1)})"
                by_text.setdefault(text + self._notes.get(ticker, ""), []).append(name)
        lines = []
        for text, tickers in by_text.items():
            more = f" and {len(tickers) - 3} more" if len(tickers) > 3 else ""
            lines.append(f"{', '.join(tickers[:3])}{more}: {text}")
        return lines

    def _written(self, parts: list[DatedRows], layout: FileLayout) -> dict[str, FileLayout]:
        """How each file of a ticker is written, by its name."""
        return {
            self._names[part.file]: replace(
                part.layout, rows=layout.rows, timezone=layout.timezone, clock=layout.clock, order=part.order
            )
            for part in parts
        }

    def _rows(self, ticker: str, *, bars: bool = True) -> tuple[list[DatedRows], FileLayout]:
        """A ticker's rows in each of its files, the oldest first, and how their dates are taken."""
        from forecast.data.sources.clocks import sniff_clock
        from forecast.data.sources.dates import Stamps
        from forecast.data.sources.reading import dated_rows

        self._check_keys()
        files = self._find(ticker)
        opened = self._open_all(files, ticker, bars=bars)
        inside = {name for one in opened.values() for name in one.tickers}
        parts = []
        for file, one in opened.items():
            if ticker in inside and one.tickers and ticker not in one.tickers:
                continue  # not listed in the time of this piece
            inner = None
            if one.layout.tickers_in:
                if ticker not in inside and len(inside) > 1:
                    raise _several(file, sorted(inside))
                inner = ticker if ticker in inside else one.tickers[0]
            with named(file):
                parts.append(dated_rows(one.table, one.layout, ticker=inner, file=file))
        parts.sort(key=lambda part: part.stamps.local.min())
        layout = parts[-1].layout
        said, whole = self._said(files[-1], ticker)
        if not whole:
            name = ticker if "." in ticker or len(inside) != 1 else next(iter(inside))
            stamps = Stamps.joined([part.stamps for part in parts])
            with named(parts[0].file):
                layout = sniff_clock(stamps, layout, ticker=name, said=said)
        return parts, layout

    def _open_all(self, files: Sequence[Path], ticker: str, *, bars: bool) -> dict[Path, _Opened]:
        """A ticker's files; what one piece leaves open, such as 01/02/2024, the others tell."""
        opened: dict[Path, _Opened] = {}
        refused: dict[Path, UserError] = {}
        for file in files:
            try:
                opened[file] = self._open(file, ticker, bars=bars)
            except UserError as error:
                refused[file] = error
        if refused and not opened:
            raise next(iter(refused.values()))
        for file, reason in refused.items():
            layout = [*opened.values()][-1].layout
            keys = {"dates": layout.dates, "decimal": layout.decimal, "thousands": layout.thousands}
            try:
                opened[file] = self._open(file, ticker, bars=bars, known=keys)
            except UserError:
                raise reason from None
        return opened

    def _open(
        self, file: Path, ticker: str, *, bars: bool = True, known: dict[str, str | None] | None = None
    ) -> _Opened:
        """A file's cells and its layout; a file of several tickers is kept for the next of them."""
        from forecast.data.sources.raw_files import RawFile, read_table
        from forecast.data.sources.sniffing import sniff_file, tickers_of

        stamp = _stamp(file)
        kept = self._opened.get(file)
        if kept is not None and kept.stamp == stamp:
            return kept
        self._opened.pop(file, None)
        said, whole = self._said(file, ticker)
        others = {key: value for key, value in (known or {}).items() if value is not None}
        said = (
            said | others if whole else others | said
        )  # what was saved of a file may be of an earlier piece
        with named(file):
            raw = RawFile(file)
            if whole:
                layout = FileLayout.from_json(said)
                table = read_table(raw, layout)
            else:
                try:
                    layout, table = sniff_file(raw, said)
                except FileError:
                    if bars:
                        raise
                    layout, table = sniff_file(raw, said, bars=False)  # a file of other things than bars
            opened = _Opened(stamp, layout, table, tickers_of(table, layout))
        if len(opened.tickers) > 1 and bars:
            self._opened[file] = opened
        return opened

    def _said(self, file: Path, ticker: str) -> tuple[dict[str, Any], bool]:
        """What `layouts` and above it the keys say of a ticker's file, and whether that is all there is to say."""
        entries = [(set(entry.get("tickers") or ()), entry) for entry in self._saved]
        fitting = (
            {key: value for key, value in entry.items() if key != "tickers"}
            for wanted in (self._names[file], ticker, None)
            for tickers, entry in entries
            if wanted in tickers or (wanted is None and not tickers)
        )
        entry: dict[str, Any] = next(fitting, {})
        if {"columns", "dates", "rows", "order"} <= entry.keys():
            columns = entry["columns"] | self._chosen.get("columns", {})
            return entry | self._chosen | {"columns": columns}, True
        if unknown := sorted(entry.keys() - {*KEYS}):
            raise UserError(
                f"source.layouts: {unknown[0]} is no part of a layout; known are tickers, {', '.join(KEYS)}"
            )
        return entry | self._chosen, False

    def _check_keys(self) -> None:
        """Refuse keys that are none, once something is read."""
        from forecast.data.calendars import check_zone
        from forecast.data.sources.dates import check_kind
        from forecast.data.sources.headers import NAMES

        for ours in self._chosen.get("columns", ()):
            if ours not in NAMES:
                raise UserError(f"source.columns.{ours}: must be one of {', '.join(NAMES)}")
        check_kind(self._chosen.get("dates"))
        for key in ("timezone", "clock"):
            check_zone(f"source.{key}", self._chosen.get(key))
        thousands = self._chosen.get("thousands")
        if thousands is not None and thousands == self._chosen.get("decimal"):
            raise UserError(f"source.thousands={thousands}: is source.decimal as well")

    def _list(self) -> None:
        from forecast.data.sources.folder import find_files, series_of

        self._files = find_files(self.path)
        self._names = {file: name for name, file in self._files.items()}
        self._series = series_of(self._files)
        self._inside = {}

    def _find(self, ticker: str) -> list[Path]:
        """The files of a ticker: one, or its pieces."""
        # Looked up among the folder's own files, so that no ticker, whatever its letters, leads out of it.
        for fresh in (False, True):
            if fresh or not self._files:
                self._list()
            if ticker in self._series:
                return self._series[ticker]
            if ticker in self._files:
                return [self._files[ticker]]
            if ticker in self._inside:
                return self._inside[ticker]
        contents = dict(self._contents())
        matches = [inside[ticker] for inside in contents.values() if ticker in inside]
        self._inside = {name: files for inside in contents.values() for name, files in inside.items()}
        if len(matches) > 1:
            raise self._twice(ticker, matches[0][0], matches[1][0])
        if matches:
            return matches[0]
        available = {
            of for name, inside in contents.items() for of in (inside if len(inside) > 1 else [name])
        }
        origin = f"source.path={self.path}"
        raise missing_ticker(ticker, available=sorted(available), origin=origin, note=self._unclear)

    def _twice(self, ticker: str, one: Path, other: Path) -> UserError:
        return UserError(
            f"source.path={self.path}: both {one.name} and {other.name} are {ticker}; remove one"
        )

    def _contents(self) -> Iterator[tuple[str, dict[str, list[Path]]]]:
        """Each name of `_series`, and the tickers that its files name -> those files."""
        self._unclear = ""
        for name, files in self._series.items():
            inside: dict[str, list[Path]] = {}
            for file in files:
                for ticker in self._tickers_in(file, name):
                    inside.setdefault(ticker, []).append(file)
            yield name, inside

    def _tickers_in(self, file: Path, name: str) -> list[str]:
        """The tickers that a file names; none where it cannot be understood, which is refused when it is read."""
        from forecast.data.sources.raw_files import RawFile
        from forecast.data.sources.sniffing import names_tickers

        if file in self._opened:
            return self._opened[file].tickers
        try:
            said, whole = self._said(file, name)
            with named(file):
                if not whole and not names_tickers(RawFile(file, head=True), said):
                    return []
            return self._open(file, name).tickers
        except UserError as error:
            self._unclear = self._unclear or str(error)
            return []


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
        f"data.tickers=[{','.join(tickers[:2])}], or all with data.tickers=null"
    )
