"""Whether a file's dates are days or moments, and in which zone: dates as written -> the index of a bar table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecast.data import calendars, grid
from forecast.data.sources.dates import Stamps
from forecast.data.sources.headers import says_utc
from forecast.data.sources.layout import FileError, FileLayout, Rows

Times = NDArray[np.datetime64]


# One zone for each rule of summer time that markets have, the most traded first.
_ZONES = (
    "America/New_York", "Europe/Paris", "Europe/London", "Asia/Tokyo", "Asia/Shanghai", "Asia/Kolkata",
    "America/Chicago",
    "America/Sao_Paulo", "Australia/Sydney", "Asia/Riyadh", "Asia/Dubai", "Europe/Istanbul", "Europe/Athens",
    "Africa/Johannesburg", "Asia/Jerusalem", "Asia/Singapore", "Asia/Seoul", "Asia/Bangkok", "Asia/Karachi",
    "Pacific/Auckland", "America/Mexico_City", "America/Argentina/Buenos_Aires", "America/Santiago",
    "America/Los_Angeles",
    "America/Denver", "America/Halifax", "Asia/Tehran", "Australia/Brisbane", "Australia/Adelaide", "Pacific/Honolulu",
    "UTC",
)  # fmt: skip
_FEW = 5  # days in a row with one row each, at midnight, among moments
_MOST_LATE = 0.01  # share of a market's days that may fall on a weekend


def sniff_clock(stamps: Stamps, layout: FileLayout, *, ticker: str, said: Mapping[str, Any]) -> FileLayout:
    """A file's layout with what the dates of one ticker show: days or moments, and the zone.

    A row is a day where hardly any date has two rows. A day is the date as written, but where all times are the
    midnights of another zone (22:00 and 23:00 in UTC of Paris), or the times of the ticker's own exchange, and
    only that zone gives the weekdays a market trades on.

    Args:
        stamps: of the ticker's rows, as written.
        layout: of its file.
        ticker: whose ending may name an exchange.
        said: what stands above what is found, by the names in layout.KEYS.

    Raises:
        FileError: times without a zone, or zones that do not belong together, and nothing tells.
    """
    utc = any(says_utc(layout.columns.get(ours, "")) for ours in ("Date", "Time"))
    timezone, clock = said.get("timezone"), said.get("clock", "UTC" if utc else None)
    rows = _rows(stamps)
    written = ~np.isnat(stamps.offset)
    if timezone is None and stamps.timed.any() and written.any():
        _check_offsets(stamps, written)
    if rows == "moments":
        _check_mixture(stamps)
        if timezone is None and clock is None and not written.all():
            timezone, clock = _session_zone(stamps.local, ticker)
        elif timezone is None:
            timezone = _zone_of_offsets(stamps, ticker) or clock
    elif timezone is None and stamps.timed.any() and (stamps.local.astype(np.int64) % grid.DAY).any():
        timezone, clock = _zone_of_days(stamps, written, ticker, clock)
    elif not stamps.timed.any():
        timezone = None
    return replace(layout, rows=rows, timezone=timezone, clock=clock)


def read_clock(stamps: Stamps, layout: FileLayout) -> Times:
    """The index of a bar table: midnights of days, or moments in UTC without a zone.

    Raises:
        FileError: times without a zone that the clocks of their zone never showed, or showed twice.
    """
    if layout.rows == "days" and layout.timezone is None:
        return grid.midnights(stamps.local)
    utc = stamps.local - np.where(np.isnat(stamps.offset), np.timedelta64(0), stamps.offset)
    bare = np.isnat(stamps.offset)
    if bare.any():
        if layout.rows == "days" and layout.clock is None:
            return grid.midnights(stamps.local)
        zone = layout.clock or layout.timezone
        if zone is None:
            raise _no_zone(str(stamps.local[bare][0])[:16])
        utc[bare] = _to_utc(stamps.local[bare], zone)
    if layout.rows == "moments":
        return utc
    assert layout.timezone is not None
    return grid.midnights(grid.to_local(utc, layout.timezone))


def _rows(stamps: Stamps) -> Rows:
    if not stamps.timed.any():
        return "days"
    distinct = np.unique(stamps.local)
    count = len(np.unique(distinct.astype("datetime64[D]")))
    return "days" if count >= 0.98 * len(distinct) else "moments"


def _check_mixture(stamps: Stamps) -> None:
    """Refuse a file that is in part of days and in part of moments."""
    days = stamps.local.astype("datetime64[D]")
    _, inverse, counts = np.unique(days, return_inverse=True, return_counts=True)
    alone = (counts[inverse] == 1) & (stamps.local == stamps.local.astype("datetime64[D]"))
    others = np.flatnonzero(~alone[np.argsort(stamps.local, kind="stable")])
    if (
        np.diff(others, prepend=-1, append=len(alone)).max() <= _FEW
    ):  # the last bar of a week may stand at midnight
        return
    raise FileError(
        f"holds days ({alone.sum()} rows such as {days[alone][0]}) and moments "
        f"({(~alone).sum()} such as {str(stamps.local[~alone][0])[:16].replace('T', ' ')}); "
        "give the days and the moments a file each"
    )


def _check_offsets(stamps: Stamps, written: NDArray[np.bool_]) -> None:
    """Offsets of one zone alone: one, or those of its winter and summer."""
    bare = ~written & stamps.timed
    if bare.any():
        raise FileError(
            f"some times have a zone ({_shown(stamps, written)}) and some have none "
            f"({_shown(stamps, bare)}); set source.timezone to the market's, in which those without one are meant"
        )
    offsets = np.unique(stamps.offset[written])
    if len(offsets) < 2 or _zone_of_offsets(stamps, "") is not None:
        return
    first = written & (stamps.offset == offsets[0])
    other = written & (stamps.offset == offsets[-1])
    raise FileError(
        f"mixes time zones, {_shown(stamps, first)} and {_shown(stamps, other)}; set source.timezone to the "
        "market's, in which the days are counted"
    )


def _shown(stamps: Stamps, which: NDArray[np.bool_]) -> str:
    row = int(which.argmax())
    text = str(stamps.local[row])[:16].replace("T", " ")
    if np.isnat(stamps.offset[row]):
        return text
    minutes = int(stamps.offset[row].astype("timedelta64[m]").astype(int))
    return f"{text}{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def _zone_of_offsets(stamps: Stamps, ticker: str) -> str | None:
    """The zone whose clocks all written offsets are; None where no market's is, or all are UTC."""
    written = ~np.isnat(stamps.offset)
    local, offset = stamps.local[written], stamps.offset[written]
    if not len(local):
        return None
    if not offset.astype(np.int64).any():
        return "UTC"
    utc = local - offset
    for zone in _candidates(ticker):
        if (grid.to_local(utc, zone) == local).all():
            return zone
    return None


def _candidates(ticker: str) -> Iterator[str]:
    calendar = _calendar(ticker)
    if calendar is not None:
        yield calendars.zone_of(calendar)
    yield from _ZONES


def _calendar(ticker: str) -> str | None:
    """Of the exchange that a ticker's ending names; None where it has no ending."""
    return calendars.calendar_of(ticker) if "." in ticker.strip(".") else None


def _zone_of_days(
    stamps: Stamps, written: NDArray[np.bool_], ticker: str, clock: str | None
) -> tuple[str | None, str | None]:
    """The zone in which rows that stand at odd times are days of a market."""
    utc = stamps.local - np.where(written, stamps.offset, np.timedelta64(0))
    clock = clock or (None if written.all() else "UTC")
    as_written = stamps.local.astype("datetime64[D]")
    calendar = _calendar(ticker)
    own = None if calendar is None else calendars.zone_of(calendar)
    found: list[tuple[str | None, Times]] = [(None, as_written)]  # zone -> days in it
    for zone in _candidates(ticker):
        local = grid.to_local(utc, zone)
        times = local.astype(np.int64) % grid.DAY
        # Midnights of a zone; the opening of the exchange that the ticker's ending names.
        if not times.any() or (zone == own and (times == times[0]).all()):
            days = local.astype("datetime64[D]")
            if not any((days == other).all() for _, other in found):
                found.append((zone, days))
    if len(found) == 1:
        return None, None
    distinct = len(np.unique(utc))
    mask = "" if calendar is None else calendars.weekmask_of(calendar)
    closed = [day for day, is_open in enumerate(mask) if is_open == "0"]
    tests: list[Callable[[Times], bool]] = [
        lambda days: bool(closed) and _weekdays(days)[closed].sum() <= _MOST_LATE,
        lambda days: (
            _weekdays(days)[[5, 6]].sum() <= _MOST_LATE or _weekdays(days).min() > 0.08
        ),  # or all seven
        lambda days: _weekdays(days)[[4, 5]].sum() <= _MOST_LATE,  # Sunday to Thursday
    ]
    for suits in tests:
        fitting = [one for one, days in found if len(np.unique(days)) == distinct and suits(days)]
        if len(fitting) == 1:
            return (fitting[0], clock) if fitting[0] else (None, None)
        if fitting:
            break
    constant = len(np.unique(stamps.local.astype(np.int64) % grid.DAY)) == 1
    if constant and not written.any() and None in fitting:
        return None, None  # the same time of day without a zone, such as that of the close
    midnights = [one for one, _ in found[1:]]
    if not constant and len(midnights) == 1:
        return midnights[0], clock  # 22:00 in summer and 23:00 in winter are nothing but a midnight
    shown = ", ".join(f"{days[-1]} in {zone or 'the zone written'}" for zone, days in found)
    raise FileError(
        f"{_shown(stamps, np.arange(len(utc)) == len(utc) - 1)} is {shown}; set source.timezone to "
        "the market's, in which the days are counted"
    )


def _weekdays(days: Times) -> NDArray[np.float64]:
    """The share of each weekday, Monday first."""
    return np.asarray(np.bincount(grid.weekday(days), minlength=7) / len(days))


def _session_zone(local: Times, ticker: str) -> tuple[str, str]:
    """Market's zone and clock of times without one: the exchange's, or UTC, whichever puts them into its sessions."""
    calendar = calendars.calendar_of(ticker)
    if calendar is not None and calendar not in ("24/7", "24/5", "CMES"):
        zone = calendars.zone_of(calendar)
        _, opens, closes, *_ = calendars.schedule(calendar)
        shares = {}
        for clock in (zone, "UTC"):
            utc = grid.to_utc(local, clock).astype(np.int64)
            session = np.searchsorted(opens, utc, side="right") - 1
            shares[clock] = float(((session >= 0) & (utc <= closes[session])).mean())
        for clock, other in ((zone, "UTC"), ("UTC", zone)):
            if shares[clock] >= 0.95 and shares[other] < 0.9:
                return zone, clock
    raise _no_zone(str(local[0])[:16])


def _no_zone(example: str) -> FileError:
    return FileError(
        f"times such as {example.replace('T', ' ')} have no zone; set source.timezone to that of the market "
        "(America/New_York, ...), or to UTC where they are written in it"
    )


def _to_utc(local: Times, zone: str) -> Times:
    """What clocks of a zone show -> moments in UTC; the order of rows says which of two equal hours is meant."""
    index = pd.DatetimeIndex(local)
    skipped = index.tz_localize(zone, ambiguous=np.zeros(len(local), bool), nonexistent="NaT").isna()
    if skipped.any():
        when = str(index[int(skipped.argmax())])
        raise FileError(
            f"{when} does not exist in {zone}, whose clocks skipped it; source.timezone is that of another "
            "market, or source.clock=UTC"
        )
    try:
        localised = index.tz_localize(zone, ambiguous="infer")
    except ValueError:
        twice = index.tz_localize(zone, ambiguous="NaT").isna()
        when = str(index[int(twice.argmax())])
        raise FileError(
            f"{when} came twice in {zone}, when its clocks were set back, and the order of the rows does not "
            "tell which is meant; write the times with their zone, or in UTC with source.clock=UTC"
        ) from None
    return np.asarray(localised.tz_convert("UTC").tz_localize(None).to_numpy(), "datetime64[ns]")
