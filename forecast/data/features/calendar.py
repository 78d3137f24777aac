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
from forecast.data.bars import MINUTES, Interval
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
        self,
        *,
        features: Features,
        calendar: str | None,
        interval: Interval = "1d",
        ahead: Sequence[int] = (1,),
    ) -> None:
        named = None if calendar in (None, "auto", "none") else str(calendar)
        if named is not None:
            check_calendar(named, key="data.calendar")
        self.features = features
        self.calendar = named
        self.interval: Interval = interval
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
        import pandas as pd

        own = self.features.compute(bars)
        known = self._known(bars.index.to_numpy().astype("datetime64[ns]"))
        return pd.concat([own, pd.DataFrame(known, index=own.index)], axis=1)

    def _known(self, times: NDArray[np.datetime64]) -> dict[str, NDArray[np.float64]]:
        """What is known of the bars after each of some times, by column."""
        market = self._bars().planned
        last = self._last.get(market.key)
        if last is not None and np.array_equal(last[0], times):
            return last[1]
        # Tickers may stand one after the other.
        distinct, which = np.unique(times, return_inverse=True)
        if self.interval == "1d":
            self._check_reach(str(market.calendar), distinct)
        shown = self.ahead[:_MOST_STEPS] if market.intraday else self.ahead
        following = np.concatenate((distinct[:, None], market.next_times(distinct, shown[-1])), axis=1)
        found = {"Gap": _gap(times, market)} if market.intraday else {}
        for bar in shown:
            for name, values in _of_step(market, following[:, bar], following[:, bar - 1]).items():
                found[f"{_next(bar)}{name}"] = values[which]
        self._last.clear()
        self._last[market.key] = (times, found)
        return found

    def _bars(self) -> Bars:
        if self.market is not None and self.market.interval == self.interval != "1d":
            return self.market
        calendar = self.calendar
        if self.interval == "1d":
            calendar = calendar or (self.market and self.market.calendar) or "24/5"
        return Bars(interval=self.interval, calendar=calendar)

    def _check_reach(self, calendar: str, days: NDArray[np.datetime64]) -> None:
        begin, _, planned = planned_sessions(calendar)
        unknown = (days < begin) | (planned.searchsorted(days, side="right") + self.ahead[-1] > len(planned))
        if unknown.any():
            far = "session" if self.ahead[-1] == 1 else f"{self.ahead[-1]} sessions"
            raise UserError(
                f"data.calendar={calendar}: knows no {far} after {str(days[unknown.argmax()])[:10]}; "
                "cut the bars with data.start and data.end, or use data.calendar_features=false"
            )


def _gap(times: NDArray[np.datetime64], market: Bars) -> NDArray[np.float64]:
    """(bars,) ln of the time from the bar before each, in bars; NaN where that is not known."""
    before = np.concatenate((times[:1], times[:-1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(times > before, np.log((times - before).astype(np.float64) / market.step), np.nan)


def _of_step(
    market: Bars, times: NDArray[np.datetime64], before: NDArray[np.datetime64]
) -> dict[str, NDArray[np.float64]]:
    """What is known of bars, (bars,), that follow others."""
    if market.intraday:
        local = grid.to_local(times, market.zone).astype(np.int64)
        turn = 2.0 * np.pi * (local % grid.DAY) / grid.DAY
        week = 2.0 * np.pi * grid.weekday(local.view("datetime64[ns]")) / 7
        since, share = market.session_hours(times)
        gap = np.log((times - before).astype(np.float64) / market.step)
        waves = (np.sin(turn), np.cos(turn), np.sin(2 * turn), np.cos(2 * turn), np.sin(week), np.cos(week))
        return dict(zip(_OF_HOURS, (*waves, since, share, gap), strict=True))
    month = times.astype("datetime64[M]").astype(np.int64) % 12
    months = (_cycle(math.sin, 12)[month], _cycle(math.cos, 12)[month])
    if market.interval != "1d":
        return dict(zip(_OF_MONTHS, months, strict=True))
    weekday = grid.weekday(times)
    days, turns = _turns_of_month(str(market.calendar))
    known = (_cycle(math.sin, 7)[weekday], _cycle(math.cos, 7)[weekday], *months)
    return dict(zip(_KNOWN, (*known, turns[days.searchsorted(times)]), strict=True))


@cache
def _turns_of_month(calendar: str) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Every planned session, and 1 for the last one of a month and the first three of the next, else 0."""
    days = planned_sessions(calendar)[2].to_numpy()
    months = days.astype("datetime64[M]")
    begins = np.flatnonzero(np.concatenate(([True], months[1:] != months[:-1])))
    turns = np.zeros(len(days))
    for place in (-1, 0, 1, 2):
        at = begins + place
        turns[at[(at >= 0) & (at < len(days))]] = 1.0
    turns[-1:] = 1.0
    return days, turns


def with_calendar(
    features: Features,
    calendar: str | None,
    *,
    show: bool | None = None,
    interval: Interval = "1d",
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


def _cycle(wave: Callable[[float], float], count: int) -> NDArray[np.float64]:
    """A wave at `count` places of one turn."""
    return np.array([wave(2.0 * math.pi * place / count) for place in range(count)])
