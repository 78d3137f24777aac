"""The latest outcomes of each ticker and step that were known when a forecast was made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[np.float64]
    Index = NDArray[np.integer]

_AT_ONCE = 2048  # rows whose windows are looked at together


class History:
    """Values by stream (a ticker's forecasts of one step), each with the time from which on it is known.

    Args:
        streams: their number.
        window: latest values of a stream that are kept.
    """

    def __init__(self, streams: int, *, window: int) -> None:
        self.window = window
        self._times = [np.empty(0, np.int32)] * streams
        self._values = [np.empty(0, np.float32)] * streams

    def add(self, streams: Index, times: Index, values: Column) -> None:
        """Append values; what is known of a stream from the first of these times on is replaced.

        Args:
            streams: (rows,).
            times: (rows,) of a stream ascending.
            values: (rows,); one that is not finite is left out.
        """
        for stream, rows in _by_stream(streams):
            self._append(stream, times[rows].astype(np.int32), values[rows])

    def follow(
        self, streams: Index, origins: Index, times: Index, values: Column, *, keep: bool = True
    ) -> Iterator[tuple[Index, NDArray[np.float32], Index]]:
        """What was known when each of some forecasts was made, their own earlier outcomes among it; then add these.

        Args:
            streams: (rows,).
            origins: (rows,) when each forecast was made, of a stream ascending.
            times: (rows,) when its outcome is known.
            values: (rows,) that outcome.
            keep: whether they are added; not where nothing follows any more, and memory counts.

        Yields:
            numbers of some rows; (rows, window) the latest values, NaN where there are fewer; (rows,) how many there
            are.
        """
        for stream, rows in _by_stream(streams):
            own = times[rows].astype(np.int32)
            before = self._times[stream] < own[0]
            earlier = self._values[stream][before]
            good = np.isfinite(values[rows])
            known_at = np.concatenate((self._times[stream][before], own[good]))
            known = np.concatenate((earlier, values[rows][good].astype(np.float32)))
            ends = np.searchsorted(known_at, origins[rows], side="right")
            padded = np.concatenate((np.full(self.window, np.nan, np.float32), known))
            windows = np.lib.stride_tricks.sliding_window_view(padded, self.window)
            for start in range(0, len(rows), _AT_ONCE):
                some = slice(start, start + _AT_ONCE)
                yield rows[some], windows[ends[some]], np.minimum(ends[some], self.window)
            if keep:
                self._append(stream, own, values[rows])

    def precede(self, stream: int, values: Column) -> None:
        """Put values of others before all that is known of a stream, evenly spaced by size, as many as the window
        holds."""
        free = min(self.window - len(self._values[stream]), len(values))
        if free <= 0:
            return
        spaced = np.sort(values)[((np.arange(free) + 0.5) * len(values) / free).astype(np.int64)]
        first = self._times[stream][0] - 1 if len(self._times[stream]) else -1
        self._times[stream] = np.concatenate((np.full(free, first, np.int32), self._times[stream]))
        self._values[stream] = np.concatenate((spaced.astype(np.float32), self._values[stream]))

    def latest(self, stream: int) -> NDArray[np.float32]:
        """All values that are kept of a stream, oldest first."""
        return self._values[stream]

    def _append(self, stream: int, times: Index, values: Column) -> None:
        before = self._times[stream] < times[0]
        good = np.isfinite(values)
        self._times[stream] = np.concatenate((self._times[stream][before], times[good]))[-self.window :]
        joined = np.concatenate((self._values[stream][before], values[good].astype(np.float32)))
        self._values[stream] = joined[-self.window :]


def interpolated(ascending: NDArray[np.float32], counts: Index, level: float) -> Column:
    """(rows,) the quantile of each row's first `counts` values, linear between two of them; NaN without any.

    Args:
        ascending: (rows, values) the smallest first, at least as many as the quantile needs.
        counts: (rows,) how many values there are in all.
        level: in [0, 1].

    Source: Hyndman and Fan (1996), definition 7, which numpy's quantile uses.
    """
    place = np.maximum(counts - 1, 0) * level
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(counts - 1, 0))
    row, share = np.arange(len(ascending)), place - low
    found = (1 - share) * ascending[row, low] + share * ascending[row, high]
    return np.where(counts > 0, found, np.nan)


def _by_stream(streams: Index) -> Iterator[tuple[int, Index]]:
    """Each stream with the numbers of its rows, in order."""
    order = np.argsort(streams, kind="stable")
    present, begins = np.unique(streams[order], return_index=True)
    yield from zip(present.tolist(), np.split(order, begins[1:]), strict=True)
