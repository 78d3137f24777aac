"""Coarser bars of finer ones: sessions of hours, weeks of days, each whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.data import grid
from forecast.data.bars import COLUMNS, MINUTES, Interval
from forecast.data.grid import Times
from forecast.data.timing import Bars

if TYPE_CHECKING:
    import pandas as pd


def resampled(table: pd.DataFrame, bars: Bars, to: Interval) -> tuple[pd.DataFrame, Bars]:
    """Coarser bars, without the first and last where they are not whole.

    A bar is whole when the finer bars before its first one and after its last one belong to others, by the calendar:
    the running week is none. Open is the first, High the highest, Low the lowest, Close the last, Volume the sum.

    Returns:
        the table, and what its rows are: weeks are named by their first calendar day, months by the 1st.
    """
    import pandas as pd

    coarse = Bars(
        interval=to, calendar=bars.calendar, weekmask=bars.weekmask, zone=bars.zone, hours=_hours(bars)
    )
    times = table.index.to_numpy()
    labels = _labels(times, bars, coarse)
    begins = np.flatnonzero(np.concatenate(([True], labels[1:] != labels[:-1])))
    values = table[list(COLUMNS)].to_numpy(np.float64)
    last = np.append(begins[1:], len(times)) - 1
    found = np.stack(
        [
            values[begins, 0],
            np.maximum.reduceat(values[:, 1], begins),
            np.minimum.reduceat(values[:, 2], begins),
            values[last, 3],
            np.add.reduceat(values[:, 4], begins),
        ],
        axis=1,
    )
    first_whole = not _before(times, bars, coarse, labels[0])
    last_whole = _labels(bars.next_times(times[-1:], 1)[0], bars, coarse)[0] != labels[-1]
    keep = slice(0 if first_whole else 1, len(begins) if last_whole else len(begins) - 1)
    index = pd.DatetimeIndex(labels[begins][keep], name="Date")
    return pd.DataFrame(found[keep], index=index, columns=pd.Index(COLUMNS)), coarse


def _before(times: Times, bars: Bars, coarse: Bars, label: Any) -> bool:
    """Whether a finer bar that is not there belongs to the first coarse one."""
    earlier = bars.times_between(times[0] - np.timedelta64(40, "D"), times[0] - np.timedelta64(1, "ns"))
    return bool(len(earlier) and _labels(earlier[-1:], bars, coarse)[0] == label)


def _hours(bars: Bars) -> grid.Hours:
    """Hours of the coarser bars, which are named by their begin."""
    align = bars.hours.align
    return grid.Hours("clock" if align == "slots" else align)


def _labels(times: Times, bars: Bars, coarse: Bars) -> Times:
    """(bars,) the coarse bar that each belongs to."""
    begin = times - np.timedelta64(bars.step, "ns") if bars.intraday and bars.hours.end else times
    if coarse.intraday:
        return _intraday_labels(begin, bars, coarse)
    days = bars.sessions_of(times)
    if coarse.interval == "1d":
        return days
    return coarse.period_start(coarse.period_number(days))


def _intraday_labels(begin: Times, bars: Bars, coarse: Bars) -> Times:
    step = MINUTES[coarse.interval] * grid.MINUTE
    if bars.calendar in (None, "24/7") or bars.hours.align == "slots":
        shift = (grid.to_local(begin, bars.zone) - begin).astype(np.int64)
        stamps = begin.astype(np.int64)
        return ((stamps + shift) // step * step - shift).view("datetime64[ns]")
    near = np.timedelta64(5, "D")
    names = coarse.times_between(begin[0] - near, begin[-1])
    return np.asarray(names[np.maximum(names.searchsorted(begin, side="right") - 1, 0)])
