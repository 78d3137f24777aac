"""What can be wrong with the days of bars: said twice, out of order, or not the exchange's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.data.finding import Finding, day

if TYPE_CHECKING:
    import numpy as np

    from forecast.data.finding import Columns, Dates


def duplicates(dates: Dates, _: Columns) -> Finding | None:
    """Bars of a day that the table had before; the first of a day is no fault."""
    import numpy as np

    if (dates[1:] > dates[:-1]).all():
        return None
    first = np.sort(np.unique(dates, return_index=True)[1])
    if len(first) == len(dates):
        return None
    return Finding(np.delete(dates, first), lambda _: "a second bar of this day", first)


def order(dates: Dates, _: Columns) -> Finding | None:
    """Bars that follow a later day; removing the fault is sorting."""
    import numpy as np

    latest = np.maximum.accumulate(dates)
    late = np.flatnonzero(dates < latest)
    if not late.size:
        return None
    return Finding(
        dates[late], lambda i: f"comes after {day(latest[late[i]])}", np.argsort(dates, kind="stable")
    )


def sessions(
    dates: Dates, expected: Dates, *, calendar: str, known: tuple[np.datetime64, np.datetime64]
) -> Finding | None:
    """Days on which the exchange was open and there is no bar, and bars of days on which it was closed.

    Args:
        dates: days of the bars, ascending.
        expected: the calendar's sessions from the first to the last of them.
        calendar: its name.
        known: first and last day about which the calendar says anything.
    """
    import numpy as np

    if len(dates) == len(expected) and (dates == expected).all():
        return None
    absent = np.setdiff1d(expected, dates)
    closed = np.setdiff1d(dates[(dates >= known[0]) & (dates <= known[1])], expected)
    days = np.sort(np.concatenate([absent, closed]))
    if not days.size:
        return None

    def detail(i: int) -> str:
        return (
            f"no bar, though {calendar} was open"
            if days[i] in absent
            else f"a bar, though {calendar} was closed"
        )

    return Finding(days, detail)
