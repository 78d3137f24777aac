"""The windows of one split, as views of the panel: no window is stored, a batch is one gather."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.layout import Layout
    from forecast.data.panel import Panel


@dataclass(frozen=True)
class WindowBatch:
    """Some windows with what followed them; a forecaster must not look at panel rows after `rows`."""

    windows: NDArray[np.float32]  # (batch, lookback, columns) raw panel rows
    future: NDArray[np.float32]  # (batch, horizon, columns) the rows that are forecast
    series: NDArray[np.int64]  # (batch,) index into panel.names
    rows: NDArray[np.int64]  # (batch,) panel row of each window's last bar
    panel: Panel
    layout: Layout
    lead: int = 0  # bars between the last bar and the first that is forecast, see Target.lead

    @property
    def horizon(self) -> int:
        """Bars that are forecast."""
        return int(self.future.shape[1])

    @property
    def origin(self) -> NDArray[np.int32]:
        """(batch,) position in the panel's calendar of each window's last bar."""
        return self.panel.times[self.rows]

    @property
    def ahead(self) -> NDArray[np.int32]:
        """(batch, horizon) positions in the panel's calendar of the bars that are forecast."""
        first = self.lead + 1
        return self.panel.times[self.rows[:, None] + np.arange(first, first + self.future.shape[1])]

    @property
    def history(self) -> NDArray[np.float64]:
        """(batch, lookback) the target's values that each window saw."""
        return self.windows[..., self.layout.target].astype(np.float64)

    @property
    def outcome(self) -> NDArray[np.float64]:
        """(batch, horizon) the target's values that followed."""
        return self.future[..., self.layout.target].astype(np.float64)


class WindowIndex:
    """Every window of a split whose forecast bars all lie inside the split.

    Inputs may reach back over the split's first bar: that is the past, and it keeps every evaluation row.

    Args:
        panel: the run's bars.
        layout: of its columns.
        lookback: bars a window holds.
        horizon: bars that are forecast.
        first: position in the panel's calendar of the split's first bar.
        last: likewise of its last bar.
        lead: bars between a window and those that are forecast, which must lie inside the split as well.
    """

    def __init__(
        self,
        *,
        panel: Panel,
        layout: Layout,
        lookback: int,
        horizon: int,
        first: int,
        last: int,
        lead: int = 0,
    ) -> None:
        self.panel = panel
        self.layout = layout
        self.lookback = lookback
        self.horizon = horizon
        self.lead = lead
        follow = lead + horizon
        origins, counts, series = [], [], []
        for owner, (start, stop) in zip(panel.segment_series, panel.segments, strict=True):
            begin, after = start + np.searchsorted(panel.times[start:stop], (first, last + 1))
            # The last bar of a window: the bar before the split's first, with a whole window behind it.
            origin = max(start + lookback - 1, begin - 1)
            count = after - follow - origin
            if count > 0:
                origins.append(origin)
                counts.append(count)
                series.append(owner)
        self._origins = np.asarray(origins, np.int64)  # (runs,) row of the first window's last bar
        self._ends = np.cumsum(counts, dtype=np.int64)  # (runs,) windows up to and with this run
        self._begins = np.concatenate(([0], self._ends))[:-1]
        self._series = np.asarray(series, np.int64)
        columns = panel.values.shape[1]
        width = (lookback + follow) * columns
        # A window is contiguous in memory, so gathering one is one copy of `width` floats.
        self._view = np.lib.stride_tricks.as_strided(
            panel.values,
            shape=(max(len(panel.values) - lookback - follow + 1, 0), width),
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
        # (batch, bars * columns) -> (batch, bars, columns)
        block = block.reshape(len(rows), self.lookback + self.lead + self.horizon, -1)
        return WindowBatch(
            windows=block[:, : self.lookback],
            future=block[:, self.lookback + self.lead :],
            series=self._series[run],
            rows=rows,
            panel=self.panel,
            layout=self.layout,
            lead=self.lead,
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
