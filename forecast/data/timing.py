"""Bars in time: what a row of a bar table spans, which one comes next, when each is known, how many make a year."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from forecast.data import calendars, grid
from forecast.data.bars import MINUTES, Interval
from forecast.data.grid import Hours, Times
from forecast.errors import UserError

Naming = Literal["fixed", "before", "after", "first", "last", "end", "first_weekday", "last_weekday"]
ONE_WEEKDAY = ("fixed", "before", "after")  # ways to name weeks by the same one of each
_LABELS = {"1m": "minute", "1h": "hour", "1d": "day", "1wk": "week", "1mo": "month"}
_WEEK = 7 * grid.DAY
# Sessions are counted over these years, as far as a calendar knows them.
_COUNTED = (2010, 2019)


class Bars:
    """What a row of a bar table is, when it is known, and which one comes next.

    The index of a bar table holds when a bar begins: of daily bars the date, at midnight; of intraday bars the moment,
    in UTC without a zone; of weeks and months the date that names them.

    Args:
        interval: what a bar spans; 1d = one session.
        calendar: exchange_calendars' name of the sessions; None = the weekdays of `weekmask`.
        weekmask: weekdays with sessions, Monday first, where there is no calendar.
        zone: IANA name of the market's clock; None = the calendar's.
        hours: where in a session intraday bars begin; None = from the open.
        naming: date that names a week or a month: `fixed` the same day of each, which lies in it, `before` or `after`
            the first or the last of a week's seven days, `first` or `last` its first or last session, `end` the
            month's last day, `first_weekday` or `last_weekday` those of Monday to Friday, holidays or not.
    """

    def __init__(
        self,
        *,
        interval: Interval = "1d",
        calendar: str | None = None,
        weekmask: str = "1111100",
        zone: str | None = None,
        hours: Hours | None = None,
        naming: Naming = "fixed",
    ) -> None:
        self.interval = interval
        self.calendar = calendar
        self.weekmask = weekmask
        self._zone = zone
        self._hours = hours
        self.naming = naming
        self._planned = False

    @functools.cached_property
    def planned(self) -> Bars:
        """The same bars as they were to be expected the day before: of days closed for once, nobody knew."""
        other = copy(self)
        other._planned = True
        return other

    @property
    def intraday(self) -> bool:
        """Whether a bar is shorter than a session."""
        return self.interval in MINUTES

    @property
    def step(self) -> int:
        """Nanoseconds that an intraday bar spans."""
        return MINUTES[self.interval] * 60 * 10**9

    @property
    def label(self) -> str:
        """What a bar is called: "day", "week", "hour", "5-minute bar"."""
        return _LABELS.get(self.interval) or f"{MINUTES[self.interval]}-minute bar"

    @property
    def zone(self) -> str:
        """IANA name of the market's clock."""
        if self._zone is not None:
            return self._zone
        if self.calendar is None:
            return "UTC"
        currencies = self.calendar == "24/5" and self.intraday
        return grid.CURRENCY_ZONE if currencies else calendars.zone_of(self.calendar)

    @property
    def hours(self) -> Hours:
        """Where in a session intraday bars begin."""
        return self._hours or Hours()

    @property
    def per_year(self) -> int:
        """Bars in a year, for rates that are given by the year."""
        if self.interval == "1wk":
            return 52
        if self.interval == "1mo":
            return 12
        if self.calendar is None:
            days = 252 if self.weekmask == grid.WEEKDAYS else round(365.25 * self.weekmask.count("1") / 7)
        else:
            days = _sessions_per_year(self.calendar)
        if not self.intraday:
            return days
        if self.calendar == "24/7":
            return days * grid.DAY // self.step
        year = grid.year_of(min(np.datetime64("2019-12-31", "ns"), self._knows[1]))
        year = max(year, grid.year_of(self._knows[0]))
        begin, end = np.datetime64(f"{year}-01-01", "ns"), np.datetime64(f"{year}-12-31", "ns")
        count = len(self._grid(year, year)) / max(len(self._sessions_between(begin, end)), 1)
        return max(round(days * count), 1)

    def next_times(self, after: NDArray[np.datetime64], count: int) -> NDArray[np.datetime64]:
        """The times of the bars that follow.

        Returns:
            (rows, count) datetime64[ns].

        Raises:
            UserError: the calendar does not reach that far.
        """
        times = after.astype("datetime64[ns]", copy=False)
        if not len(times):
            return np.empty((0, count), times.dtype)
        if (times[1:] > times[:-1]).all():
            return self._following(times, count)
        # Thousands of tickers share a few last bars.
        distinct, which = np.unique(times, return_inverse=True)
        return np.asarray(self._following(distinct, count)[which])

    def _following(self, after: Times, count: int) -> Times:
        """(times, count) the bars that follow each of some ascending, distinct times."""
        if self.intraday:
            return self._following_intraday(after, count)
        if self.interval == "1d":
            return self._following_days(after, count)
        return self._following_periods(after, count)

    def _following_days(self, after: Times, count: int) -> Times:
        days = after.astype("datetime64[D]")
        if self.calendar is None:
            ahead = np.busday_offset(
                days[:, None], np.arange(1, count + 1), roll="backward", weekmask=self.weekmask
            )
            return ahead.astype("datetime64[ns]")
        known = calendars.planned_sessions if self._planned else calendars.known_sessions
        return self._next_of(known(self.calendar)[2].to_numpy(), after, count)

    def _next_of(self, times: Times, after: Times, count: int) -> Times:
        """Of all times that the calendar knows, those that follow each of some; refused where it knows too few."""
        place = times.searchsorted(after, side="right")
        too_far, too_early = place[-1] + count > len(times), after[0] < self._knows[0]
        if too_far or too_early:
            self._refuse(after[-1] if too_far else after[0], count)
        return np.asarray(times[place[:, None] + np.arange(count)])

    def _following_intraday(self, after: Times, count: int) -> Times:
        if self.calendar == "24/7":
            return after[:, None] + np.arange(1, count + 1) * np.timedelta64(self.step, "ns")
        year, last = grid.year_of(after[0]), grid.year_of(after[-1])
        times, more = self._grid(year, last + 1), last + 1
        while (
            len(times)
            and times.searchsorted(after[-1], side="right") + count > len(times)
            and more < last + 20
        ):
            more += 4
            times = self._grid(year, more)
        return self._next_of(times, after, count)

    def _following_periods(self, after: Times, count: int) -> Times:
        """Weeks and months by the date that names them."""
        week = self.interval == "1wk"
        if week and self.naming in ONE_WEEKDAY:
            return self._following_weeks(after, count)
        months = after.astype("datetime64[M]")
        if not week and self.naming in ("fixed", "end"):
            ahead = months[:, None] + np.arange(1, count + 1)
            if self.naming == "end":
                return ((ahead + 1).astype("datetime64[D]") - 1).astype("datetime64[ns]")
            day = (after.astype("datetime64[D]") - months.astype("datetime64[D]"))[:, None]
            length = (ahead + 1).astype("datetime64[D]") - ahead.astype("datetime64[D]")
            found = ahead.astype("datetime64[D]") + np.minimum(day, length - 1)
            return np.asarray(found.astype("datetime64[ns]"))
        # Named by a session, or a weekday: the first or last one of each period that has one.
        begin, end = after[0] - np.timedelta64(40, "D"), after[-1] + np.timedelta64(40 * (count + 2), "D")
        days = self._sessions_between(begin, end)
        if self.naming.endswith("_weekday"):
            days = _weekdays_between(grid.WEEKDAYS, begin, end)
        number = self.period_number(days)
        changes = np.flatnonzero(np.diff(number))
        names = days[changes] if self.naming.startswith("last") else days[changes + 1]
        place = self.period_number(names).searchsorted(self.period_number(after), side="right")
        if not len(names) or place[-1] + count > len(names):
            self._refuse(after[-1], count)
        return np.asarray(names[place[:, None] + np.arange(count)])

    def _following_weeks(self, after: Times, count: int) -> Times:
        """Weeks that are named by one weekday: those in which there is a session, as far as the calendar knows."""
        week = np.timedelta64(_WEEK, "ns")
        if self.calendar in (None, "24/7", "24/5") or after[-1] + (count + 8) * week > self._knows[1]:
            return np.asarray(after[:, None] + np.arange(1, count + 1) * week)
        ahead = after[:, None] + np.arange(1, count + 9) * week
        first = self.period_start(self.period_number(ahead)) if self.naming == "fixed" else ahead
        if self.naming == "after":
            first = ahead - np.timedelta64(6 * grid.DAY, "ns")
        sessions = self._sessions_between(after[0] - week, ahead[-1, -1] + week)
        held = sessions.searchsorted(first) < sessions.searchsorted(first + week)
        order = np.argsort(~held, axis=1, kind="stable")[:, :count]
        return np.take_along_axis(ahead, order, axis=1)

    def period_number(self, days: Times) -> NDArray[np.int64]:
        """(days,) a number that is the same for days of one week or month, and grows by 1 from one to the next."""
        if self.interval == "1mo":
            return days.astype("datetime64[M]").astype(np.int64)
        return (days.astype("datetime64[D]").astype(np.int64) + 3 - self._week_start) // 7

    def period_start(self, number: NDArray[np.int64]) -> Times:
        """(periods,) first calendar day of weeks or months given by their numbers."""
        if self.interval == "1mo":
            return number.astype("datetime64[M]").astype("datetime64[ns]")
        return (number * 7 - 3 + self._week_start).astype("datetime64[D]").astype("datetime64[ns]")

    @property
    def _week_start(self) -> int:
        """The weekday on which a market's week begins, Monday is 0: the first open one after a closed one."""
        mask = self.weekmask if self.calendar is None else calendars.weekmask_of(self.calendar)
        if "0" not in mask or "1" not in mask:
            return 0
        return next(day for day in range(7) if mask[day] == "1" and mask[day - 1] == "0")

    def _sessions_between(self, first: Any, last: Any) -> Times:
        """(days,) sessions from one day to another, both included; none outside of what the calendar knows."""
        if self.calendar is not None:
            return calendars.sessions(self.calendar, str(first)[:10], str(last)[:10]).to_numpy()
        return _weekdays_between(self.weekmask, first, last)

    def times_between(self, first: Any, last: Any) -> Times:
        """(bars,) the times of all bars that are to be expected from one time to another, both included.

        Of weeks and months nothing is expected. Outside of what the calendar knows there is none.
        """
        if self.interval == "1d":
            return self._sessions_between(first, last)
        if not self.intraday:
            return np.empty(0, "datetime64[ns]")
        if self.calendar == "24/7":
            return np.arange(first, last + np.timedelta64(1, "ns"), np.timedelta64(self.step, "ns"))
        times = self._grid(grid.year_of(first), grid.year_of(last))
        return times[times.searchsorted(first) : times.searchsorted(last, side="right")]

    def last_times(self, until: Any, count: int) -> Times:
        """(count,) the times of the last bars that began by a moment, ascending; as far as the calendar knows them."""
        if self.interval in ("1wk", "1mo"):
            newest = self.period_start(self.period_number(np.asarray([until], "datetime64[ns]")))
            starts = self.period_number(newest) - np.arange(count)[::-1]
            return self.period_start(starts)
        if self.intraday and self.calendar == "24/7":  # on the clock, as nothing says otherwise
            until = until - np.timedelta64(
                int(until.astype("datetime64[ns]").astype(np.int64)) % self.step, "ns"
            )
        days = int(400 * count / self.per_year) + 15
        first = max(until - np.timedelta64(days, "D"), self._knows[0])
        return self.times_between(first, until)[-count:]

    def sessions_of(self, times: Times) -> Times:
        """(bars,) the day of the session that each lies in; outside of all, that of its local date or the next one."""
        if not self.intraday:
            return times
        begin = times - np.timedelta64(self.step, "ns") if self.hours.end else times
        if self.calendar == "24/7":
            return begin.astype("datetime64[D]").astype("datetime64[ns]")
        sessions = self._sessions
        stamps = begin.astype(np.int64)
        final = len(sessions.days) - 1
        place = np.minimum(sessions.closes.searchsorted(stamps, side="right"), final)
        dates = grid.to_local(begin, self.zone).astype("datetime64[D]").astype("datetime64[ns]")
        nearest = np.minimum(sessions.days.searchsorted(dates), final)
        return np.asarray(sessions.days[np.where(sessions.opens[place] <= stamps, place, nearest)])

    def session_begins(self, times: NDArray[np.datetime64]) -> NDArray[np.bool_]:
        """(bars,) whether each is the first of its session; of times in ascending order."""
        days = self.sessions_of(times)
        begins = np.ones(len(times), bool)
        begins[1:] = days[1:] != days[:-1]
        return begins

    def crossing(self, times: NDArray[np.datetime64], count: int) -> str | None:
        """Why bars and the `count` that follow are not of one session, in words; None: they are."""
        both = np.concatenate((times, self.next_times(times[-1:], count)[0]))
        if len(np.unique(self.sessions_of(both))) == 1:
            return None
        return (
            f"the {len(times)} {self.label}s up to {self.text(times[-1])} and those to be forecast are not of one "
            "session, as data.within_session=true wants it"
        )

    def session_hours(self, times: Times) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where intraday bars stand in their session.

        Returns:
            (bars,) hours since it opened, and the share of it that has passed; without sessions, of the local day.
        """
        stamps = times.astype(np.int64)
        if self.calendar == "24/7":
            since = stamps % grid.DAY
            return since / (60 * grid.MINUTE), since / grid.DAY
        sessions = self._sessions
        place = sessions.days.searchsorted(self.sessions_of(times))
        since = stamps - sessions.opens[place]
        return since / (60 * grid.MINUTE), since / (sessions.closes[place] - sessions.opens[place])

    def known_times(self, times: Times) -> Times:
        """(bars,) the moment, in UTC, at which each of ascending bars is complete; NaT where no calendar tells."""
        sessions = self._sessions
        if self.intraday:
            return self._known_intraday(times, sessions)
        closes = sessions.closes.view("datetime64[ns]")
        never = np.datetime64("NaT", "ns")
        if self.interval == "1d":
            place = np.minimum(sessions.days.searchsorted(times), len(closes) - 1)
            return np.where(sessions.days[place] == times, closes[place], never)
        # The last session of the period that the date lies in; of a date that may begin the period, of the whole one.
        if self.interval == "1wk" and self.naming in ONE_WEEKDAY:
            after = times + np.timedelta64(_WEEK, "ns")
        else:
            after = self.period_start(self.period_number(times) + 1)
            if self.naming == "fixed":
                month = times.astype("datetime64[M]")
                after = np.maximum(
                    after, (month + 1).astype("datetime64[ns]") + (times - month.astype("datetime64[ns]"))
                )
        place = sessions.days.searchsorted(after) - 1
        inside = (place >= 0) & (sessions.days[np.maximum(place, 0)] >= times - np.timedelta64(40, "D"))
        return np.where(inside, closes[np.maximum(place, 0)], never)

    def _known_intraday(self, times: Times, sessions: grid.Sessions) -> Times:
        if self.hours.end:
            return times
        end = times.astype(np.int64) + self.step
        # A bar that the close cuts short is known at the close.
        place = np.minimum(
            sessions.closes.searchsorted(times.astype(np.int64), side="right"), len(sessions.closes) - 1
        )
        inside = sessions.opens[place] <= times.astype(np.int64)
        return np.where(inside, np.minimum(end, sessions.closes[place]), end).view("datetime64[ns]")

    @property
    def _knows(self) -> tuple[Any, Any]:
        if self.calendar is None:
            return np.datetime64("1970-01-01", "ns"), np.datetime64("2099-12-31", "ns")
        return calendars.reach(self.calendar)

    @property
    def _sessions(self) -> grid.Sessions:
        return grid.sessions_of(self.calendar, self.weekmask, self.zone, planned=self._planned)

    def _grid(self, first: int, last: int) -> Times:
        return grid.bars_of_years(
            self.calendar, self.weekmask, self.zone, self.step, self.hours, first, last, self._planned
        )

    def _refuse(self, after: Any, count: int) -> NoReturn:
        begin, end = self._knows
        raise UserError(
            f"calendar {self.calendar or 'none'} knows {str(begin)[:10]} to {str(end)[:10]}: too little for {count} "
            f"{self.label}s after {self.text(after)}; a newer exchange_calendars may know more"
        )

    def unlikely(self, times: Times) -> list[str]:
        """Which of some bars may never come although the calendar has them, in sentences: 24/5 knows no holidays."""
        if self.calendar != "24/5":
            return []
        days = np.unique(
            (grid.to_local(times, self.zone) if self.intraday else times).astype("datetime64[D]")
        )
        feasts = [str(day) for day in days if str(day)[5:] in ("12-25", "01-01")]
        return [
            f"24/5 knows no holidays: on {day} most dealers in currencies quote nothing" for day in feasts
        ]

    def text(self, time: Any) -> str:
        """A time as it is shown: YYYY-MM-DD; of intraday bars with the time of day in UTC, YYYY-MM-DDTHH:MMZ."""
        moment = np.asarray(time, "datetime64[ns]")
        return f"{str(moment)[:16]}Z" if self.intraday else str(moment)[:10]

    @property
    def key(self) -> str:
        """The same for bars of the same market and interval."""
        return str(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The constructor's arguments as plain JSON values."""
        return {
            "interval": self.interval,
            "calendar": self.calendar,
            "weekmask": self.weekmask,
            "zone": self.zone,
            "hours": self.hours.to_json(),
            "naming": self.naming,
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Bars:
        """What `to_json` wrote."""
        return cls(**{**facts, "hours": Hours.from_json(facts["hours"])})


def next_times(bars: Sequence[Bars], after: NDArray[np.datetime64], count: int) -> NDArray[np.datetime64]:
    """The times of the bars that follow bars of several markets.

    Returns:
        (rows, count) datetime64[ns].

    Raises:
        UserError: a calendar does not reach that far.
    """
    groups: dict[str, list[int]] = {}
    for place, own in enumerate(bars):
        groups.setdefault(own.key, []).append(place)
    times = np.empty((len(bars), count), "datetime64[ns]")
    for places in groups.values():
        times[places] = bars[places[0]].next_times(after[places], count)
    return times


@functools.cache
def _sessions_per_year(calendar: str) -> int:
    begin, end, _ = calendars.known_sessions(calendar)
    first, last = _COUNTED
    if not begin.year < first <= last < end.year:  # a calendar with bounds of its own: its whole years
        first, last = begin.year + (begin.day_of_year > 5), end.year - (end.day_of_year < 360)
    found = calendars.sessions(calendar, f"{first}-01-01", f"{last}-12-31")
    return round(len(found) / (last - first + 1))


def _weekdays_between(mask: str, first: Any, last: Any) -> Times:
    days = np.arange(first.astype("datetime64[D]"), last.astype("datetime64[D]") + 1)
    return days[np.is_busday(days, weekmask=mask)].astype("datetime64[ns]")
