"""Numbers as people write them: which sign is the decimal one, which groups thousands, and their strict reading."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecast.data.sources.layout import FileError, FileLayout

# Cells that say there is no number, besides those of pandas.
_MISSING = re.compile(
    r"[-—–.?]{0,3}|#?n[/.]?a\.?|n\.?d\.?|nan|\(?null\)?|none|nil|\\n|#(?:value!|div/0!|ref!|num!|name\?|null!)",
    re.IGNORECASE,
)
# Powers of ten.
_MULTIPLES = {
    "k": 3, "m": 6, "b": 9, "t": 12, "bn": 9, "mn": 6, "mln": 6, "mio": 6, "mio.": 6, "mrd": 9, "mrd.": 9, "tsd": 3,
    "tsd.": 3, "mi": 6, "bi": 9, "tn": 12, "cr": 7, "lakh": 5, "lac": 5, "万": 4, "萬": 4, "億": 8, "亿": 8, "тыс": 3,
    "млн": 6, "млрд": 9,
}  # fmt: skip
_CURRENCY = (
    r"(?:[$€£¥₹₽₩₺₪฿円元원株股주]|R\$|US\$|HK\$|A\$|C\$|kr\.?|zł|Kč|CHF|USD|EUR|GBP|JPY|BRL|INR|SAR|RUB|USDT|GBX|GBp|p|"
    r"Stück|Stk\.?|St\.|shares)"
)
_SPACES = "\u00a0\u202f\u2009\u2007 "  # between groups of digits
_APOSTROPHES = "'’´`"
_SIGNS = "−–-"
_CELL = re.compile(
    rf"(?P<paren>\()?(?P<sign>[+{_SIGNS}])?\s*(?P<cur>{_CURRENCY})?\s*(?P<sign2>[+{_SIGNS}])?"
    rf"(?P<body>\d[\d.,{_APOSTROPHES}{_SPACES}_]*?|[.,]\d+?)(?P<exp>[eE][+-]?\d+)?\s*"
    rf"(?P<multiple>{'|'.join(sorted(map(re.escape, _MULTIPLES), key=len, reverse=True))})?\s*"
    rf"(?P<percent>%)?\s*(?P<cur2>{_CURRENCY})?(?P<sign3>-)?(?P<close>\))?",
    re.IGNORECASE,
)


def is_number(cell: str) -> bool:
    """Whether a cell may be a number in some notation, or says that there is none."""
    text = _bare(cell)
    return _MISSING.fullmatch(text) is not None or _CELL.fullmatch(text) is not None


def _bare(cell: str) -> str:
    """A cell without blanks and quotes around it."""
    return cell.strip().strip("='\"").strip()


def sniff_notation(
    cells: Iterable[str], *, decimal: str | None, thousands: str | None, comma_country: bool
) -> tuple[str, str | None] | None:
    """The signs in all of a file's numbers.

    Evidence is a sign that can have one role only: 1,234.5 and 1,234,567 show thousands, 50,12 and 0,123 and 1234,567
    show decimals. 1,234 alone shows neither.

    Args:
        cells: text of numbers; others are passed over.
        decimal: what source.decimal says; None = to be found.
        thousands: likewise.
        comma_country: the file's separator or dates are those of countries that write 1.234,56, so that 1.234 too is
            ambiguous.

    Returns:
        The signs before decimals and between groups; None where only ambiguous cells were seen, so that more of them
        should be looked at.

    Raises:
        FileError: both signs are used as the decimal one.
    """
    seen = _Signs()
    for cell in cells:
        if (match := _CELL.fullmatch(_bare(cell))) is not None:
            seen.add(match["body"], exponent=bool(match["exp"]))
    if decimal is None:
        decimal = {".": ",", ",": "."}.get(thousands or "") or seen.decimal(comma_country)
        if decimal is None:
            return None
    if thousands is None:
        thousands = next((sign for sign in (*seen.groups, *seen.unclear) if sign != decimal), None)
    return decimal, thousands


def unclear_notation(cells: Iterable[str]) -> FileError:
    """The refusal where `sniff_notation` finds no evidence in the whole file."""
    example = next((cell.strip() for cell in cells if _ambiguous(cell)), "1,234")
    sign = "," if "," in example else "."
    other = "." if sign == "," else ","
    return FileError(
        f"{example} may be a number with three decimals or one in thousands, and no other number tells; "
        f"set source.decimal='{sign}' (decimals) or source.decimal='{other}' (thousands)"
    )


def _ambiguous(cell: str) -> bool:
    match = _CELL.fullmatch(_bare(cell))
    return match is not None and re.fullmatch(r"[1-9]\d{0,2}[.,]\d{3}", match["body"]) is not None


class _Signs:
    """The signs in numbers by the role they can have, each with an example."""

    def __init__(self) -> None:
        self.decimals: dict[str, str] = {}
        self.groups: dict[str, str] = {}
        self.unclear: dict[str, str] = {}

    def add(self, body: str, *, exponent: bool) -> None:
        """Look at the digits of a number."""
        points = [letter for letter in body if letter in ".,"]
        for sign in body:
            if sign in _APOSTROPHES or sign in _SPACES:
                self.groups.setdefault(sign, body)
        if not points:
            return
        last = points[-1]
        if len(set(points)) == 2:
            self.decimals.setdefault(last, body)
            self.groups.setdefault("," if last == "." else ".", body)
        elif len(points) > 1:
            self.groups.setdefault(last, body)
        else:
            before, _, after = body.partition(last)
            sure = exponent or len(after) != 3 or not 1 <= len(before) <= 3 or before[0] == "0"
            (self.decimals if sure else self.unclear).setdefault(last, body)

    def decimal(self, comma_country: bool) -> str | None:
        """The one before decimals; None where that is open."""
        both = sorted(self.decimals.keys() & self.groups)
        if len(self.decimals) == 2 or both:
            two = len(self.decimals) == 2
            one, other = self.decimals.values() if two else (self.decimals[both[0]], self.groups[both[0]])
            raise FileError(
                f"writes its numbers in two ways, {one} and {other}; set source.decimal, or mend the file"
            )
        if self.decimals:
            return next(iter(self.decimals))
        grouped = [sign for sign in self.groups if sign in ".,"]
        if len(grouped) == 1:
            return "," if grouped[0] == "." else "."
        plain = not self.unclear and not grouped
        return "." if plain or (self.unclear.keys() == {"."} and not comma_country) else None


def read_numbers(cells: pd.Series, layout: FileLayout) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Text as float64, and which cells are no number as the file writes them."""
    codes, distinct = pd.factorize(cells)  # volumes and percentages repeat
    values, wrong = np.full(len(distinct) + 1, np.nan), np.zeros(len(distinct) + 1, bool)  # the last: no text
    plain = _plain_numbers(distinct, layout)
    for place, cell in enumerate(distinct):
        number = plain[cell] if cell in plain else _number(cell, layout)
        wrong[place] = number is None
        values[place] = np.nan if number is None else number
    return values[codes], wrong[codes]


def _plain_numbers(cells: Iterable[object], layout: FileLayout) -> dict[object, float]:
    """Those cells that are digits, grouped or not, and decimals: nearly all, read at once."""
    groups = "" if layout.thousands is None else rf"|\d{{1,3}}(?:{re.escape(layout.thousands)}\d{{3}})+"
    plain = re.compile(rf"-?(?:\d+{groups})(?:{re.escape(layout.decimal)}\d*)?").fullmatch
    swap = str.maketrans({layout.decimal: ".", **({layout.thousands: ""} if layout.thousands else {})})
    return {cell: float(cell.translate(swap)) for cell in cells if isinstance(cell, str) and plain(cell)}


def _number(cell: object, layout: FileLayout) -> float | None:
    if not isinstance(cell, str):
        return float(cell) if isinstance(cell, int | float | Decimal) and not isinstance(cell, bool) else None
    text = _bare(cell)
    if _MISSING.fullmatch(text) is not None:
        return float("nan")
    if text.casefold().lstrip("+-") in ("inf", "infinity"):
        return float(text)
    match = _CELL.fullmatch(text)
    if match is None or bool(match["paren"]) != bool(match["close"]):
        return None
    whole, _, fraction = match["body"].partition(layout.decimal)
    if layout.thousands is not None:
        kinds = _SPACES if layout.thousands in _SPACES else layout.thousands
        kinds = _APOSTROPHES if layout.thousands in _APOSTROPHES else kinds
        groups = re.split(f"[{re.escape(kinds)}]", whole)
        if len(groups) > 1:
            inner = {len(group) for group in groups[1:-1]}
            # 1,234,567, and as India writes it 12,34,567.
            if len(groups[-1]) != 3 or inner - {2, 3} or len(inner) > 1 or not 1 <= len(groups[0]) <= 3:
                return None
            whole = "".join(groups)
    if not (whole or fraction) or not f"{whole}{fraction}".isdigit():
        return None
    signs = [match[name] for name in ("sign", "sign2", "sign3") if match[name]]
    if len(signs) > 1:
        return None
    # In one conversion, so that 0.29M is 290000 to the bit.
    power = int((match["exp"] or "e0")[1:]) - (2 if match["percent"] else 0)
    power += _MULTIPLES[match["multiple"].casefold()] if match["multiple"] else 0
    number = float(f"{whole or '0'}.{fraction or '0'}e{power}")
    negative = match["paren"] or (signs and signs[0] in _SIGNS)
    return -number if negative else number
