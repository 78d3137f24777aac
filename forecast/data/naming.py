"""Weeks and months by the dates that name them: a fixed day, the first or last session, the end of the month."""

from __future__ import annotations

import numpy as np

from forecast.data import grid
from forecast.data.grid import Times
from forecast.data.timing import ONE_WEEKDAY, Bars, Naming
from forecast.errors import UserError

# In the order in which they are believed where they agree with the bars alike.
_WEEKS: tuple[Naming, ...] = ("fixed", "before", "after", "first", "last")
_MONTHS: tuple[Naming, ...] = ("fixed", "end", "first", "last", "first_weekday", "last_weekday")
_WEEK = 5  # weekdays of a market of which nothing else is known
_FEW = 15  # bars that show no habit


def naming_of(times: Times, bars: Bars) -> tuple[Naming, float]:
    """The date that names weeks or months, and the share of bars that are followed by the one to be expected.

    Args:
        times: (bars,) ascending.
        bars: their interval and calendar, or weekdays.
    """
    if bars.interval not in ("1wk", "1mo") or len(times) < 2:
        return "fixed", 1.0
    shares: dict[Naming, float] = {}
    for naming in _WEEKS if bars.interval == "1wk" else _MONTHS:
        own = Bars(interval=bars.interval, calendar=bars.calendar, weekmask=bars.weekmask, naming=naming)
        try:
            shares[naming] = float((own.next_times(times[:-1], 1)[:, 0] == times[1:]).mean())
        except UserError:
            continue  # beyond what the calendar knows
    if not shares:
        return "fixed", 0.0
    best = max(shares, key=lambda naming: shares[naming])
    return best, shares[best]


def weekdays_of(times: Times, interval: str) -> str:
    """Weekdays on which a market trades as the dates of its weeks or months show them, Monday first.

    Weeks that are named by their first session stand on the first weekday, and later where that is a holiday; those
    named by the last one on the last, and earlier. First and last sessions of months come to stand on every weekday.
    """
    days = grid.weekday(times)
    counts = np.bincount(days, minlength=7)
    usual = int(counts.argmax())
    if interval == "1wk":
        away = (days[days != usual] - usual) % 7  # 1 = the day after
        if not len(away):
            return grid.WEEKDAYS
        first = usual if (away < 4).mean() > 0.5 else usual - _WEEK + 1
        return "".join("1" if (day - first) % 7 < _WEEK else "0" for day in range(7))
    month = times.astype("datetime64[M]").astype("datetime64[D]")
    place = (times.astype("datetime64[D]") - month).astype(np.int64)
    if (place == place[0]).all() or ((times + np.timedelta64(1, "D")).astype("datetime64[M]") > month).all():
        return grid.WEEKDAYS
    return "".join("1" if count else "0" for count in counts)


def check_last(ticker: str, times: Times, bars: Bars) -> None:
    """Refuse weeks or months of a fixed day whose last one is named by another, as the running one is: no next date.

    Raises:
        UserError: it is; names the key that leaves it out.
    """
    if len(times) < _FEW or bars.naming not in (*ONE_WEEKDAY, "end"):
        return
    if bars.interval == "1wk":
        place = grid.weekday(times)
    else:
        place = (times.astype("datetime64[D]") - times.astype("datetime64[M]")).astype(np.int64)
        if bars.naming == "end":
            place = bars.period_start(bars.period_number(times) + 1) - times
    _, which, counts = np.unique(place, return_inverse=True, return_counts=True)
    if which[-1] == counts.argmax():
        return
    kept = times[np.flatnonzero(which == counts.argmax())[-1]]
    raise UserError(
        f"{ticker}: its last {bars.label} is dated {str(times[-1])[:10]}, not by the "
        f"{'weekday' if bars.interval == '1wk' else 'day of the month'} of the others; if it still runs, "
        f"data.end={str(kept)[:10]} leaves it out; if sessions name it, data.calendar=NAME says whose"
    )
