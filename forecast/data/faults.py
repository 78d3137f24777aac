"""The kinds of faults that bars can have: in their dates and in their numbers. No bar is judged by later ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forecast.data.bars import COLUMNS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Dates = NDArray[np.datetime64]  # (bars,) datetime64[ns]
    Columns = NDArray[np.float64]  # (5, bars), in the order of COLUMNS

# Providers hand out prices rounded to float32: differences below are none.
_ROUNDING = 1e-6
_STALE_BARS = 5


@dataclass(frozen=True)
class Finding:
    """The faults of one kind in one table.

    Args:
        days: the day of each fault, in the table's order.
        detail: what is wrong with the i-th of them.
        rest: positions of the bars that remain, in order, when the faults are removed; None = they cannot be.
    """

    days: Dates
    detail: Callable[[int], str]
    rest: NDArray[np.intp] | None = None


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


def prices(dates: Dates, columns: Columns) -> Finding | None:
    """Prices that are no positive number, and volumes that are no number of 0 or more."""
    import numpy as np

    wrong = ~np.isfinite(columns)
    wrong[:4] |= columns[:4] <= 0
    wrong[4] |= columns[4] < 0
    if not wrong.any():
        return None
    rows = np.flatnonzero(wrong.any(axis=0))

    def detail(i: int) -> str:
        column = int(wrong[:, rows[i]].argmax())
        rule = "is no positive number" if column < 4 else "is no number of 0 or more"
        return f"{COLUMNS[column]}={columns[column, rows[i]]:.10g} {rule}"

    return _at(dates, rows, detail)


def high_low(dates: Dates, columns: Columns) -> Finding | None:
    """High below Low, or Open or Close outside of them."""
    import numpy as np

    opening, high, low, close, _ = columns
    over = np.maximum(opening, close) > high * (1 + _ROUNDING)
    under = np.minimum(opening, close) < low * (1 - _ROUNDING)
    rows = np.flatnonzero(over | under | (high < low * (1 - _ROUNDING)))
    if not rows.size:
        return None

    def detail(i: int) -> str:
        row = rows[i]
        span = f"Low={low[row]:.10g} to High={high[row]:.10g}"
        if high[row] < low[row]:
            return f"High={high[row]:.10g} is below Low={low[row]:.10g}"
        if low[row] * (1 - _ROUNDING) <= opening[row] <= high[row] * (1 + _ROUNDING):
            return f"Close={close[row]:.10g} lies outside {span}"
        return f"Open={opening[row]:.10g} lies outside {span}"

    return _at(dates, rows, detail)


def jumps(dates: Dates, columns: Columns, *, factor: float) -> Finding | None:
    """Prices above `factor` times, or below a `factor`-th of, the last good Close before them.

    A bar that jumps is not good, so a lasting change of level is a fault of every bar that follows. Until
    there is a good bar, a bar is held against its own Close.
    """
    import numpy as np

    usable = np.flatnonzero(np.isfinite(columns[:4]).all(axis=0) & (columns[:4] > 0).all(axis=0))
    if not usable.size:
        return None
    columns = columns[:4, usable]
    top, bottom, close = columns.max(axis=0), columns.min(axis=0), columns[3]
    before = np.concatenate([close[:1], close[:-1]])
    suspect = (top > factor * before) | (bottom * factor < before)
    if not suspect.any():
        return None
    rows, against, good = [], [], int(suspect.argmax()) - 1
    for row in range(good + 1, len(close)):
        reference = close[good if good >= 0 else row]
        if top[row] > factor * reference or bottom[row] * factor < reference:
            rows.append(row)
            against.append(good)
        else:
            good = row

    def detail(i: int) -> str:
        row, good = rows[i], against[i]
        reference = close[good if good >= 0 else row]
        column = int(np.abs(np.log(columns[:, row] / reference)).argmax())
        ratio = columns[column, row] / reference
        whose = (
            f"the last good Close, {reference:.6g} on {day(dates[usable[good]])}"
            if good >= 0
            else "its own Close"
        )
        return f"{COLUMNS[column]}={columns[column, row]:.10g} is {ratio:.3g} times {whose}"

    return _at(dates, usable[rows], detail) if rows else None


def stale(dates: Dates, columns: Columns) -> Finding | None:
    """Five or more bars in a row with the same prices and the same or no volume: at fault from the fifth on.

    One fault a run, on the day of its fifth bar.
    """
    import numpy as np

    alike = np.abs(np.diff(columns[:4], axis=1)) <= _ROUNDING * columns[:4, 1:]  # never of NaN
    volume = columns[4]
    same = alike.all(axis=0) & ((volume[1:] == volume[:-1]) | (volume[1:] == 0))
    if np.count_nonzero(same) < _STALE_BARS - 1:
        return None
    rows = np.arange(len(dates))
    start = np.maximum.accumulate(np.where(np.concatenate([[False], same]), 0, rows))
    place = rows - start + 1  # the how-manyth bar of its run
    fifth = np.flatnonzero(place == _STALE_BARS)
    if not fifth.size:
        return None

    def detail(i: int) -> str:
        first = start[fifth[i]]
        return f"the fifth of {np.count_nonzero(start == first)} bars alike since {day(dates[first])}"

    return Finding(dates[fifth], detail, np.flatnonzero(place < _STALE_BARS))


def _at(dates: Dates, rows: NDArray[np.intp], detail: Callable[[int], str]) -> Finding:
    """Bars at fault that can be left out."""
    import numpy as np

    return Finding(dates[rows], detail, np.delete(np.arange(len(dates)), rows))


def day(date: np.datetime64) -> str:
    """YYYY-MM-DD."""
    return str(date)[:10]
