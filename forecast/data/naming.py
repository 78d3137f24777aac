"""Weeks and months by the dates that name them: a fixed day, the first or last session, the end of the month."""

from __future__ import annotations

import numpy as np

from forecast.data import grid
from forecast.data.grid import Times
from forecast.data.timing import ONE_WEEKDAY, Bars, Naming
from forecast.errors import UserError

# The first is taken of those that agree with the bars alike.
_WEEKS: tuple[Naming, ...] = ("fixed", "before", "after", "first", "last")
_MONTHS: tuple[Naming, ...] = ("fixed", "end", "first", "last", "first_weekday", "last_weekday")
_WORDS: dict[str, str] = {
    "fixed": "a fixed day", "before": "the weekday before it begins", "after": "the weekday after it ends",
    "first": "the first session", "last": "the last session", "end": "the last day",
    "first_weekday": "the first weekday", "last_weekday": "the last weekday",
}  # fmt: skip
_AHEAD = 30  # bars ahead in which two ways to name them are held against each other
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
    shares = _shares(times, bars)
    best = max(shares, key=lambda naming: shares[naming], default=None)
    return ("fixed", 0.0) if best is None else (best, shares[best])


def words(naming: Naming) -> str:
    """What names a week or a month, in words that can follow "named by"."""
    return _WORDS[naming]


def doubt(times: Times, bars: Bars) -> str | None:
    """What too few weeks or months leave open: another way to name them that fits alike and soon gives other dates."""
    shares = _shares(times, bars)
    for naming in shares:
        if naming == bars.naming or shares[naming] < shares[bars.naming]:
            continue
        try:
            ours, theirs = (
                _with(bars, one).next_times(times[-1:], _AHEAD)[0] for one in (bars.naming, naming)
            )
        except UserError:
            continue
        if (other := ours != theirs).any():
            place = int(other.argmax())
            return (
                f"its {len(times)} {bars.label}s may be named by {words(bars.naming)}, which is taken, or by "
                f"{words(naming)}: {str(ours[place])[:10]} would be {str(theirs[place])[:10]}; a longer series tells"
            )
    return None


def _shares(times: Times, bars: Bars) -> dict[Naming, float]:
    """Of each way to name bars, the share that is followed by the one to be expected."""
    shares: dict[Naming, float] = {}
    for naming in _WEEKS if bars.interval == "1wk" else _MONTHS:
        try:
            following = _with(bars, naming).next_times(times[:-1], 1)[:, 0]
        except UserError:
            continue  # beyond what the calendar knows
        shares[naming] = float((following == times[1:]).mean())
    return shares


def _with(bars: Bars, naming: Naming) -> Bars:
    return Bars(interval=bars.interval, calendar=bars.calendar, weekmask=bars.weekmask, naming=naming)


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
