"""The kinds of faults that bars can have: in their dates and in their numbers. No bar is checked against later ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from forecast.data.bars import COLUMNS

Dates = NDArray[np.datetime64]  # (bars,) datetime64[ns]
Columns = NDArray[np.float64]  # (5, bars), in the order of COLUMNS


# Providers hand out prices rounded to float32: differences below are none.
_ROUNDING = 1e-6
_STALE_BARS = 5
_FEW = 30  # bars, below which nothing is said of all of them
_WEEK = 5
_LASTING = 20  # bars at another level, to the last one
_SPLIT_NEAR = 0.03  # logarithms, from the ratio of a split
_USUAL_SPLITS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50)
_FEW_CLOSURES = 3  # weekdays on which an exchange was closed, by which its days are known


@dataclass(frozen=True)
class Finding:
    """The faults of one kind in one table.

    Args:
        days: the day of each fault, in the table's order.
        detail: what is wrong with the i-th of them.
        rest: positions of the bars that remain, in order, when the faults are removed; None = they cannot be.
        advice: the ways out of this cause; None = the key that leaves the bars out, or keeps them.
    """

    days: Dates
    detail: Callable[[int], str]
    rest: NDArray[np.intp] | None = None
    advice: str | None = None

    @property
    def first(self) -> str:
        """The first day of a kind of fault, and how many more there are."""
        more = f" ({len(self.days) - 1} more)" if len(self.days) > 1 else ""
        return f"{day(self.days[0])}: {self.detail(0)}{more}"

    def records(self, most: int) -> list[tuple[str | None, str]]:
        """Day and detail of the first few faults; one more, of no day, sums up the rest."""
        found: list[tuple[str | None, str]] = [
            (day(date), self.detail(i)) for i, date in enumerate(self.days[:most])
        ]
        if left := len(self.days) - len(found):
            found.append((None, f"{left} more, the last on {day(self.days[-1])}"))
        return found


def duplicates(dates: Dates, columns: Columns) -> Finding | None:
    """Bars of a day that the table had before; the first of a day is no fault."""
    if (dates[1:] > dates[:-1]).all():
        return None
    first = np.sort(np.unique(dates, return_index=True)[1])
    if len(first) == len(dates):
        return None
    days = np.delete(dates, first)
    cause = _cause_of_duplicates(dates, columns) if len(days) >= 0.2 * len(dates) else None
    if cause is None:
        which = "day" if (dates == dates.astype("datetime64[D]")).all() else "time"
        return Finding(days, lambda _: f"a second bar of this {which}", first)
    detail, advice = cause
    return Finding(days, lambda _: f"a second bar of this day: {detail}", first, advice)


def _cause_of_duplicates(dates: Dates, columns: Columns) -> tuple[str, str] | None:
    """Why a good part of all days come twice and more, and what helps; None = the same bars are there again."""
    at = {int(date): row for row, date in reversed(list(enumerate(dates.astype(np.int64))))}
    firsts = np.array([at[int(date)] for date in dates.astype(np.int64)])
    same = (columns == columns[:, firsts]) | (np.isnan(columns) & np.isnan(columns[:, firsts]))
    again = firsts != np.arange(len(dates))
    if same[:, again].all(axis=0).mean() > 0.9:
        return None
    count = round(len(dates) / len(at))
    begins = 1 + int((dates[1:] < dates[:-1]).sum())
    if 2 <= begins <= len(dates) / 10:
        return (
            f"its dates begin anew {begins - 1} times, as where {begins} tickers stand in one file",
            "name the column that tells them apart with source.columns={Ticker: NAME}, or give each a file of its own",
        )
    return (
        f"{count} different bars a day, as of intraday bars whose times are lost, or of {count} tickers in one file",
        "read times with source.columns={Time: NAME} and data.interval, or tickers with source.columns={Ticker: NAME}",
    )


def order(dates: Dates, _: Columns) -> Finding | None:
    """Bars that follow a later day; removing the fault is sorting."""
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
    """Sessions `expected` of a calendar that have no bar, and bars within its `known` days on which it was closed."""
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


def prices(dates: Dates, columns: Columns, *, adjusted: bool = False) -> Finding | None:
    """Prices that are no positive number, and volumes that are no number of 0 or more.

    A Close of 0 or less is an Adj Close where prices are `adjusted`, multiplied by Adj Close / Close.
    """
    wrong = ~np.isfinite(columns)
    wrong[:4] |= columns[:4] <= 0
    wrong[4] |= columns[4] < 0
    if not wrong.any():
        return None
    rows = np.flatnonzero(wrong.any(axis=0))

    def detail(i: int) -> str:
        column = int(wrong[:, rows[i]].argmax())
        own = columns[:4, rows[i]]
        if adjusted and column < 4 and (own <= 0).all():
            return (
                f"Adj Close={own[3]:.10g} is no positive number (source.adjust=false reads prices without it)"
            )
        if adjusted and column < 4 and np.isnan(own).all():
            return "Close or Adj Close is no number (source.adjust=false reads prices without Adj Close)"
        rule = "is no positive number" if column < 4 else "is no number of 0 or more"
        if column == 3 and own[2] <= -own[3] <= own[1]:
            rule += ", as CRSP marks the mean of bid and ask of a day without a trade"
        return f"{COLUMNS[column]}={columns[column, rows[i]]:.10g} {rule}"

    return _at(dates, rows, detail)


def high_low(dates: Dates, columns: Columns) -> Finding | None:
    """High below Low, or Open or Close outside of them."""
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

    found = _at(dates, rows, detail)
    if (high < low).mean() < 0.9:
        return found
    advice = (
        "High and Low have changed places: say which is which with source.columns={High: NAME, Low: NAME}"
    )
    return Finding(found.days, found.detail, found.rest, advice)


def splits(dates: Dates, columns: Columns) -> Finding | None:
    """Bars that open at a whole fraction, or a whole multiple, of the Close before, and stay there: unadjusted splits.

    2:1 to 50:1 and the other way round, within what the price moves from bar to bar anyway.
    """
    usable = np.flatnonzero(np.isfinite(columns[:4]).all(axis=0) & (columns[:4] > 0).all(axis=0))
    if len(usable) < 3:
        return None
    opening, high, low, close = np.log(columns[:4, usable])
    moves = np.abs(np.diff(close))
    usual = float(np.median(moves))
    tolerance = min(max(_SPLIT_NEAR, 4 * usual), 0.2)
    gap = opening[1:] - close[:-1]
    ratio = np.clip(np.round(np.exp(np.abs(gap))), 2, 50)
    usually = np.log(np.array(_USUAL_SPLITS))
    nearest = np.abs(np.abs(gap)[:, None] - usually).argmin(axis=1)
    ratio = np.where(
        np.abs(np.abs(gap) - usually[nearest]) <= _SPLIT_NEAR, np.exp(usually[nearest]).round(), ratio
    )
    near = np.abs(np.abs(gap) - np.log(ratio)) <= tolerance
    near &= np.abs(gap) > 6 * np.quantile(moves, 0.9)  # prices of few digits double often
    # The bar as a whole stands at the new level, not the first price alone.
    there = (np.abs(close[1:] - opening[1:]) < 0.35) & (high[1:] - low[1:] < 0.5)
    rows = np.flatnonzero(near & there) + 1
    # Up and back within a week: single wrong prices, which `jumps` finds.
    pairs = [(a, b) for a, b in pairwise(rows)
             if b - a <= _WEEK and abs(gap[a - 1] + gap[b - 1]) < 2 * tolerance]  # fmt: skip
    rows = np.setdiff1d(rows, np.array(pairs, dtype=np.intp).ravel())
    if not rows.size:
        return None
    bars = usable[rows]

    def detail(i: int) -> str:
        row, times = rows[i], int(ratio[rows[i] - 1])
        fall = gap[row - 1] < 0
        kind = f"{times}:1 split" if fall else f"1:{times} reverse split"
        before = columns[3, usable[row - 1]]
        share = f"1/{times} of" if fall else f"{times} times"
        return f"looks like a {kind}: Open={columns[0, bars[i]]:.6g} is about {share} the Close before, {before:.6g}"

    advice = (
        "give the file an Adj Close, cut the bars with data.start, or set data.health.splits=keep where prices "
        "really moved so"
    )
    return Finding(dates[bars], detail, advice=advice)


def copied_opens(dates: Dates, columns: Columns) -> Finding | None:
    """Nearly every Open is the Close before it: it was filled in, so that nothing between two sessions is seen."""
    if len(dates) < _FEW or (dates.astype("datetime64[D]") != dates).any():
        return None
    if not np.is_busday(dates.astype("datetime64[D]")).mean() > 0.9:  # a market that never closes opens so
        return None
    opening, before = columns[0, 1:], columns[3, :-1]
    moved = columns[3, 1:] != before
    same = np.abs(opening - before) <= 2e-4 * before
    exact = opening == before
    share = same[moved].mean() if moved.any() else 0.0
    if share < 0.9 or exact[moved].mean() < 0.5 * share:
        return None
    first = int((same & moved).argmax()) + 1
    text = (
        f"Open is the Close before on {100 * share:.0f} % of all bars: ranges and gaps show no move overnight"
    )
    return Finding(
        dates[first : first + 1],
        lambda _: text,
        advice="use a source with true opens, or set data.health.copied_opens=keep",
    )


def shifted(dates: Dates, expected: Dates, *, calendar: str, named: bool) -> Finding | None:
    """Days that are all one before, or all one after, the sessions of the exchange.

    Args:
        dates: of daily bars.
        expected: sessions, from before the first to after the last of them.
        calendar: its name.
        named: whether the ticker's ending names the exchange; else the weekdays on which it was closed must show
            that the days are its own.
    """
    if len(dates) < _FEW or (dates.astype("datetime64[D]") != dates).any():
        return None
    days = np.unique(dates)
    if (np.diff(days) > np.timedelta64(4, "D")).mean() > 0.2:  # weeks, months
        return None
    if np.isin(days, expected).mean() > 0.85:
        return None
    for step, word in ((1, "before"), (-1, "after")):
        moved = days + np.timedelta64(step, "D")
        if np.isin(moved, expected).mean() > 0.97:
            weekdays = np.arange(moved[0], moved[-1], np.timedelta64(1, "D"), dtype="datetime64[D]")
            closed = np.setdiff1d(weekdays[np.is_busday(weekdays)], expected.astype("datetime64[D]"))
            if not named and (len(closed) < _FEW_CLOSURES or np.isin(closed, moved).any()):
                continue
            text = (
                f"each bar is one day {word} a session of {calendar}, as midnights of another time zone are"
            )
            return Finding(
                dates[:1],
                lambda _, text=text: text,  # type: ignore[misc]
                advice="write the exchange's days into the source, or moments with their zone, from which the day is "
                "found; or set data.health.shifted=keep",
            )
    return None


def jumps(dates: Dates, columns: Columns, *, factor: float, levels: Dates | None = None) -> Finding | None:
    """Prices above `factor` times, or below a `factor`-th of, the last good Close before them.

    A bar that jumps is not good, so a lasting change of level is a fault of every bar that follows. Until
    there is a good bar, a bar is held against its own Close. At `levels`, the days of splits, a new level may begin.
    """
    usable = np.flatnonzero(np.isfinite(columns[:4]).all(axis=0) & (columns[:4] > 0).all(axis=0))
    if not usable.size:
        return None
    columns = columns[:4, usable]
    top, bottom, close = columns.max(axis=0), columns.min(axis=0), columns[3]
    before = np.concatenate([close[:1], close[:-1]])
    suspect = (top > factor * before) | (bottom * factor < before)
    fresh = np.zeros(len(close), bool) if levels is None else np.isin(dates[usable], levels)
    suspect &= ~fresh
    if not suspect.any():
        return None
    rows, against, good = [], [], int(suspect.argmax()) - 1
    for row in range(good + 1, len(close)):
        reference = close[good if good >= 0 and not fresh[row] else row]
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
        lasting = f" and on each of the {len(rows) - 1} bars after it" if for_good else ""
        return f"{COLUMNS[column]}={columns[column, row]:.10g} is {ratio:.3g} times {whose}{lasting}"

    if not rows:
        return None
    for_good = len(rows) > _LASTING and rows[-1] - rows[0] == len(rows) - 1 == len(close) - 1 - rows[0]
    found = _at(dates, usable[rows], detail)
    if not for_good:
        return found
    advice = (
        "the prices are in another unit from there on: cut the bars with data.start or data.end, mend the source, or "
        "set data.health.jumps=keep"
    )
    return Finding(found.days, found.detail, found.rest, advice)


def stale(dates: Dates, columns: Columns) -> Finding | None:
    """Five or more bars in a row with the same prices and the same or no volume: at fault from the fifth on.

    One fault a run, on the day of its fifth bar.
    """
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
    return Finding(dates[rows], detail, np.delete(np.arange(len(dates)), rows))


def day(date: np.datetime64) -> str:
    """YYYY-MM-DD; of intraday bars with the time of day, in UTC."""
    text = str(date)
    return text[:10] if text[11:16] in ("", "00:00") else f"{text[:16]}Z"
