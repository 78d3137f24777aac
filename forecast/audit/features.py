"""Checks of what is computed from one ticker's bars: no feature, and no value of the target, knows a later bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forecast.audit.subject import LeakError, Subject
from forecast.data.features import calendar_columns, warm_up

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

# Early ones, where windows fill up, and an even spread; all rows before each are compared.
_EARLY = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89)
_SPREAD = 10
# Bars a strategy may need before it can be computed at all.
_FEW = 60
# Sums of the same numbers in another order differ by this much of a column's size, and leak nothing.
_ROUNDING = 1e-9
# Later prices times the first, later volumes times the second: moves far beyond those that make a day a rare one.
_SHOCKS = ((1.5, 10.0), (0.6, 0.0))
# Cuts before which a shock must change nothing; beside them bars that are unusual themselves, so many of each kind.
_SHOCK_CUTS, _UNUSUAL = 40, 3
# Of features that look back further than so many bars not every row is looked at with the next bar shocked.
_LONGEST_MEMORY = 250
_MOVED_SESSIONS = 300


def features_of_a_prefix(subject: Subject) -> str:
    """Features of bars up to t equal those of all bars up to t, also where the last bar is a day without trading.

    Raises:
        LeakError: one does not; names feature, ticker and the earliest date found.
    """
    cuts = 0
    too_few: dict[str, None] = {}
    for ticker, bars in subject.bars.items():
        cuts += _compare(subject, ticker, bars, too_few)
    named = f"{cuts} cuts, {len(subject.bars)} ticker(s), {len(subject.original.features.columns)} features"
    return "; ".join([named, *too_few])


def shock(subject: Subject) -> str:
    """Features up to t stay when the bars after t are shocked: prices times 1.5 or 0.6, volume times 10 or 0.

    What looks ahead on rare days only (before a large move, before a day without volume) shows at any t. Where the
    features say how far they look back (`warm_up`), every row is looked at with the very next bar shocked.

    Raises:
        LeakError: one does not; names feature, ticker and date.
    """
    looked_at = rows_seen = 0
    memory = warm_up(subject.original.features)
    for ticker, bars in subject.bars.items():
        whole = subject.table(bars)
        for cut in _shock_cuts(bars):
            for price, volume in _SHOCKS:
                after = np.arange(len(bars)) > cut
                _unchanged(subject, ticker, whole, _shocked(bars, after, price, volume), cut, (price, volume))
                looked_at += 1
        if memory is not None and memory <= _LONGEST_MEMORY:
            rows_seen += _every_row(subject, ticker, bars, whole, memory)
    named = f"{looked_at} shocks, {len(subject.bars)} ticker(s)"
    return f"{named}; each of {rows_seen:,} rows beside a shocked next bar" if rows_seen else named


def moved_dates(subject: Subject) -> str:
    """Features stay with their bars when the same bars stand under dates 300 sessions later.

    A feature that does not reads the date, and what it looks up by date (a file, another table) may be known only
    later. Columns that a class declares as its `calendar_columns` are exempt.

    Raises:
        LeakError: one does not; names feature, ticker and date.
    """
    exempt = calendar_columns(subject.original.features)
    moved = 0
    for ticker, bars in subject.bars.items():
        shift = _moved_by(bars.index)
        if not shift:
            continue
        now = bars.iloc[:-shift]
        later = now.set_axis(bars.index[shift:], axis=0)
        here, there = subject.table(now), subject.table(later)
        _read_from_dates_alone(subject, ticker, now, here, exempt)
        kept = [column for column in here.columns if column not in exempt]
        found = _first_difference(here[kept], there[kept].set_axis(here.index, axis=0))
        if found is not None:
            row, column = found
            values = [float(table[kept[column]].iloc[row]) for table in (here, there)]
            raise LeakError(
                f"{subject.column(kept[column])} of {ticker} is {values[0]:g} on {here.index[row]:%Y-%m-%d}, but "
                f"{values[1]:g} when the same bars stand under {there.index[row]:%Y-%m-%d}: it reads the date, and "
                "what is looked up by date may be known only later; a calendar feature is declared in "
                "calendar_columns of its class"
            )
        moved += 1
    named = f"{moved} ticker(s)"
    return f"{named}; declared as read from the date: {', '.join(sorted(exempt))}" if exempt else named


def _read_from_dates_alone(
    subject: Subject, ticker: str, bars: pd.DataFrame, table: pd.DataFrame, declared: frozenset[str]
) -> None:
    """Columns declared as calendar columns are the same whatever the bars are."""
    names = [column for column in table.columns if column in declared]
    if not names:
        return
    backwards = bars.iloc[::-1].set_axis(bars.index, axis=0)
    found = _first_difference(
        table[names], subject.table(_shocked(backwards, np.ones(len(bars), bool), 2, 3))[names]
    )
    if found is not None:
        raise LeakError(
            f"feature {names[found[1]]} of {ticker} on {table.index[found[0]]:%Y-%m-%d} changes with the bars, but is "
            "declared in calendar_columns, which are read from the date alone"
        )


def _compare(subject: Subject, ticker: str, bars: pd.DataFrame, too_few: dict[str, None]) -> int:
    """Compare at every cut, of the bars as they are and with a day without trading at the cut; how many cuts."""
    last = len(bars) - 2
    cuts = sorted({*(cut for cut in _EARLY if cut <= last), *np.linspace(0, last, _SPREAD).astype(int)})
    as_they_are = subject.table(bars)
    for cut in cuts:
        flat = _without_trading(bars, cut)
        for table, what in ((bars, ""), (flat, " (a day without trading)")):
            try:
                prefix = subject.table(table.iloc[: cut + 1])
            except Exception as error:
                if cut >= _FEW:
                    raise
                # No leak: a strategy may need some history. It is reported, since serving would meet it too.
                why = f"{type(error).__name__}: {' '.join(str(error).split())}"
                too_few.setdefault(f"raised on the first {cut + 1} bars ({why})", None)
                continue
            whole = as_they_are if table is bars else subject.table(table)
            known = f"no bar after {bars.index[cut]:%Y-%m-%d}{what} is known"
            _same_rows(subject, ticker, whole, prefix, cut, known)
    return 2 * len(cuts)


def _same_rows(
    subject: Subject, ticker: str, whole: pd.DataFrame, other: pd.DataFrame, cut: int, when: str
) -> None:
    """Rows up to a cut are the same in two tables, of bars that differ after it."""
    found = _first_difference(whole.iloc[: cut + 1], other.iloc[: cut + 1])
    if found is not None:
        row, column = found
        here, there = (float(table.to_numpy()[row, column]) for table in (whole, other))
        raise LeakError(
            f"{subject.column(whole.columns[column])} of {ticker} on {whole.index[row]:%Y-%m-%d} is {here:g}, but "
            f"{there:g} when {when}: it looks ahead"
        )


def _first_difference(whole: pd.DataFrame, prefix: pd.DataFrame) -> tuple[int, int] | None:
    """Row and column of the earliest value that differs."""
    wrong = np.argwhere(_differs(whole, prefix))
    return (int(wrong[0][0]), int(wrong[0][1])) if len(wrong) else None


def _differs(whole: pd.DataFrame, other: pd.DataFrame) -> NDArray[np.bool_]:
    """(rows, columns) where two tables are not the same beyond rounding."""
    a, b = whole.to_numpy(np.float64), other.to_numpy(np.float64)
    size = np.nanmax(np.abs(np.where(np.isfinite(a), a, np.nan)), axis=0, initial=0.0)  # (F,)
    with np.errstate(invalid="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= _ROUNDING * size)
    differs: NDArray[np.bool_] = ~same
    return differs


def _without_trading(bars: pd.DataFrame, cut: int) -> pd.DataFrame:
    """The bars with a flat one without volume at the cut: gaps are where a leak by filling shows."""
    flat = bars.copy()
    close = bars["Close"].iloc[max(cut - 1, 0)]
    flat.iloc[cut] = [0.0 if column == "Volume" else close for column in bars.columns]
    return flat


def _shocked(bars: pd.DataFrame, where: NDArray[np.bool_], price: float, volume: float) -> pd.DataFrame:
    """The bars with some of them times a shock."""
    import pandas as pd

    sizes = [volume if column == "Volume" else price for column in bars.columns]
    values = bars.to_numpy(np.float64)
    shocked = np.where(where[:, None], values * sizes, values)
    return pd.DataFrame(shocked, index=bars.index, columns=bars.columns)


def _shock_cuts(bars: pd.DataFrame) -> list[int]:
    """An even spread, and bars that are themselves unusual: a rare day may also be known by what stands out in it."""
    last = len(bars) - 2
    if last < 0:
        return []
    cuts = set(np.linspace(0, last, min(_SHOCK_CUTS, last + 1)).astype(int).tolist())
    with np.errstate(divide="ignore", invalid="ignore"):
        for values in (
            bars["Close"].pct_change(),
            bars["Open"] / bars["Close"].shift(1),
            (bars["High"] - bars["Low"]) / bars["Close"],
            bars["Volume"],
        ):
            order = np.argsort(values.to_numpy(np.float64)[: last + 1])  # NaN last
            cuts |= {*order[:_UNUSUAL].tolist(), *order[-_UNUSUAL:].tolist()}
    return sorted(cuts)


def _unchanged(
    subject: Subject,
    ticker: str,
    whole: pd.DataFrame,
    shocked: pd.DataFrame,
    cut: int,
    sizes: tuple[float, float],
) -> None:
    """Rows up to a cut are the same with the bars shocked that come after it."""
    date = f"{whole.index[cut]:%Y-%m-%d}"
    when = f"prices after {date} are {sizes[0]:g} times and volumes {sizes[1]:g} times what they were"
    _same_rows(subject, ticker, whole, subject.table(shocked), cut, when)


def _every_row(subject: Subject, ticker: str, bars: pd.DataFrame, whole: pd.DataFrame, memory: int) -> int:
    """Look at each row with the very next bar shocked; bars so far apart that each row remembers none of them.

    A difference is looked at once more with that one bar shocked alone: features that look back further than they
    say are no leak.
    """
    seen = 0
    for first in range(1, min(memory + 3, len(bars))):  # together the passes shock every bar but the first
        shocked_rows = np.arange(first, len(bars), memory + 2)
        where = np.zeros(len(bars), bool)
        where[shocked_rows] = True
        for price, volume in _SHOCKS:
            other = subject.table(_shocked(bars, where, price, volume))
            before = shocked_rows - 1
            for row in before[_differs(whole, other)[before].any(axis=1)]:
                alone = np.arange(len(bars)) == row + 1
                _unchanged(subject, ticker, whole, _shocked(bars, alone, price, volume), row, (price, volume))
        seen += len(shocked_rows)
    return seen


def _moved_by(index: pd.Index) -> int:
    """Bars in 300 sessions, or in a third of those there are; 0 where there are too few to move at all."""
    days = index.to_numpy().astype("datetime64[D]")
    firsts = np.flatnonzero(np.concatenate(([True], days[1:] != days[:-1])))
    return int(firsts[min(_MOVED_SESSIONS, len(firsts) // 3)]) if len(firsts) else 0
