"""What is known of the bars being forecast before they come: their place in the day, the week, the month, the year."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from forecast.data import grid
from forecast.data.bars import MINUTES
from forecast.data.calendars import check_calendar, planned_sessions
from forecast.data.features.base import Features, Relation, calendar_columns, for_market, warm_up
from forecast.data.timing import Bars
from forecast.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

_KNOWN = ("WeekdaySin", "WeekdayCos", "MonthSin", "MonthCos", "TurnOfMonth")
_OF_MONTHS = ("MonthSin", "MonthCos")
_OF_HOURS = (
    "Hour1Sin", "Hour1Cos", "Hour2Sin", "Hour2Cos", "WeekdaySin", "WeekdayCos", "SinceOpen", "Session", "Gap",
)  # fmt: skip
# Intraday bars of a horizon that are shown: the time of day of later ones follows from that of the first.
_MOST_STEPS = 24
_NAME = re.compile(r"Next(?P<bar>\d*)WeekdaySin")


class WithCalendar:
    """A strategy's features, and the calendar's view of the bars after each.

    They are looked up in the calendar, never read from later bars, as it stood before: a day on which the exchange was
    closed for once still counts as its next session (see forecast.data.calendars.planned_sessions).

    **Days**: the session after the last bar of a window is the first day that is forecast. Columns of the session after
    a bar are called NextWeekdaySin and so on, those of the second one Next2WeekdaySin. Weekday (a cycle of seven)
    and month (of twelve) are sine and cosine of their place in the cycle, so that December lies beside January.
    NextTurnOfMonth is 1 on the last session of a month and the first three of the next, else 0 (Lakonishok and
    Smidt 1988, Are seasonal anomalies real?, https://doi.org/10.1093/rfs/1.4.403). **Weeks and months**: the month
    of the next one alone.

    **Intraday bars**: for each bar that is forecast (`Next...`, `Next2...`, 24 at most) the time of day on the
    market's clock as sines and cosines of one and two cycles a day, the weekday, the hours since the session opened,
    the share of the session that has passed, and the time from the bar before, ln(time / interval): 0 within a session,
    2.9 over a night of 17.5 hours between hourly bars. `Gap` is that time for the last bar itself, as the bars have it.

    Args:
        features: the strategy's own.
        calendar: a name of exchange_calendars (XNYS, XLON, 24/7, ...); None or `auto`: that of the market, see
            `for_market`.
        interval: what a bar spans.
        ahead: which bars after a bar, 1 = the next one; ascending.

    Raises:
        UserError: exchange_calendars has no such calendar.
    """

    def __init__(
        self, *, features: Features, calendar: str | None, interval: str = "1d", ahead: Sequence[int] = (1,)
    ) -> None:
        named = None if calendar in (None, "auto", "none") else str(calendar)
        if named is not None:
            check_calendar(named, key="data.calendar")
        self.features = features
        self.calendar = named
        self.interval = interval
        self.ahead = tuple(ahead)
        self.market: Bars | None = None
        # What the last times came to, shared by all copies: tickers of one market mostly stand on the same times.
        self._last: dict[str, tuple[NDArray[np.datetime64], dict[str, NDArray[np.float64]]]] = {}

    @property
    def columns(self) -> Mapping[str, Relation]:
        """See Features.columns."""
        return {**self.features.columns, **dict.fromkeys(self._added, "free")}

    @property
    def calendar_columns(self) -> frozenset[str]:
        """See forecast.data.features.calendar_columns."""
        return calendar_columns(self.features) | frozenset(self._added)

    @property
    def _added(self) -> tuple[str, ...]:
        if self.interval in MINUTES:
            return ("Gap", *(f"{_next(bar)}{name}" for bar in self.ahead[:_MOST_STEPS] for name in _OF_HOURS))
        known = _KNOWN if self.interval == "1d" else _OF_MONTHS
        return tuple(f"{_next(bar)}{name}" for bar in self.ahead for name in known)

    @property
    def warm_up(self) -> int | None:
        """See forecast.data.features.warm_up; the time from the bar before needs one."""
        own = warm_up(self.features)
        return own if own is None or self.interval not in MINUTES else max(own, 1)

    def for_market(self, market: Bars) -> WithCalendar:
        """The same features of bars of a market."""
        other = copy(self)
        other.market = market
        other.features = for_market(self.features, market)
        return other

    def compute(self, bars: pd.DataFrame) -> pd.DataFrame:
        """See Features.compute.

        Raises:
            UserError: a bar lies outside of what the calendar knows.
        """
        own = self.features.compute(bars)
        times = bars.index.to_numpy().astype("datetime64[ns]")
        if self.interval in MINUTES:
            return own.assign(**self._of_hours(times))
        if self.interval != "1d":
            return own.assign(**self._of_months(times))
        calendar = self.calendar or (self.market.calendar if self.market is not None else None)
        days, known = _known(calendar or "24/5")
        dates = times.astype("datetime64[D]")
        place = days.searchsorted(dates, side="right")
        unknown = (dates < days[0]) | (place + self.ahead[-1] > len(days))
        if unknown.any():
            raise UserError(
                f"data.calendar={calendar}: knows no {self._far()} after {dates[unknown.argmax()]}; "
                "cut the bars with data.start and data.end, or use data.calendar_features=false"
            )
        return own.assign(
            **{
                f"{_next(bar)}{name}": values[place + bar - 1]
                for bar in self.ahead
                for name, values in known.items()
            }
        )

    def _far(self) -> str:
        return "session" if self.ahead[-1] == 1 else f"{self.ahead[-1]} sessions"

    def _bars(self) -> Bars:
        if self.market is not None and self.market.interval == self.interval:
            return self.market
        return Bars(interval=self.interval, calendar=self.calendar)  # type: ignore[arg-type]

    def _of_months(self, times: NDArray[np.datetime64]) -> dict[str, NDArray[np.float64]]:
        following = self._bars().planned.next_times(times, self.ahead[-1])
        months = following.astype("datetime64[M]").astype(int) % 12
        waves = {"MonthSin": _cycle(math.sin, 12), "MonthCos": _cycle(math.cos, 12)}
        return {
            f"{_next(bar)}{name}": wave[months[:, bar - 1]]
            for bar in self.ahead
            for name, wave in waves.items()
        }

    def _of_hours(self, times: NDArray[np.datetime64]) -> dict[str, NDArray[np.float64]]:
        market = self._bars().planned
        last = self._last.get(market.key)
        if last is not None and np.array_equal(last[0], times):
            return last[1]
        # Tickers may stand one after the other: what a first bar follows is not known.
        before = np.concatenate((times[:1], times[:-1]))
        with np.errstate(divide="ignore", invalid="ignore"):
            gap = np.where(times > before, np.log((times - before).astype(np.float64) / market.step), np.nan)
        found = {"Gap": gap}
        distinct: NDArray[np.datetime64] = times
        which: NDArray[np.int64] | slice = slice(None)
        if not (times[1:] > times[:-1]).all():
            distinct, which = np.unique(times, return_inverse=True)
        shown = self.ahead[:_MOST_STEPS]
        following = np.concatenate((distinct[:, None], market.next_times(distinct, shown[-1])), axis=1)
        for bar in shown:
            for name, values in _of_step(market, following[:, bar], following[:, bar - 1]).items():
                found[f"{_next(bar)}{name}"] = values[which]
        self._last.clear()
        self._last[market.key] = (times, found)
        return found


def _of_step(
    market: Bars, times: NDArray[np.datetime64], before: NDArray[np.datetime64]
) -> dict[str, NDArray[np.float64]]:
    """What is known of intraday bars, (bars,), that follow others."""
    local = grid.to_local(times, market.zone).astype(np.int64)
    turn = 2.0 * np.pi * (local % grid.DAY) / grid.DAY
    weekday = 2.0 * np.pi * grid.weekday(local.view("datetime64[ns]")) / 7
    since, share = market.session_hours(times)
    gap = np.log((times - before).astype(np.float64) / market.step)
    waves = (np.sin(turn), np.cos(turn), np.sin(2 * turn), np.cos(2 * turn), np.sin(weekday), np.cos(weekday))
    return dict(zip(_OF_HOURS, (*waves, since, share, gap), strict=True))


def with_calendar(
    features: Features,
    calendar: str | None,
    *,
    show: bool | None = None,
    interval: str = "1d",
    ahead: Sequence[int] = (1,),
) -> Features:
    """What `data.features`, `data.calendar` and `data.calendar_features` together show.

    Args:
        features: the strategy's own.
        calendar: `data.calendar`.
        show: `data.calendar_features`; None: of intraday bars, and where `calendar` is a calendar's name.
        interval: what a bar spans.
        ahead: which bars after a bar, see sessions_ahead.

    Raises:
        UserError: exchange_calendars has no such calendar.
    """
    if show is None:
        show = interval in MINUTES or calendar not in (None, "auto", "none")
    if not show:
        return features
    return WithCalendar(features=features, calendar=calendar, interval=interval, ahead=ahead)


def sessions_ahead(*, lead: int, horizon: int) -> list[int]:
    """The sessions after a bar that a forecast is about: the next one, and that of each step."""
    return sorted({1, *range(lead + 1, lead + horizon + 1)})


def sessions_named(columns: Iterable[str]) -> list[int]:
    """The sessions after a bar that saved columns are about; an earlier version knew only the next one."""
    found = {
        int(match["bar"] or 1) for name in columns if (match := _NAME.fullmatch(name.rpartition(".")[2]))
    }
    return sorted(found) or [1]


def _next(bar: int) -> str:
    """How columns about a bar after a bar begin; 1 = the next one."""
    return f"Next{'' if bar == 1 else bar}"


@cache
def _known(calendar: str) -> tuple[NDArray[np.datetime64], dict[str, NDArray[np.float64]]]:
    """Every planned session of whole months, and what is known of each."""
    _, end, planned = planned_sessions(calendar)
    # Whether a session is its month's last is known of whole months only.
    days = planned.to_numpy().astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    whole = months < (np.datetime64(end, "D") + 1).astype("datetime64[M]")
    days, months = days[whole], months[whole]
    weekday = grid.weekday(days)
    month = months.astype(np.int64) % 12
    begins = np.flatnonzero(np.concatenate(([True], months[1:] != months[:-1])))
    turn = np.zeros(len(days))
    for place in (-1, 0, 1, 2):  # the last of a month, the first three of the next
        at = begins + place
        turn[at[(at >= 0) & (at < len(days))]] = 1.0
    turn[-1:] = 1.0
    sines = {count: _cycle(math.sin, count) for count in (7, 12)}
    cosines = {count: _cycle(math.cos, count) for count in (7, 12)}
    values = (sines[7][weekday], cosines[7][weekday], sines[12][month], cosines[12][month], turn)
    return days, dict(zip(_KNOWN, values, strict=True))


def _cycle(wave: Callable[[float], float], count: int) -> NDArray[np.float64]:
    """A wave at `count` places of one turn."""
    return np.array([wave(2.0 * math.pi * place / count) for place in range(count)])
