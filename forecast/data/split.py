"""Train, validation and test as ranges of one calendar, and what errors are held against, over training rows alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forecast.errors import UserError

if TYPE_CHECKING:
    from forecast.data.panel import Panel
    from forecast.data.target import Target
    from forecast.data.windows import WindowIndex

SPLITS = ("train", "val", "test")
# split -> (first, last) position in the panel's calendar, both inclusive
SplitRanges = dict[str, tuple[int, int]]


def split_by_ratio(
    count: int, *, train_ratio: float, val_ratio: float, embargo: int, label: str = "day"
) -> SplitRanges:
    """Cut a calendar by ratio into three ranges with an embargo between them.

    The embargo is taken from the end of the earlier range, so validation and test begin where the ratios say
    and no evaluation row is lost to it. Source: Lopez de Prado (2018), Advances in Financial Machine Learning, 7.4.

    Args:
        count: times in the calendar.
        train_ratio: share of them, oldest first.
        val_ratio: share that follows.
        embargo: times left out before validation and before test.
        label: what a time is called in messages.

    Returns:
        split -> (first, last) position, both inclusive.

    Raises:
        UserError: a range would be empty.
    """
    # 0.7 + 0.15 of 100 days is 85 days, though the sum of the floats is a hair below 0.85.
    test_start = round((train_ratio + val_ratio) * count, 6)
    borders = [0, int(round(train_ratio * count, 6)), int(test_start), count]
    ranges = {}
    for number, name in enumerate(SPLITS):
        first, stop = borders[number], borders[number + 1]
        if name != "test":
            stop -= embargo
        if stop <= first:
            raise UserError(
                f"{count} {label}s leave no {name} {label} after data.train_ratio={train_ratio}, "
                f"data.val_ratio={val_ratio} and an embargo of {embargo}: ask for a longer data.period "
                "or a shorter data.embargo or data.horizon"
            )
        ranges[name] = (first, stop - 1)
    return ranges


def naive_error(panel: Panel, *, rows: tuple[int, int], target: Target, column: int) -> np.ndarray:
    """Mean absolute error of the one-step naive forecast over each series' training rows, the scale of MASE.

    Args:
        panel: the run's bars.
        rows: first and last position in the calendar of the training split.
        target: what is forecast.
        column: of the panel that holds its values.

    Returns:
        (series,) in the target's unit; NaN where a series has no two training rows that follow one another.

    Source: Hyndman and Koehler (2006), Another look at measures of forecast accuracy.
    """
    total, count = np.zeros((2, len(panel.names)))
    for series, (start, stop) in zip(panel.segment_series, panel.segments, strict=True):
        first, after = start + np.searchsorted(panel.times[start:stop], (rows[0], rows[1] + 1))
        values = panel.values[first:after, column].astype(np.float64)
        ahead = target.lead + 1
        errors = np.abs(target.in_unit(values[ahead:]) - target.naive(values[:-ahead, None]))
        total[series] += errors.sum()
        count[series] += len(errors)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count)


def training_mean(windows: WindowIndex, *, target: Target) -> np.ndarray:
    """Mean of the values one step after each training window, in the target's unit, (series,); NaN without any.

    Args:
        windows: of the training split.
        target: what is forecast.
    """
    panel, ahead = windows.panel, target.lead + 1
    total, count = np.zeros((2, len(panel.names)))
    for series, first, stop in windows.runs():
        values = panel.values[first + ahead : stop + ahead, windows.layout.target].astype(np.float64)
        total[series] += target.in_unit(values).sum()
        count[series] += len(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count)
