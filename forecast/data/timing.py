"""Bars in time: what a row of a bar table spans, which one comes next, and when each is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forecast.data.grid import Hours

Interval = Literal["1m", "5m", "15m", "30m", "1h", "1d", "1wk", "1mo"]
MINUTES = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60}  # of an intraday bar
INTERVALS: tuple[Interval, ...] = get_args(Interval)  # ascending
Naming = Literal["fixed", "before", "after", "first", "last", "end", "first_weekday", "last_weekday"]
_LABELS = {"1m": "minute", "1h": "hour", "1d": "day", "1wk": "week", "1mo": "month"}


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
        from forecast.data import calendars, grid

        if self._zone is not None:
            return self._zone
        if self.calendar is None:
            return "UTC"
        currencies = self.calendar == "24/5" and self.intraday
        return grid.CURRENCY_ZONE if currencies else calendars.zone_of(self.calendar)

    @property
    def hours(self) -> Hours:
        """Where in a session intraday bars begin."""
        from forecast.data.grid import Hours

        return self._hours or Hours()

    @property
    def per_year(self) -> int:
        """Bars in a year, for rates that are given by the year."""
        from forecast.data import periods

        return periods.bars_per_year(self)

    def next_times(self, after: NDArray[np.datetime64], count: int) -> NDArray[np.datetime64]:
        """The times of the bars that follow.

        Returns:
            (rows, count) datetime64[ns].

        Raises:
            UserError: the calendar does not reach that far.
        """
        import numpy as np

        from forecast.data import periods

        times = after.astype("datetime64[ns]", copy=False)
        if (times[1:] > times[:-1]).all():
            return periods.following(self, times, count) if len(times) else np.empty((0, count), times.dtype)
        # Thousands of tickers share a few last bars.
        distinct, which = np.unique(times, return_inverse=True)
        return np.asarray(periods.following(self, distinct, count)[which])

    def times_between(self, first: np.datetime64, last: np.datetime64) -> NDArray[np.datetime64]:
        """(bars,) the times of all bars that are to be expected from one time to another, both included.

        Of weeks and months nothing is expected. Outside of what the calendar knows there is none.
        """
        from forecast.data import periods

        return periods.expected(self, first, last)

    def known_times(self, times: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
        """When bars are known: the moment, in UTC, at which each is complete.

        Args:
            times: (bars,) of bars, ascending.

        Returns:
            (bars,) datetime64[ns]; NaT where the calendar does not tell.
        """
        from forecast.data import periods

        return periods.known(self, times)

    def sessions_of(self, times: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
        """(bars,) the day of the session that each bar lies in."""
        from forecast.data import periods

        return periods.session_days(self, times)

    def crossing(self, times: NDArray[np.datetime64], count: int) -> str | None:
        """Why bars and the `count` that follow are not of one session, in words; None: they are."""
        import numpy as np

        both = np.concatenate((times, self.next_times(times[-1:], count)[0]))
        if len(np.unique(self.sessions_of(both))) == 1:
            return None
        return (
            f"the {len(times)} {self.label}s up to {self.text(times[-1])} and those to be forecast are not of one "
            "session, as data.within_session=true wants it"
        )

    def session_begins(self, times: NDArray[np.datetime64]) -> NDArray[np.bool_]:
        """(bars,) whether each is the first of its session; of times in ascending order."""
        import numpy as np

        days = self.sessions_of(times)
        begins = np.ones(len(times), bool)
        begins[1:] = days[1:] != days[:-1]
        return begins

    def last_times(self, until: np.datetime64, count: int) -> NDArray[np.datetime64]:
        """(count,) the times of the last bars that began by a moment, ascending; as far as the calendar knows them."""
        from forecast.data import periods

        return periods.last(self, until, count)

    def text(self, time: Any) -> str:
        """A time as it is shown: YYYY-MM-DD; of intraday bars with the time of day in UTC, YYYY-MM-DDTHH:MMZ."""
        import numpy as np

        moment = np.asarray(time, "datetime64[ns]")
        return f"{str(moment)[:16]}Z" if self.intraday else str(moment)[:10]

    @property
    def key(self) -> str:
        """The same for bars of the same market and interval."""
        return str(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """All that makes it, as plain JSON values."""
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
        from forecast.data.grid import Hours

        return cls(**{**facts, "hours": Hours.from_json(facts["hours"])})


def next_times(bars: Sequence[Bars], after: NDArray[np.datetime64], count: int) -> NDArray[np.datetime64]:
    """The times of the bars that follow bars of several markets.

    Returns:
        (rows, count) datetime64[ns].

    Raises:
        UserError: a calendar does not reach that far.
    """
    import numpy as np

    groups: dict[str, list[int]] = {}
    for place, own in enumerate(bars):
        groups.setdefault(own.key, []).append(place)
    times = np.empty((len(bars), count), "datetime64[ns]")
    for places in groups.values():
        times[places] = bars[places[0]].next_times(after[places], count)
    return times
