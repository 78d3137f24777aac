"""The windows of one split, as views of the panel: no window is stored, a batch is one gather."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.panel import Panel


@dataclass(frozen=True)
class WindowBatch:
    """Some windows with what followed them."""

    windows: NDArray[np.float32]  # (batch, lookback, columns) raw panel rows
    future: NDArray[np.float32]  # (batch, horizon, columns) the rows after each window
    series: NDArray[np.int64]  # (batch,) index into panel.names
    rows: NDArray[np.int64]  # (batch,) panel row of each window's last bar


class Windows:
    """Every window of a split whose forecast days all lie inside the split.

    Inputs may reach back over the split's first day: that is the past, and it keeps every evaluation row.

    Args:
        panel: the run's bars.
        lookback: bars a window holds.
        horizon: bars that must follow it.
        first_day: first day of the split, days since 1970-01-01.
        last_day: last day of the split.
    """

    def __init__(self, *, panel: Panel, lookback: int, horizon: int, first_day: int, last_day: int) -> None:
        self.panel = panel
        self.lookback = lookback
        self.horizon = horizon
        origins, counts, series = [], [], []
        for owner, (start, stop) in zip(panel.series, panel.bounds, strict=True):
            days = panel.days[start:stop]
            first, after = start + np.searchsorted(days, (first_day, last_day + 1))
            # The last bar of a window: the bar before the first forecast day, with a whole window behind it.
            origin = max(start + lookback - 1, first - 1)
            count = after - horizon - origin
            if count > 0:
                origins.append(origin)
                counts.append(count)
                series.append(owner)
        self._origins = np.asarray(origins, np.int64)  # (runs,) row of the first window's last bar
        self._ends = np.cumsum(counts, dtype=np.int64)  # (runs,) windows up to and with this run
        self._begins = np.concatenate(([0], self._ends))[:-1]
        self._series = np.asarray(series, np.int64)
        columns = panel.values.shape[1]
        width = (lookback + horizon) * columns
        # A window is contiguous in memory, so gathering one is one copy of `width` floats.
        self._view = np.lib.stride_tricks.as_strided(
            panel.values,
            shape=(max(len(panel.values) - lookback - horizon + 1, 0), width),
            strides=(panel.values.strides[0], panel.values.itemsize),
            writeable=False,
        )

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def take(self, index: NDArray[np.integer]) -> WindowBatch:
        """Gather windows by number, oldest first within a series.

        Args:
            index: (batch,) numbers in [0, len(self)).
        """
        run = np.searchsorted(self._ends, index, side="right")
        rows = self._origins[run] + (index - self._begins[run])
        block = self._view[rows - self.lookback + 1]
        # (batch, (lookback + horizon) * columns) -> (batch, lookback + horizon, columns)
        block = block.reshape(len(rows), self.lookback + self.horizon, -1)
        return WindowBatch(
            windows=block[:, : self.lookback],
            future=block[:, self.lookback :],
            series=self._series[run],
            rows=rows,
        )

    def runs(self) -> Iterator[tuple[int, int, int]]:
        """Series, first and after-last row of the last bars of its windows, for each unbroken run of windows."""
        for owner, first, begin, end in zip(
            self._series, self._origins, self._begins, self._ends, strict=True
        ):
            yield int(owner), int(first), int(first + end - begin)

    def spread(self, most: int) -> NDArray[np.int64]:
        """At most `most` window numbers, evenly spaced over the whole split."""
        step = max(1, -(-len(self) // most))
        return np.arange(0, len(self), step)
