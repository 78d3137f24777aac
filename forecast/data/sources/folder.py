"""Which files of a folder are bars, and of which ticker each is by its name."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from forecast.data.sources.raw_files import PACKED, PARQUET, TEXT, RawFile
from forecast.data.sources.sniffing import sniff_text
from forecast.errors import UserError

_SHEETS = (".xlsx", ".xls", ".ods", ".json", ".feather", ".h5", ".hdf5", ".pkl", ".tar", ".7z", ".rar")
_LOOSE = (".txt", ".tab", ".prn", ".asc", ".dat")  # may be anything
_WANTED = "<TICKER>.csv or <TICKER>.parquet"
# What a vendor adds to a ticker in a file's name: AAPL_daily.csv, daily_AAPL.csv, "AAPL Historical Data.csv".
_WORDS = (
    r"(?:historical[ _-]?data|historical[ _-]?prices|historicaldata|historical|history|hist|daily|day|eod|hourly|"
    r"weekly|monthly|minute|intraday|prices?|quotes?|ohlcv?|bars?|stock[ _-]?data|candles?|1d|d1|[14]h|h[14]|1wk|w1|"
    r"1mo|1(?:day|hour|week)|(?:1|5|15|30|60)m(?:in)?|m(?:1|5|15|30)|60|240|720|1440|[15]yr?|max|full|"
    r"(?:un)?adj(?:usted)?|adjsplit(?:div)?|bid|ask|mid)"
)
_BEFORE = rf"(?:{_WORDS}|table|dat_ascii|dat_mt|stock_day)"
_DECORATED = re.compile(rf"(?:{_BEFORE}[ _-]+)*(?P<ticker>.+?)(?:[ _-]+{_WORDS})*", re.IGNORECASE)
_CHART = re.compile(
    r"(?:[A-Z]+_)?(?P<ticker>[^,]+), \d*[A-Z]?(?:_[0-9a-f]+)?"
)  # TradingView: "NASDAQ_AAPL, 1D"
# The stretch of time that a piece of a longer file is of: _2024, -2024-05, _20240501_20240531, 01May2024.
_PERIOD = r"(?:19|20)\d\d(?:[-_.]?(?:Q[1-4]|(?:0[1-9]|1[0-2])(?:[-_.]?[0-3]\d(?:\d{4,6}|[-_T]\d{4,6}(?![-_.]\d))?)?))?"
_PERIODS = re.compile(
    rf"(?<=[^ _-])(?:[ _-]+{_PERIOD}(?:[ _-]+(?:to[ _-]+)?{_PERIOD})?(?=$|[ _-])"
    r"|[ _-]*[0-3]\d(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(?:19|20)\d\d)",
    re.IGNORECASE,
)

_DATED = re.compile(
    r"^(?:19|20)\d\d(?:[-_.]?\d\d[-_.]?\d\d|-\d\d)(?:[ _-]+|$)"
)  # 2024-05-01.csv, 20240501_NSE.csv


def find_files(where: str) -> dict[str, Path]:
    """The files of a folder that may be bars, or one file, by their names without endings.

    Raises:
        UserError: there is no such folder, no such file in it, or two of one name.
    """
    folder = Path(where).expanduser()
    if folder.is_file():
        candidates = [folder]
    elif folder.is_dir():
        candidates = sorted(folder.iterdir())
    else:
        what = "is a file of no bars" if folder.exists() else "does not exist"
        raise UserError(f"source.path={where}: {what}; name a folder of {_WANTED}, or one such file")
    found = [(stem, file) for file in candidates if (stem := _stem(file.name)) and file.is_file()]
    tables = found if folder.is_file() else [(stem, file) for stem, file in found if _is_table(file)]
    files: dict[str, Path] = {}
    for stem, file in tables:
        if stem in files:
            raise UserError(
                f"source.path={where}: both {files[stem].name} and {file.name} are {stem}; remove one"
            )
        files[stem] = file
    if not files:
        sheets = [file.name for file in candidates if file.name.lower().endswith(_SHEETS)]
        way = f"; save {sheets[0]} as CSV or parquet" if sheets else ""
        if found and not sheets:
            way = f"; if {found[0][1].name} is one, source.path={found[0][1]} says why it cannot be read"
        raise UserError(f"source.path={where}: holds no {_WANTED}{way}")
    return files


def series_of(files: dict[str, Path]) -> dict[str, list[Path]]:
    """Tickers -> their files: one, or the pieces of one whose names differ in the stretch of time alone.

    A file's name without what vendors add is its ticker, unless files of another kind would be called the same: they
    keep their whole names. Of a file whose name is a date alone it is the name of the folder.
    """
    pieces: defaultdict[str, list[str]] = defaultdict(list)
    for stem in files:
        undated = _DATED.sub("", _PERIODS.sub("", stem)) or files[stem].parent.name
        pieces[undated if undated not in files else stem].append(stem)
    claims: defaultdict[str, set[str]] = defaultdict(set)
    for name, stems in pieces.items():
        claims[undecorated(name)].add(name)
        for stem in stems:
            claims[stem].add(name)
    return {
        plain if len(claims[plain := undecorated(name)]) == 1 else name: [files[stem] for stem in stems]
        for name, stems in pieces.items()
    }


def undecorated(stem: str) -> str:
    """A file's name without what vendors add to a ticker."""
    match = _CHART.fullmatch(stem) or _DECORATED.fullmatch(stem)
    return match["ticker"] if match else stem


def _stem(name: str) -> str | None:
    """A file's name without its endings; None where they are not those of bars."""
    if name.startswith("."):
        return None
    packed = next((ending for ending in PACKED if name.lower().endswith(ending)), "")
    stem = name[: len(name) - len(packed)]
    for ending in (*PARQUET, *TEXT):
        if stem.lower().endswith(ending):
            return stem[: -len(ending)] or None
    return stem if packed and stem and not stem.lower().endswith(_SHEETS) else None


def _is_table(file: Path) -> bool:
    """Whether a file looks like bars, where it may hold anything, such as a .txt."""
    if not file.name.lower().endswith(_LOOSE):
        return True
    try:
        sniff_text(RawFile(file, head=True), {})
    except UserError:
        return False
    return True
