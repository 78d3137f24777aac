"""Where bars stand in time: the sessions of a market, the bars within a session, the weeks and months of sessions.

Times of intraday bars are UTC without a zone; a daily bar stands at the midnight of its date, whatever the zone.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from forecast.data import calendars

Times = NDArray[Any]  # datetime64[ns]

MINUTE = 60 * 10**9  # nanoseconds
DAY = 1440 * MINUTE
WEEKDAYS = "1111100"  # Monday to Friday
ALL_DAYS = "1111111"
# Intraday bars of the currency market are counted by New York's clock: its week begins and ends at 17:00 there.
CURRENCY_ZONE = "America/New_York"
_MOST_YEARS = 4  # of a grid that is made at once, so that minutes of a century are not


@dataclass(frozen=True)
class Hours:
    """Where the bars of a session begin.

    Args:
        align: `open`: every interval from the open, again from the end of a break; `through`: from the open, through
            the break; `clock`: at multiples of the interval on the market's clock; `slots`: as `slots` says.
        end: stamped with their end, not their begin.
        slots: minutes after local midnight, by weekday of the session, Monday first; below 0 the evening before.
    """

    align: Literal["open", "through", "clock", "slots"] = "open"
    end: bool = False
    slots: tuple[tuple[int, ...], ...] = ()

    def to_json(self) -> dict[str, object]:
        """As plain JSON values."""
        return {"align": self.align, "end": self.end, "slots": [list(day) for day in self.slots]}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Hours:
        """What `to_json` wrote."""
        return cls(align=facts["align"], end=facts["end"], slots=tuple(map(tuple, facts["slots"])))


@dataclass(frozen=True)
class Sessions:
    """All sessions of a market: one entry each, oldest first."""

    days: Times  # midnights
    opens: NDArray[np.int64]  # ns since 1970, UTC
    closes: NDArray[np.int64]
    break_starts: NDArray[np.int64]  # that of the close where there is no break
    break_ends: NDArray[np.int64]


def sessions_of(calendar: str | None, weekmask: str, zone: str, *, planned: bool = False) -> Sessions:
    """Sessions of a calendar; without one, whole local days on the weekdays of a mask.

    Those of 24/5 are whole days from Monday to Friday; on New York's clock they begin at 17:00 of the day before.
    `planned`: days that a calendar was closed on for once are sessions, with the hours of the one before.
    """
    if calendar == "24/5":
        return _of_mask(WEEKDAYS, zone, hours_before=7 if zone == CURRENCY_ZONE else 0)
    if calendar is None:
        return _of_mask(weekmask, zone)
    return _as_planned(calendar, zone) if planned else _of_calendar(calendar)


@functools.cache
def _of_calendar(calendar: str) -> Sessions:
    days, opens, closes, starts, ends = calendars.schedule(calendar)
    none = starts == np.datetime64("NaT").astype(np.int64)
    return Sessions(days, opens, closes, np.where(none, closes, starts), np.where(none, closes, ends))


@functools.cache
def _as_planned(calendar: str, zone: str) -> Sessions:
    held = _of_calendar(calendar)
    days = calendars.planned_sessions(calendar)[2].to_numpy()
    place = np.maximum(held.days.searchsorted(days, side="right") - 1, 0)
    extra = held.days[place] != days

    def moments(own: NDArray[np.int64]) -> NDArray[np.int64]:
        found = own[place]
        clock = to_local(found[extra].view("datetime64[ns]"), zone) - held.days[place[extra]]
        found[extra] = to_utc(days[extra] + clock, zone).astype(np.int64)
        return found

    return Sessions(days, *map(moments, (held.opens, held.closes, held.break_starts, held.break_ends)))


@functools.cache
def _of_mask(weekmask: str, zone: str, hours_before: int = 0) -> Sessions:
    every = np.arange("1970-01-01", "2100-01-01", dtype="datetime64[D]")
    days = every[np.is_busday(every, weekmask=weekmask)].astype("datetime64[ns]")
    begins = days - np.timedelta64(hours_before, "h")
    opens: NDArray[Any] = to_utc(begins, zone)
    closes: NDArray[Any] = to_utc(begins + np.timedelta64(DAY, "ns"), zone)
    return Sessions(days, opens.astype(np.int64), closes.astype(np.int64), *2 * [closes.astype(np.int64)])


def midnights(times: Times) -> Times:
    """The day of each time, datetime64[ns]."""
    return times.astype("datetime64[D]").astype("datetime64[ns]")


def to_local(times: Times, zone: str) -> Times:
    """Times in UTC -> the clock of a zone, both without a zone."""
    import pandas as pd

    if zone == "UTC":
        return times
    index = pd.DatetimeIndex(times).tz_localize("UTC").tz_convert(zone).tz_localize(None)
    return index.to_numpy().astype("datetime64[ns]")


def to_utc(times: Times, zone: str) -> Times:
    """The clock of a zone -> times in UTC. An hour that a change of the clock leaves out is that after it."""
    import pandas as pd

    if zone == "UTC":
        return times
    local = pd.DatetimeIndex(times).tz_localize(
        zone, ambiguous=np.zeros(len(times), bool), nonexistent="shift_forward"
    )
    return local.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[ns]")


def session_bars(
    sessions: Sessions, *, step: int, hours: Hours, zone: str, first: Any, last: Any
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Times of the bars of all sessions from one day to another.

    Returns:
        (bars,) times, ns, ascending and distinct; (bars,) index of the session of each.
    """
    begin, stop = sessions.days.searchsorted(first), sessions.days.searchsorted(last, side="right")
    which = np.arange(begin, stop)
    if hours.align == "slots":
        return _slot_bars(sessions, which, hours, zone)
    opens, closes = sessions.opens[which], sessions.closes[which]
    starts, ends = sessions.break_starts[which], sessions.break_ends[which]
    parts = [(opens, closes)]
    if hours.align == "open":
        parts = [(opens, starts), (ends, closes)]
    found, owners = [], []
    for part_opens, part_closes in parts:
        origin = _on_clock(part_opens, step, zone) if hours.align == "clock" else part_opens
        counts = np.maximum(-(-(part_closes - origin) // step), 0)
        owner = np.repeat(np.arange(len(which)), counts)
        place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        times = origin[owner] + place * step
        if hours.align != "open":  # nothing is traded in a bar that lies in the break
            inside = (times >= starts[owner]) & (times + step <= ends[owner])
            times, owner = times[~inside], owner[~inside]
        if hours.end:
            times = np.minimum(times + step, part_closes[owner])
        found.append(times)
        owners.append(owner)
    times, owner = np.concatenate(found), np.concatenate(owners)
    order = np.argsort(times, kind="stable")
    return times[order], which[owner[order]]


def _on_clock(opens: NDArray[np.int64], step: int, zone: str) -> NDArray[np.int64]:
    """The last multiple of the interval on the market's clock that is no later than the open."""
    local = to_local(opens.view("datetime64[ns]"), zone).astype(np.int64)
    shift = local - opens
    return local // step * step - shift


def _slot_bars(
    sessions: Sessions, which: NDArray[np.int64], hours: Hours, zone: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    days, closes = sessions.days[which], sessions.closes[which]
    weekdays = weekday(days)
    late = to_local(closes.view("datetime64[ns]"), zone).astype(np.int64) - days.astype(np.int64)
    found, owners = [], []
    for number, slots in enumerate(hours.slots):
        mine = np.flatnonzero(weekdays == number)
        if not slots or not mine.size:
            continue
        offsets = np.asarray(slots, np.int64) * MINUTE
        times = days[mine].astype(np.int64)[:, None] + offsets
        # On a day that closes early there is none of the bars after its close.
        usual = np.median(late[mine])
        open_then = (late[mine][:, None] >= usual) | (offsets < late[mine][:, None]) | (offsets >= usual)
        found.append(times[open_then])
        owners.append(np.repeat(mine, len(slots)).reshape(times.shape)[open_then])
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    local, owner = np.concatenate(found), np.concatenate(owners)
    times = to_utc(local.view("datetime64[ns]"), zone).astype(np.int64)
    times, first = np.unique(times, return_index=True)
    return times, which[owner[first]]


def learn_slots(times: Times, sessions: Sessions, zone: str, *, recent: int = 12) -> Hours:
    """The hours that bars themselves keep: what half of a weekday's last sessions have.

    A bar belongs to the session of its local date; where that is none, as on the Sunday evening of a market that opens
    on Monday's date, to the session that follows.
    """
    local = to_local(times, zone)
    place = np.minimum(
        sessions.days.searchsorted(midnights(local)),
        len(sessions.days) - 1,
    )
    days = sessions.days[place]
    offsets = (local - days).astype(np.int64) // MINUTE
    near = offsets >= -1440
    days, offsets = days[near], offsets[near]
    weekdays = weekday(days)
    slots: list[tuple[int, ...]] = []
    for number in range(7):
        mine = weekdays == number
        last = np.unique(days[mine])[-recent:]
        seen = offsets[mine & (days >= last[0])] if len(last) else offsets[:0]
        values, counts = np.unique(seen, return_counts=True)
        slots.append(tuple(int(v) for v in values[2 * counts >= len(last)]) if len(last) else ())
    return Hours(align="slots", slots=tuple(slots))


@functools.lru_cache(maxsize=64)
def bars_of_years(
    calendar: str | None,
    weekmask: str,
    zone: str,
    step: int,
    hours: Hours,
    first: int,
    last: int,
    planned: bool,
) -> Times:
    """(bars,) the times of all intraday bars of the sessions of some years, both included; not to be written to."""
    times, _ = session_bars(
        sessions_of(calendar, weekmask, zone, planned=planned),
        step=step,
        hours=hours,
        zone=zone,
        first=np.datetime64(f"{first}-01-01", "ns"),
        last=np.datetime64(f"{last}-12-31", "ns"),
    )
    found = times.view("datetime64[ns]")
    found.flags.writeable = False
    return found


def year_of(time: Any) -> int:
    """The year of a time."""
    return int(time.astype("datetime64[Y]").astype(int)) + 1970


def weekday(days: Times) -> NDArray[np.int64]:
    """(days,) Monday is 0; 1970-01-01 was a Thursday."""
    return np.asarray((days.astype("datetime64[D]").astype(np.int64) + 3) % 7)
