"""Bars in time: the next ones, those to be expected, when each is known, how many make a year; weeks and months."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import numpy as np

from forecast.data import calendars, grid
from forecast.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Times = NDArray[Any]  # datetime64[ns]


class Timing(Protocol):
    """What forecast.data.timing.Bars says of bars."""

    interval: Any
    calendar: str | None
    weekmask: str
    naming: Any

    @property
    def zone(self) -> str: ...

    @property
    def hours(self) -> grid.Hours: ...

    @property
    def step(self) -> int: ...

    @property
    def intraday(self) -> bool: ...

    @property
    def label(self) -> str: ...

    def text(self, time: Any) -> str: ...


_WEEK = 7 * grid.DAY
ONE_WEEKDAY = ("fixed", "before", "after")  # ways to name weeks by the same one of each
# Sessions are counted over these years, as far as a calendar knows them.
_COUNTED = (2010, 2019)


def following(bars: Timing, after: Times, count: int) -> Times:
    """(times, count) the bars that follow each of some ascending, distinct times.

    Raises:
        UserError: the calendar does not reach that far.
    """
    if bars.intraday:
        return _following_intraday(bars, after, count)
    if bars.interval == "1d":
        return _following_days(bars, after, count)
    return _following_periods(bars, after, count)


def _following_days(bars: Timing, after: Times, count: int) -> Times:
    days = after.astype("datetime64[D]")
    if bars.calendar is None:
        ahead = np.busday_offset(
            days[:, None], np.arange(1, count + 1), roll="backward", weekmask=bars.weekmask
        )
        return ahead.astype("datetime64[ns]")
    found = [calendars.next_sessions(bars.calendar, str(day), count).to_numpy() for day in days]
    return np.stack(found).astype("datetime64[ns]")


def _following_intraday(bars: Timing, after: Times, count: int) -> Times:
    if bars.calendar == "24/7":
        return after[:, None] + np.arange(1, count + 1) * np.timedelta64(bars.step, "ns")
    year, last = grid.year_of(after[0]), grid.year_of(after[-1])
    times = _grid(bars, year, last + 1)
    place = times.searchsorted(after, side="right")
    more = last + 1
    while len(times) and place[-1] + count > len(times) and more < last + 20:
        more += 4
        times = _grid(bars, year, more)
    if place[-1] + count > len(times) or after[0] < _knows(bars)[0]:
        _refuse(bars, after[-1] if place[-1] + count > len(times) else after[0], count)
    return np.asarray(times[place[:, None] + np.arange(count)])


def _following_periods(bars: Timing, after: Times, count: int) -> Times:
    """Weeks and months by the date that names them."""
    week = bars.interval == "1wk"
    if week and bars.naming in ONE_WEEKDAY:
        return _following_weeks(bars, after, count)
    months = after.astype("datetime64[M]")
    if not week and bars.naming in ("fixed", "end"):
        ahead = months[:, None] + np.arange(1, count + 1)
        if bars.naming == "end":
            return ((ahead + 1).astype("datetime64[D]") - 1).astype("datetime64[ns]")
        day = (after.astype("datetime64[D]") - months.astype("datetime64[D]"))[:, None]
        length = (ahead + 1).astype("datetime64[D]") - ahead.astype("datetime64[D]")
        found = ahead.astype("datetime64[D]") + np.minimum(day, length - 1)
        return np.asarray(found.astype("datetime64[ns]"))
    # Named by a session, or a weekday: the first or last one of each period that has one.
    begin, end = after[0] - np.timedelta64(40, "D"), after[-1] + np.timedelta64(40 * (count + 2), "D")
    days = sessions_between(bars, begin, end)
    if bars.naming.endswith("_weekday"):
        days = _weekdays_between(grid.WEEKDAYS, begin, end)
    number = period_number(bars, days)
    changes = np.flatnonzero(np.diff(number))
    names = days[changes] if bars.naming.startswith("last") else days[changes + 1]
    place = period_number(bars, names).searchsorted(period_number(bars, after), side="right")
    if not len(names) or place[-1] + count > len(names):
        _refuse(bars, after[-1], count)
    return np.asarray(names[place[:, None] + np.arange(count)])


def _following_weeks(bars: Timing, after: Times, count: int) -> Times:
    """Weeks that are named by one weekday: those in which there is a session, as far as the calendar knows."""
    week = np.timedelta64(_WEEK, "ns")
    if bars.calendar in (None, "24/7", "24/5") or after[-1] + (count + 8) * week > _knows(bars)[1]:
        return np.asarray(after[:, None] + np.arange(1, count + 1) * week)
    ahead = after[:, None] + np.arange(1, count + 9) * week
    first = period_start(bars, period_number(bars, ahead)) if bars.naming == "fixed" else ahead
    if bars.naming == "after":
        first = ahead - np.timedelta64(6 * grid.DAY, "ns")
    sessions = sessions_between(bars, after[0] - week, ahead[-1, -1] + week)
    held = sessions.searchsorted(first) < sessions.searchsorted(first + week)
    order = np.argsort(~held, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(ahead, order, axis=1)


def period_number(bars: Timing, days: Times) -> NDArray[np.int64]:
    """(days,) a number that is the same for days of one week or month, and grows by 1 from one to the next."""
    if bars.interval == "1mo":
        return days.astype("datetime64[M]").astype(np.int64)
    return (days.astype("datetime64[D]").astype(np.int64) + 3 - week_start(bars)) // 7


def period_start(bars: Timing, number: NDArray[np.int64]) -> Times:
    """(periods,) first calendar day of weeks or months given by their numbers."""
    if bars.interval == "1mo":
        return number.astype("datetime64[M]").astype("datetime64[ns]")
    return (number * 7 - 3 + week_start(bars)).astype("datetime64[D]").astype("datetime64[ns]")


def week_start(bars: Timing) -> int:
    """The weekday on which a market's week begins, Monday is 0: the first open one after a closed one."""
    mask = bars.weekmask if bars.calendar is None else calendars.weekmask_of(bars.calendar)
    if "0" not in mask or "1" not in mask:
        return 0
    return next(day for day in range(7) if mask[day] == "1" and mask[day - 1] == "0")


def sessions_between(bars: Timing, first: Any, last: Any) -> Times:
    """(days,) sessions from one day to another, both included; none outside of what the calendar knows."""
    if bars.calendar is not None:
        return calendars.sessions(bars.calendar, str(first)[:10], str(last)[:10]).to_numpy()
    return _weekdays_between(bars.weekmask, first, last)


def _weekdays_between(mask: str, first: Any, last: Any) -> Times:
    days = np.arange(first.astype("datetime64[D]"), last.astype("datetime64[D]") + 1)
    return days[np.is_busday(days, weekmask=mask)].astype("datetime64[ns]")


def expected(bars: Timing, first: Any, last: Any) -> Times:
    """(bars,) those to be expected from one time to another, both included."""
    if bars.interval == "1d":
        return sessions_between(bars, first, last)
    if not bars.intraday:
        return np.empty(0, "datetime64[ns]")
    if bars.calendar == "24/7":
        return np.arange(first, last + np.timedelta64(1, "ns"), np.timedelta64(bars.step, "ns"))
    times = _grid(bars, grid.year_of(first), grid.year_of(last))
    return times[times.searchsorted(first) : times.searchsorted(last, side="right")]


def last(bars: Timing, until: Any, count: int) -> Times:
    """(count,) the times of the last bars that began by a moment, ascending; fewer where the calendar ends."""
    if bars.interval in ("1wk", "1mo"):
        newest = period_start(bars, period_number(bars, np.asarray([until], "datetime64[ns]")))
        starts = period_number(bars, newest) - np.arange(count)[::-1]
        return period_start(bars, starts)
    if bars.intraday and bars.calendar == "24/7":  # on the clock, as nothing says otherwise
        until = until - np.timedelta64(int(until.astype("datetime64[ns]").astype(np.int64)) % bars.step, "ns")
    days = int(400 * count / bars_per_year(bars)) + 15
    first = max(until - np.timedelta64(days, "D"), _knows(bars)[0])
    return expected(bars, first, until)[-count:]


def session_days(bars: Timing, times: Times) -> Times:
    """(bars,) the session that each bar lies in; outside of all, that of its local date or the next one."""
    if not bars.intraday:
        return times
    begin = times - np.timedelta64(bars.step, "ns") if bars.hours.end else times
    if bars.calendar == "24/7":
        return begin.astype("datetime64[D]").astype("datetime64[ns]")
    sessions = grid.sessions_of(bars.calendar, bars.weekmask, bars.zone)
    stamps = begin.astype(np.int64)
    final = len(sessions.days) - 1
    place = np.minimum(sessions.closes.searchsorted(stamps, side="right"), final)
    dates = grid.to_local(begin, bars.zone).astype("datetime64[D]").astype("datetime64[ns]")
    nearest = np.minimum(sessions.days.searchsorted(dates), final)
    return np.asarray(sessions.days[np.where(sessions.opens[place] <= stamps, place, nearest)])


def session_hours(bars: Timing, times: Times) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where intraday bars stand in their session.

    Returns:
        (bars,) hours since it opened, and the share of it that has passed; without sessions, of the local day.
    """
    stamps = times.astype(np.int64)
    if bars.calendar == "24/7":
        since = stamps % grid.DAY
        return since / (60 * grid.MINUTE), since / grid.DAY
    sessions = grid.sessions_of(bars.calendar, bars.weekmask, bars.zone)
    place = sessions.days.searchsorted(session_days(bars, times))
    since = stamps - sessions.opens[place]
    return since / (60 * grid.MINUTE), since / (sessions.closes[place] - sessions.opens[place])


def known(bars: Timing, times: Times) -> Times:
    """(bars,) the moment, in UTC, at which each bar is complete; NaT where the calendar does not tell."""
    sessions = grid.sessions_of(bars.calendar, bars.weekmask, bars.zone)
    if bars.intraday:
        return _known_intraday(bars, times, sessions)
    closes = sessions.closes.view("datetime64[ns]")
    never = np.datetime64("NaT", "ns")
    if bars.interval == "1d":
        place = np.minimum(sessions.days.searchsorted(times), len(closes) - 1)
        return np.where(sessions.days[place] == times, closes[place], never)
    # The last session of the period that the date lies in; of a date that may begin the period, of the whole one.
    if bars.interval == "1wk" and bars.naming in ONE_WEEKDAY:
        after = times + np.timedelta64(_WEEK, "ns")
    else:
        after = period_start(bars, period_number(bars, times) + 1)
        if bars.naming == "fixed":
            month = times.astype("datetime64[M]")
            after = np.maximum(
                after, (month + 1).astype("datetime64[ns]") + (times - month.astype("datetime64[ns]"))
            )
    place = sessions.days.searchsorted(after) - 1
    inside = (place >= 0) & (sessions.days[np.maximum(place, 0)] >= times - np.timedelta64(40, "D"))
    return np.where(inside, closes[np.maximum(place, 0)], never)


def _known_intraday(bars: Timing, times: Times, sessions: grid.Sessions) -> Times:
    if bars.hours.end:
        return times
    end = times.astype(np.int64) + bars.step
    # A bar that the close cuts short is known at the close.
    place = np.minimum(
        sessions.closes.searchsorted(times.astype(np.int64), side="right"), len(sessions.closes) - 1
    )
    inside = sessions.opens[place] <= times.astype(np.int64)
    return np.where(inside, np.minimum(end, sessions.closes[place]), end).view("datetime64[ns]")


def bars_per_year(bars: Timing) -> int:
    """Bars in a year."""
    if bars.interval == "1wk":
        return 52
    if bars.interval == "1mo":
        return 12
    if bars.calendar is None:
        days = 252 if bars.weekmask == grid.WEEKDAYS else round(365.25 * bars.weekmask.count("1") / 7)
    else:
        days = _sessions_per_year(bars.calendar)
    if not bars.intraday:
        return days
    if bars.calendar == "24/7":
        return days * grid.DAY // bars.step
    year = grid.year_of(min(np.datetime64("2019-12-31", "ns"), _knows(bars)[1]))
    year = max(year, grid.year_of(_knows(bars)[0]))
    begin, end = np.datetime64(f"{year}-01-01", "ns"), np.datetime64(f"{year}-12-31", "ns")
    count = len(_grid(bars, year, year)) / max(len(sessions_between(bars, begin, end)), 1)
    return max(round(days * count), 1)


def ceilings(daily: Mapping[str, float], *, bars_per_year: float) -> dict[str, float]:
    """What of daily bars is suspected of a leak, for other bars.

    The same information ratio a year takes less skill the more bars there are: IC x sqrt(bars). Weeks are allowed as
    much more than days, months as much as weeks. Bars within a day are allowed what days are, for they bounce between
    bid and ask, which can be forecast though not traded (Roll 1984, https://doi.org/10.1111/j.1540-6261.1984.tb03897.x).

    Args:
        daily: of `r2_oos`, a square; `direction`, above one half; `ic`.
        bars_per_year: of the others.

    Source: Grinold (1989), The fundamental law of active management, Journal of Portfolio Management 15.
    """
    more = max(1.0, 252 / max(bars_per_year, 52)) ** 0.5
    rules = {"r2_oos": lambda most: most * more**2, "direction": lambda most: 0.5 + (most - 0.5) * more}
    return {name: rules.get(name, lambda most: most * more)(most) for name, most in daily.items()}


@functools.cache
def _sessions_per_year(calendar: str) -> int:
    begin, end = calendars.reach(calendar)
    first, last = _COUNTED
    if not begin.year < first <= last < end.year:  # a calendar with bounds of its own: its whole years
        first, last = begin.year + (begin.day_of_year > 5), end.year - (end.day_of_year < 360)
    found = calendars.sessions(calendar, f"{first}-01-01", f"{last}-12-31")
    return round(len(found) / (last - first + 1))


def _knows(bars: Timing) -> tuple[Any, Any]:
    if bars.calendar is None:
        return np.datetime64("1970-01-01", "ns"), np.datetime64("2099-12-31", "ns")
    begin, end = calendars.reach(bars.calendar)
    return begin.to_datetime64(), end.to_datetime64()


def _grid(bars: Timing, first: int, last: int) -> Times:
    return grid.bars_of_years(bars.calendar, bars.weekmask, bars.zone, bars.step, bars.hours, first, last)


def _refuse(bars: Timing, after: Any, count: int) -> NoReturn:
    begin, end = _knows(bars)
    raise UserError(
        f"calendar {bars.calendar or 'none'} knows {str(begin)[:10]} to {str(end)[:10]}: too little for {count} "
        f"{bars.label}s after {bars.text(after)}; a newer exchange_calendars may know more"
    )
