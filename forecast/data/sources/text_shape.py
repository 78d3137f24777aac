"""The shape of a text file of bars: its encoding, separator, header, and the lines that are no rows."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Any

from forecast.data.sources import headers
from forecast.data.sources.date_text import is_date, is_time
from forecast.data.sources.headers import Label
from forecast.data.sources.layout import SPACE, SPACES, FileError, FileLayout
from forecast.data.sources.number_text import is_number
from forecast.errors import UserError

SEPARATORS = (",", ";", "\t", "|")
_LOOK = 60  # lines at the beginning, and half as many at the end, that are looked at
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\x00\x00", "utf-32"), (b"\x00\x00\xfe\xff", "utf-32"),
         (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))  # fmt: skip
# Tried for text that is not UTF-8: the first under which the header's names are known ones.
_LEGACY = ("cp1252", "cp932", "gb18030", "big5", "euc-kr", "cp1251", "iso8859-2", "cp1254")
_OF_TICKERS = ("ticker", "tickers", "symbol", "symbols", "")  # what a header's line of them begins with
_LINE = re.compile(r"\r\n|\n|\r")
_DIGITS = "".join(
    chr(code) for zero in (0x0660, 0x06F0, 0x0966, 0x0E50, 0xFF10) for code in range(zero, zero + 10)
)
_OTHER_DIGITS = re.compile(f"[{_DIGITS}]")  # Arabic, Persian, Indian, Thai, full width
_TO_ASCII = str.maketrans(_DIGITS + "٫٬", "0123456789" * 5 + ".,")


def decode(content: bytes, encoding: str | None) -> tuple[str, str]:
    """The text of a file, its digits those of ASCII, and its encoding.

    Raises:
        FileError: it is no text in that encoding, or none at all.
    """
    text, encoding = _decoded(content, encoding)
    return (text.translate(_TO_ASCII) if has_other_digits(text) else text), encoding


def has_other_digits(text: str) -> bool:
    """Whether a text has digits of Arabic, Persian, Indian, Thai, or of full width."""
    return not text.isascii() and _OTHER_DIGITS.search(text) is not None


def _decoded(content: bytes, encoding: str | None) -> tuple[str, str]:
    if encoding is None:
        encoding = next((name for mark, name in _BOMS if content.startswith(mark)), None)
    if encoding is None and b"\x00" in content[:2000]:
        even, odd = content[:2000:2].count(0), content[1:2000:2].count(0)
        if max(even, odd) > 10 * max(1, min(even, odd)):
            encoding = "utf-16-be" if even > odd else "utf-16-le"
    if encoding is not None:
        try:
            return content.decode(encoding), encoding
        except LookupError:
            raise UserError(f"source.encoding={encoding}: Python knows no such encoding") from None
        except UnicodeDecodeError:
            raise FileError(f"is no {encoding} text; save it as UTF-8, or set source.encoding") from None
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    if b"\x00" in content:
        raise FileError("is no text; save it as CSV UTF-8, or as parquet")
    texts = {}
    for name in _LEGACY:
        try:
            texts[name] = content.decode(name)
        except UnicodeDecodeError:
            continue
    for name, text in texts.items():
        if _find_header(_head(text), None) is not None and _names_known(text) >= 4:
            return text, name
    return content.decode("latin-1"), "latin-1"


def _names_known(text: str) -> int:
    """How many distinct names of ours the header has."""
    lines = _head(text)
    found = _find_header(lines, None)
    if found is None:
        return 0
    cells = split(lines[found[0]], found[1])
    return sum(any(headers.rank(ours, cell) is not None for cell in cells) for ours in headers.NUMBERS)


def lines_of(text: str, most: int = -1) -> list[str]:
    """All lines, or the first ones and the rest as one, as the reader counts them."""
    if "\r" not in text:
        return text.split("\n", most)  # ten times as fast
    return _LINE.split(text, maxsplit=max(most, 0))


def first_lines(text: str) -> list[str]:
    """Enough lines from the beginning to know a file by."""
    return lines_of(text[:60_000], 4 * _LOOK)[: 4 * _LOOK]


def _head(text: str) -> list[str]:
    return lines_of(text[:40_000], _LOOK)[:_LOOK]


def split(line: str, separator: str) -> list[str]:
    """The fields of a line, without blanks around them."""
    if separator in (SPACE, SPACES):
        return re.split(SPACE if separator == SPACE else r"\s{2,}|\t", line.strip())
    if '"' not in line:
        return [cell.strip() for cell in line.split(separator)]
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]
    except (csv.Error, StopIteration):
        return [line]


def sniff_shape(text: str, *, encoding: str, said: Mapping[str, Any]) -> FileLayout:
    """Separator, header and what is no row, from the first and last lines.

    Raises:
        FileError: it is empty, or no line of it looks like bars.
    """
    lines = _head(text)
    separator, skip, header = said.get("separator"), said.get("skip"), said.get("header")
    hint = re.fullmatch(r'"?sep=(.)"?', lines[0].strip(), re.IGNORECASE)  # a spreadsheet's own
    if hint and separator is None:
        separator = hint[1]
    first = skip if skip is not None else 1 if hint else 0
    if not any(line.strip() for line in lines):
        raise FileError("is empty; it needs a header such as Date,Open,High,Low,Close,Volume and rows")
    found = None if header == 0 else _find_header([""] * first + lines[first:], separator)
    if found is not None:
        at, separator = found
        if separator == SPACES:
            separator = _blanks(lines, at)
        start, count = _header_block(lines, at, separator)
        start = max(start, skip or 0)
        count = count if header is None else header
    else:
        row, separator = _find_row(lines, first, separator, header)
        above = row - 1
        while above >= first and not lines[above].strip():
            above -= 1
        named = above >= first and _may_be_header(
            split(lines[above], separator), split(lines[row], separator)
        )
        start, count = (above, row - above) if named and header != 0 else (row, 0)
    comment = _comment(lines[:start] + lines[start + max(count, 1) :])
    shape = FileLayout(encoding=encoding, separator=separator, skip=start, header=count, comment=comment)
    return replace(shape, footer=_footer(text, shape))


def labels_of(lines: Sequence[str], shape: FileLayout) -> list[Label]:
    """What the columns are called; without a header, by their places."""
    end = shape.skip + shape.header
    rows = [split(line, shape.separator) for line in islice(filter(shape.is_row, lines[end:]), 20)]
    width = Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
    if shape.header == 0:
        return [Label(str(number + 1)) for number in range(width)]
    block = [split(line, shape.separator) for line in lines[shape.skip : end] if line.strip()]
    if not block:
        raise FileError(f"has no header in its line {shape.skip + 1}; set source.header=0 where it has none")
    names = max(block, key=_score)
    index = next(
        (cells[0] for cells in block if cells is not names and not any(cells[1:]) and cells[0]), None
    )
    tickers = next((cells for cells in block if cells is not names and any(cells[1:])), None)
    if index is not None and len(names) == width - 1:
        names = [index, *names]
    if len(rows) and width > len(names) and not any(any(cells[len(names) :]) for cells in rows):
        names = [*names, *[""] * (width - len(names))]
    elif len(rows) and width == len(names) + 1:
        if not any(map(headers.is_date_name, names)) and is_date(rows[0][0]):
            names = ["", *names]  # an index without a name, as some programs write it
        elif headers.is_date_name(names[0]) and is_time(rows[0][1]) and ":" in rows[0][1]:
            names = [names[0], "Time", *names[1:]]  # a blank between date and time is taken for a separator
    if tickers is not None and len(tickers) == len(names):
        first = index or next(
            (cells[0] for cells in (names, tickers) if headers.is_date_name(cells[0])), names[0]
        )
        return [Label(first), *map(Label, names[1:], tickers[1:])]
    if index is not None and not headers.is_date_name(names[0]):
        names = [index, *names[1:]]
    names = [name.lstrip("#").strip() for name in names]
    # A second nameless column goes by its place.
    names = [name or (str(place + 1) if "" in names[:place] else "") for place, name in enumerate(names)]
    return headers.split_tickers(names)


def _score(cells: Sequence[str]) -> int:
    return sum(headers.is_number_name(cell) for cell in cells)


@cache
def _cells_known(line: str, separator: str) -> tuple[int, int]:
    cells = split(line, separator)
    return _score(cells), sum(map(headers.is_date_name, cells))


def _find_header(lines: Sequence[str], separator: str | None) -> tuple[int, str] | None:
    """Place and separator of the first line with the names of prices."""
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        for signs in ((separator,),) if separator else (SEPARATORS, (SPACES, SPACE)):
            known = {sign: _cells_known(line, sign) for sign in signs}
            best = max(known, key=lambda sign: sum(known[sign]))
            prices, dates = known[best]
            if prices >= 3 or (prices >= 2 and dates):
                return number, best
    return None


def _blanks(lines: Sequence[str], at: int) -> str:
    """Whether one blank or two are between the fields of rows: in a header alignment makes many of one."""
    row = next((line for line in lines[at + 1 :] if _is_row(split(line, SPACE))), "")
    names, fields = split(lines[at], SPACE), split(row, SPACE)
    return SPACE if not _is_row(split(row, SPACES)) and len(fields) - len(names) in (0, 1) else SPACES


def _header_block(lines: Sequence[str], at: int, separator: str) -> tuple[int, int]:
    """First line and number of lines of a header whose names stand in line `at`."""
    width = len(split(lines[at], separator))
    start, end = at, at + 1
    if at:
        above = split(lines[at - 1], separator)
        if len(above) == width and headers.spelled(above[0]) in _OF_TICKERS:
            start = at - 1
    while end < len(lines):
        cells = split(lines[end], separator)
        if not lines[end].strip() and end + 1 < len(lines) and lines[end + 1].strip():
            end += 1
            continue
        only_index = headers.is_date_name(cells[0]) and not any(cells[1:])
        of_tickers = start == at and len(cells) == width and headers.spelled(cells[0]) in _OF_TICKERS
        of_tickers = of_tickers and all(cell and not is_number(cell) for cell in cells[1:])
        if not (only_index or of_tickers):
            break
        end += 1
    while not lines[end - 1].strip():
        end -= 1
    return start, end - start


def _is_row(cells: Sequence[str]) -> bool:
    """A date among its first fields, and a number after it."""
    for place, cell in enumerate(cells[:4]):
        if is_date(cell):
            return any(map(is_number, cells[place + 1 :]))
    return False


def _find_row(lines: Sequence[str], first: int, separator: str | None, header: int | None) -> tuple[int, str]:
    """Place of the first row of a file whose header is not known, and the separator that makes most rows of it."""
    best: tuple[int, int, str] | None = None
    for sign in (separator,) if separator else (*SEPARATORS, SPACES, SPACE):
        rows = [number for number, line in enumerate(lines[first:], first) if _is_row(split(line, sign))]
        if rows and (best is None or len(rows) > best[0]):
            best = len(rows), rows[0], sign
    if best is None and header == 0:  # dates that only a key can tell
        row = next(number for number, line in enumerate(lines) if number >= first and line.strip())
        return row, max(SEPARATORS, key=lambda sign: len(split(lines[row], separator or sign)))
    if best is None:
        shown = next(line for line in lines if line.strip())[:80]
        kind = {"{": "JSON", "[": "JSON", "<": "a web page"}.get(shown.lstrip()[0])
        if kind is not None:
            raise FileError(f"is {kind}, which begins {shown!r}; save its table as CSV or parquet")
        raise FileError(
            f"no header with the names of prices and no row with a date and numbers in its first {_LOOK} "
            f"lines, which begin {shown!r}; needs Date, Open, High, Low, Close, Volume; source.columns gives other "
            "names, source.separator another sign between fields, source.header=0 places for names"
        )
    return best[1], best[2]


def _may_be_header(cells: Sequence[str], row: Sequence[str]) -> bool:
    """Names above a row: as many fields, hardly one of them a number."""
    filled = [cell for cell in cells if cell]
    return (
        abs(len(cells) - len(row)) <= 1
        and bool(filled)
        and not any(is_number(cell) or is_date(cell) for cell in filled)
    )


def _comment(lines: Sequence[str]) -> str | None:
    for sign in ("#", "//", "%"):
        if any(line.lstrip().startswith(sign) for line in lines):
            return sign
    return None


def _footer(text: str, shape: FileLayout) -> int:
    """Lines at the end that have neither the fields of a row nor a date."""
    filled = [line for line in lines_of(text[-8_000:])[-_LOOK // 2 :] if shape.is_row(line)]
    widths = Counter(len(split(line, shape.separator)) for line in filled)
    if not widths:
        return 0
    width = widths.most_common(1)[0][0]
    count = 0
    for line in reversed(filled[1 if len(text) > 8_000 else shape.header :]):
        cells = split(line, shape.separator)
        if len(cells) == width or any(map(is_date, cells[:4])) or line.count('"') % 2:
            break
        count += 1
    return count if count < len(filled) - shape.header else 0


def date_place(rows: Sequence[Sequence[str]]) -> int | None:
    """The first column, counted from 1, that holds dates throughout."""
    return next(
        (place + 1 for place in range(min(map(len, rows))) if all(is_date(row[place]) for row in rows)), None
    )


def headerless(rows: Sequence[Sequence[str]]) -> dict[str, str | int]:
    """Our names -> places, counted from 1, of a file without a header: dates, then Open, High, Low, Close, Volume.

    Raises:
        FileError: the numbers behind the date are not in that order, or there are too few.
    """
    width = min(map(len, rows))
    behind = date_place([row[:4] for row in rows])
    if behind is not None:
        places: dict[str, str | int] = {"Date": behind}
        for place in range(behind - 1):
            if not any(is_number(row[place]) for row in rows):
                places["Ticker"] = place + 1
        timed = behind < width and all(
            is_time(row[behind]) and (":" in row[behind] or len(row[behind]) in (3, 4, 5, 6)) for row in rows
        )
        for start in (behind, behind + 1) if timed else (behind,):
            prices = [
                numbers for row in rows if (numbers := _plain_numbers(row[start : start + 4])) is not None
            ]
            moving = [price for price in prices if len(set(price)) > 1]
            fits = [p for p in moving if p[1] >= max(p[0], p[3]) and p[2] <= min(p[0], p[3])]
            if width < start + 4 or not moving or len(prices) < len(rows) or len(fits) < 0.98 * len(moving):
                continue
            if start > behind:
                places["Time"] = start
            places |= {ours: start + place for place, ours in enumerate(("Open", "High", "Low", "Close"), 1)}
            if width > start + 4:
                places["Volume"] = start + 5 + (width > start + 5 and _is_mean([row[start:] for row in rows]))
            return places
    raise FileError(
        "has no header, and the numbers behind its date are not Open, High, Low, Close in this order; say which is "
        "which by place: source.columns={Date: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6}"
    )


def _is_mean(rows: Sequence[Sequence[str]]) -> bool:
    """Whether what stands behind Open, High, Low, Close is an average price: always between Low and High."""
    found = [_plain_numbers(row[1:5]) for row in rows]
    return all(one is not None and one[1] <= one[3] <= one[0] for one in found)


def _plain_numbers(cells: Sequence[str]) -> tuple[float, ...] | None:
    try:
        return tuple(float(cell.replace(",", ".")) for cell in cells)
    except ValueError:
        return None
