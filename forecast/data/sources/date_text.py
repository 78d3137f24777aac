"""One date as people write it: its day, time and zone, in whichever order year, month and day stand."""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_MONTHS = {
    stem: number
    for number, stems in enumerate(
        (
            "jan ene gen janv янв sty oca ιαν", "feb fev févr фев lut şub", "mar mrt mär mrz maa мар",
            "apr avr abr апр kwi nis",
            "may mai mag mei maj май мая mayo", "jun juin giu июн cze haz", "jul juil lug июл lip tem",
            "aug aou ago авг sie ağu", "sep set sept сен wrz eyl", "oct okt ott out окт paź eki", "nov ноя lis kas",
            "dec dez dic дек gru ara",
        ),
        start=1,
    )
    for stem in stems.split()
}  # fmt: skip
_ZONES = {"Z": 0, "UTC": 0, "GMT": 0, "EST": -300, "EDT": -240, "CST": -360, "CDT": -300, "PST": -480, "PDT": -420,
          "CET": 60, "CEST": 120, "BST": 60, "MSK": 180, "JST": 540, "KST": 540, "IST": 330, "HKT": 480, "AEST": 600,
          "AEDT": 660, "NZST": 720, "NZDT": 780, "SGT": 480, "EET": 120, "EEST": 180, "SAST": 120, "MST": -420,
          "MDT": -360, "BRT": -180}  # fmt: skip
_CLOCKS = {
    "ET": "America/New_York",
    "CT": "America/Chicago",
    "MT": "America/Denver",
    "PT": "America/Los_Angeles",
}
_ZONE = (
    r"(?:GMT|UTC)[+-]\d{1,2}(?::?\d\d)?|[+-]\d\d:?(?:\d\d)?|"
    rf"{'|'.join((*_ZONES, *_CLOCKS))}|[A-Z]\w+/\w+(?:/\w+)?"
)
_TIME = (
    r"(?:(?:[T ,]|\s)\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<part>\d+))?)?"
    r"\s?(?P<half>[AaPp]\.?\s?[Mm]\.?)?"
    rf"\s?(?P<zone>{_ZONE})?(?:\s?\(.*\))?)?"
)
_NUMERIC = re.compile(
    rf"(?:[^\W\d]+\.?,?\s+)?(?P<a>\d{{1,4}})\s?(?P<sep>[./\-])\s?(?P<b>\d{{1,2}})\s?(?P=sep)\s?(?P<c>\d{{1,4}})\.?{_TIME}"
)
_NAMED = re.compile(
    r"(?:[^\W\d]+\.?,?\s+)??(?:(?P<a>\d{1,4})(?:\.|st|nd|rd|th)?[\s\-/.]*(?:de\s+|of\s+)?)?(?P<b>[^\W\d]{3,})\.?"
    r"(?:(?:[\s\-/.]*|\s*,\s*)(?:de\s+)?(?P<c>\d{1,4})(?:st|nd|rd|th)?)(?:(?:,\s*|[\s\-/.]+)(?P<d>\d{4}))?,?"
    + _TIME
)
DIGITS = re.compile(
    r"(?P<year>[12]\d{3})(?P<month>\d\d)(?P<day>\d\d)"
    rf"(?:(?:T| {{1,2}}|-)?(?P<clock>\d{{4}}|\d{{6}}|\d\d:\d\d(?::\d\d)?)(?:[.](?P<part>\d+))?\s?(?P<zone>{_ZONE})?)?"
)
_CJK = str.maketrans({"年": "-", "月": "-", "日": " ", "년": "-", "월": "-", "일": " "})
# Ways of writing a date that are brought into another one before it is taken apart.
_ERAS = {
    "民國": 1911,
    "民国": 1911,
    "令和": 2018,
    "平成": 1988,
    "昭和": 1925,
    "R": 2018,
    "H": 1988,
    "S": 1925,
}
_ERA = re.compile(r"^(民國|民国|令和|平成|昭和|[RHS](?=\d{1,2}[./]))\s?(元|\d{1,3})")
_THAI = {"ม.ค.": "jan", "ก.พ.": "feb", "มี.ค.": "mar", "เม.ย.": "apr", "พ.ค.": "may", "มิ.ย.": "jun", "ก.ค.": "jul",
         "ส.ค.": "aug", "ก.ย.": "sep", "ต.ค.": "oct", "พ.ย.": "nov", "ธ.ค.": "dec"}  # fmt: skip
_IN_BRACKETS = re.compile(r"\s*[(（][^\d()（）]+[)）]$")  # 2024/04/01(月)
_CTIME = re.compile(r"[A-Za-z]{3} ([A-Za-z]{3}) +(\d{1,2}) (\d\d:\d\d:\d\d)( [A-Z]{2,5})? (\d{4})")
_COUNTED = re.compile(
    r"(?P<year>\d{4})(?:-?W(?P<week>\d\d)(?:-?(?P<weekday>[1-7]))?|-?M(?P<month>\d\d)|-(?P<day>\d{3}))"
)
PLAIN = re.compile(r"\d+(?:\.\d+)?(?:[eE]\+?\d+)?")


def is_date(cell: str) -> bool:
    """Whether a cell may be a date in some way of writing them; a bare number of 5, 9 or more digits may be one."""
    text = bare_date(cell)
    if PLAIN.fullmatch(text):
        return len(text.partition(".")[0]) in (8, 9, 10, 12, 13, 14, 16, 19) or "e" in text.lower()
    return bool(DIGITS.fullmatch(text) or _NUMERIC.fullmatch(text) or _named(text) or _month_alone(text))


def is_time(cell: str) -> bool:
    """Whether a cell may be a time of day: 09:30, 9:30:00 PM, 093000."""
    return re.fullmatch(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s?([AaPp][Mm])?|\d{1,6}", cell.strip()) is not None


def minutes_ahead(zone: str, moment: datetime | None = None) -> int | None:
    """Minutes before UTC of Z, UTC, EST, +02:00, -0500, GMT+0200, and at a moment of US/Eastern; None = no zone."""
    if zone.upper() in _ZONES:
        return _ZONES[zone.upper()]
    zone = _CLOCKS.get(zone.upper(), zone)
    if "/" in zone:
        try:
            ahead = ZoneInfo(zone).utcoffset(moment)
        except (ValueError, OSError, LookupError):
            return None
        return None if ahead is None else int(ahead.total_seconds()) // 60
    match = re.search(r"([+-])(\d{1,2}):?(\d\d)?$", zone)
    return None if match is None else int(f"{match[1]}1") * (60 * int(match[2]) + int(match[3] or 0))


@lru_cache(maxsize=1 << 16)  # looked at once and read once, and the same days are in every file of a folder
def date_parts(cell: str, order: str) -> tuple[str, int | None, int | None] | None:
    """ISO date, nanoseconds of the day, minutes before UTC; None where the cell is no date of this order."""
    if (match := DIGITS.fullmatch(cell)) is not None:
        digits = (match["clock"] or "").replace(":", "").ljust(6, "0")
        clock = (digits[:2], digits[2:4], digits[4:], match["part"], None) if match["clock"] else None
        written = (match["year"], match["month"], match["day"])
        return _date(*written, clock, match["zone"]) if order == "ymd" else None
    if (alone := _month_alone(cell)) is not None:
        return _date(*alone, "1") if order == "ymd" else None
    if order == "roc" and re.fullmatch(r"\d{7}", cell):
        return _date(str(int(cell[:3]) + 1911), cell[3:5], cell[5:])
    match = _NUMERIC.fullmatch(cell)
    if match is not None:
        parts = dict(
            zip("ymd" if order == "roc" else order, (match["a"], match["b"], match["c"]), strict=True)
        )
        if len(parts["y"]) not in ((2, 3) if order == "roc" else (2, 4)) or any(
            len(parts[name]) > 2 for name in "md"
        ):
            return None
        if order == "roc":
            parts["y"] = str(int(parts["y"]) + 1911)
    elif (match := _named(cell)) is not None:
        month = _month(match["b"])
        numbers = [match[name] for name in "acd" if match[name]]
        if month is None or len(numbers) != 2:
            return None
        year, day = sorted(numbers, key=len, reverse=True) if len({*map(len, numbers)}) > 1 else numbers[::-1]
        if order != ("mdy" if not match["a"] else "ymd" if len(match["a"]) == 4 else "dmy"):
            return None
        parts = {"y": year, "m": str(month), "d": day}
    else:
        return None
    time = (match["hour"], match["minute"], match["second"] or "0", match["part"], match["half"])
    return _date(parts["y"], parts["m"], parts["d"], time if match["hour"] else None, match["zone"])


def _month_alone(cell: str) -> tuple[str, str] | None:
    """Year and month of 2024-06, 06/2024, June 2024; not of Jun-24, which may be a day."""
    match = re.fullmatch(r"(\d{4})[-/.](\d{1,2})|(\d{1,2})[-/.](\d{4})|([^\W\d]{3,})\.?[\s\-/]*(\d{4})", cell)
    month = match and (match[2] or match[3] or _month(match[5]))
    return None if match is None or not month else (match[1] or match[4] or match[6], str(month))


def _date(
    year: str,
    month: str,
    day: str,
    clock: tuple[str, str, str, str | None, str | None] | None = None,
    zone: str | None = None,
) -> tuple[str, int | None, int | None] | None:
    whole = int(year)
    if len(year) == 2:  # prices are of the past; announced events may be of the next years
        whole += 2000 if 2000 + whole <= date.today().year + 5 else 1900
    elif 2400 <= whole <= 2700:  # Thailand's years
        whole -= 543
    passed = _clock(*clock) if clock is not None else None
    if not 1700 <= whole <= 2200 or (clock is not None and passed is None):
        return None
    try:
        found = date(whole, int(month), int(day))
    except ValueError:
        return None
    if zone is None:
        return found.isoformat(), passed, None
    moment = datetime.combine(found, datetime.min.time()) + timedelta(microseconds=(passed or 0) // 1000)
    minutes = minutes_ahead(zone, moment)
    return None if minutes is None else (found.isoformat(), passed, minutes)


def _clock(hour: str, minute: str, second: str, part: str | None, half: str | None) -> int | None:
    hours = int(hour)
    if half:
        if not 1 <= hours <= 12:
            return None
        hours = hours % 12 + (12 if half[0] in "pP" else 0)
    if hours > 23 or int(minute) > 59 or int(second) > 59:
        return None
    return ((hours * 60 + int(minute)) * 60 + int(second)) * 10**9 + int((part or "0")[:9].ljust(9, "0"))


def _named(cell: str) -> re.Match[str] | None:
    match = _NAMED.fullmatch(cell)
    return match if match is not None and _month(match["b"]) is not None else None


def _month(word: str) -> int | None:
    folded = word.casefold()
    plain = "".join(c for c in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(c))
    for text in (folded, plain):
        for length in (4, 3):
            if text[:length] in _MONTHS:
                return _MONTHS[text[:length]]
    return None


def bare_date(cell: str) -> str:
    """Without quotes and a weekday, with signs for words of East Asia; 2024-W27, 2024M07, 2024-189 as ISO dates."""
    text = _IN_BRACKETS.sub("", cell.strip().strip("='\""))
    text = _ERA.sub(lambda era: f"{_ERAS[era[1]] + int(era[2].replace('元', '1'))}", text)
    if not text.isascii():
        text = text.translate(_CJK).strip()
        text = next((text.replace(thai, month) for thai, month in _THAI.items() if f" {thai}" in text), text)
    text = _CTIME.sub(r"\1 \2 \5 \3\4", text)
    match = _COUNTED.fullmatch(text)
    if match is None:
        return text
    year = int(match["year"])
    if match["month"]:
        return f"{year}-{match['month']}"
    try:
        if match["day"]:
            return datetime.strptime(f"{year}{match['day']}", "%Y%j").date().isoformat()
        return date.fromisocalendar(year, int(match["week"]), int(match["weekday"] or 1)).isoformat()
    except ValueError:
        return text
