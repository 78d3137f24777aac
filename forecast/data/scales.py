"""What errors are held against: of each series, over its training rows alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from forecast.data.panel import Panel
    from forecast.data.target import Target


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
    import numpy as np

    total, count = np.zeros((2, len(panel.names)))
    for owner, (start, stop) in zip(panel.segment_series, panel.segments, strict=True):
        first, after = start + np.searchsorted(panel.times[start:stop], (rows[0], rows[1] + 1))
        values = panel.values[first:after, column].astype(np.float64)
        ahead = target.lead + 1
        errors = np.abs(target.in_unit(values[ahead:]) - target.naive(values[:-ahead, None]))
        total[owner] += errors.sum()
        count[owner] += len(errors)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count)


def training_mean(panel: Panel, *, rows: tuple[int, int], target: Target, column: int) -> np.ndarray:
    """Mean of what each series was in its training rows, in the target's unit, (series,); NaN without any.

    Args:
        panel: the run's bars.
        rows: first and last position in the calendar of the training split.
        target: what is forecast.
        column: of the panel that holds its values.
    """
    import numpy as np

    means = np.full(len(panel.names), np.nan)
    for number, (first, after) in enumerate(panel.rows_between(*rows)):
        if after > first:
            means[number] = target.in_unit(panel.values[first:after, column].astype(np.float64)).mean()
    return means
