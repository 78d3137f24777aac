"""What is known of the day being forecast before it comes: its place in the week, the year and the month."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from forecast.data.features.base import Features, Relation, calendar_columns, warm_up
from forecast.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_KNOWN = ("WeekdaySin", "WeekdayCos", "MonthSin", "MonthCos", "TurnOfMonth")
_NAME = re.compile(r"Next(?P<bar>\d*)WeekdaySin")


class WithCalendar:
    """A strategy's features, and the calendar's view of sessions after each bar: those that are forecast.

    The session after the last bar of a window is the first day that is forecast. It is looked up in the exchange's
    calendar, never read from later bars, and as the calendar stood on the day before: a day on which the exchange was
    closed for once still counts as its next session (see forecast.data.calendars.planned_sessions). Columns of the
    session after a bar are called NextWeekdaySin and so on, those of the second one Next2WeekdaySin.

    Weekday (a cycle of seven) and month (of twelve) are sine and cosine of their place in the cycle, so that December
    lies beside January. NextTurnOfMonth is 1 on the last session of a month and the first three of the next, else 0
    (Lakonishok and Smidt 1988, Are seasonal anomalies real?, https://doi.org/10.1093/rfs/1.4.403).

    Args:
        features: the strategy's own.
        calendar: a name of exchange_calendars: XNYS, XLON, 24/7, ...
        ahead: which sessions after a bar, 1 = the next one; ascending.

    Raises:
        UserError: exchange_calendars has no such calendar.
    """

    def __init__(self, *, features: Features, calendar: str, ahead: Sequence[int] = (1,)) -> None:
        from forecast.data.calendars import check_calendar

        check_calendar(calendar, key="data.calendar")
        self.features = features
        self.calendar = calendar
        self.ahead = tuple(ahead)

    @property
    def columns(self) -> Mapping[str, Relation]:
        """See Features.columns."""
        return {**self.features.columns, **{name: "free" for bar in self.ahead for name in _names(bar)}}

    @property
    def warm_up(self) -> int | None:
        """See forecast.data.features.warm_up; the calendar adds nothing to it."""
        return warm_up(self.features)

    @property
    def calendar_columns(self) -> frozenset[str]:
        """See forecast.data.features.calendar_columns."""
        own = (name for bar in self.ahead for name in _names(bar))
        return calendar_columns(self.features) | frozenset(own)

    def compute(self, bars: pd.DataFrame) -> pd.DataFrame:
        """See Features.compute.

        Raises:
            UserError: a bar lies outside of what the calendar knows.
        """
        days, known = _known(self.calendar)
        dates = bars.index.to_numpy().astype("datetime64[D]")
        place = days.searchsorted(dates, side="right")
        unknown = (dates < days[0]) | (place + self.ahead[-1] > len(days))
        if unknown.any():
            raise UserError(
                f"data.calendar={self.calendar}: knows no {self._far()} after {dates[unknown.argmax()]}; "
                "cut the bars with data.start and data.end, or use data.calendar=null"
            )
        own = self.features.compute(bars)
        return own.assign(
            **{
                name: values[place + bar - 1]
                for bar in self.ahead
                for name, values in zip(_names(bar), known.values(), strict=True)
            }
        )

    def _far(self) -> str:
        return "session" if self.ahead[-1] == 1 else f"{self.ahead[-1]} sessions"


def with_calendar(features: Features, calendar: str | None, *, ahead: Sequence[int] = (1,)) -> Features:
    """What `data.features` and `data.calendar` together show.

    Args:
        features: the strategy's own.
        calendar: a name of exchange_calendars; None adds nothing.
        ahead: which sessions after a bar, see sessions_ahead.

    Raises:
        UserError: exchange_calendars has no such calendar.
    """
    return features if calendar is None else WithCalendar(features=features, calendar=calendar, ahead=ahead)


def sessions_ahead(*, lead: int, horizon: int) -> list[int]:
    """The sessions after a bar that a forecast is about: the next one, and that of each step.

    Args:
        lead: of the target.
        horizon: steps.
    """
    return sorted({1, *range(lead + 1, lead + horizon + 1)})


def sessions_named(columns: Iterable[str]) -> list[int]:
    """The sessions after a bar that saved columns are about; an earlier version knew only the next one."""
    found = {
        int(match["bar"] or 1) for name in columns if (match := _NAME.fullmatch(name.rpartition(".")[2]))
    }
    return sorted(found) or [1]


def _names(bar: int) -> list[str]:
    return [f"Next{'' if bar == 1 else bar}{name}" for name in _KNOWN]


@cache
def _known(calendar: str) -> tuple[NDArray[np.datetime64], dict[str, NDArray[np.float64]]]:
    """Every planned session of whole months, and what is known of each."""
    import numpy as np

    from forecast.data.calendars import planned_sessions

    _, end, planned = planned_sessions(calendar)
    # Whether a session is its month's last is known of whole months only.
    days = planned.to_numpy().astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    whole = months < (np.datetime64(end, "D") + 1).astype("datetime64[M]")
    days, months = days[whole], months[whole]
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
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
    import numpy as np

    return np.array([wave(2.0 * math.pi * place / count) for place in range(count)])
