"""Windows that stand alone, without the bars before them, as a batch that any forecaster takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from forecast.data.panel import Panel
from forecast.data.windows import WindowBatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.layout import Layout
    from forecast.data.normaliser import WindowNormaliser


def batch_of(
    windows: NDArray[np.float32],
    *,
    names: Sequence[str],
    lookback: int,
    horizon: int,
    layout: Layout,
    counts: NDArray[np.integer] | None = None,
) -> WindowBatch:
    """Windows that stand alone as a batch, each a series of its own, its bars numbered from 0.

    Args:
        windows: (batch, bars, columns) raw panel rows, at least the lookback.
        names: (batch,) of their series.
        lookback: bars a window holds.
        horizon: steps to be forecast.
        layout: of the columns.
        counts: (batch,) how many of the bars, the newest, there are; None = all.
    """
    count, bars, width = windows.shape
    if counts is None:
        numbering, values = _whole(count, bars), windows.reshape(-1, width)
    else:
        there = np.arange(bars) >= (bars - counts)[:, None]  # (B, bars)
        numbering, values = _numbering(np.asarray(counts), there), windows[there]
    return WindowBatch(
        windows=windows[:, bars - lookback :],
        future=unknown_bars(count, horizon, width),
        series=numbering.series,
        rows=numbering.rows,
        panel=Panel(
            values=values,
            times=numbering.times,
            calendar=numbering.calendar,
            names=list(names),
            first_rows=numbering.first_rows,
            segments=numbering.segments,
            segment_series=numbering.segment_series,
        ),
        layout=layout,
    )


@dataclass(frozen=True, kw_only=True)
class _Numbering:
    """The panel and batch of windows without a history, but for their values; see Panel and WindowBatch."""

    times: NDArray[np.int32]
    calendar: NDArray[np.datetime64]
    first_rows: NDArray[np.int64]
    segments: NDArray[np.int64]
    segment_series: NDArray[np.int32]
    series: NDArray[np.int64]
    rows: NDArray[np.int64]


def _numbering(counts: NDArray[np.integer], there: NDArray[np.bool_]) -> _Numbering:
    """Of windows of so many bars, which are `there`, (batch, bars)."""
    count, bars = there.shape
    first_rows = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return _Numbering(
        times=np.nonzero(there)[1].astype(np.int32),
        calendar=np.arange(bars).astype("datetime64[ns]"),
        first_rows=first_rows,
        segments=np.stack((first_rows[:-1], first_rows[1:]), axis=1),
        segment_series=np.arange(count, dtype=np.int32),
        series=np.arange(count),
        rows=first_rows[1:] - 1,
    )


@lru_cache(maxsize=128)  # a server asks for the same few sizes of batches again and again
def _whole(count: int, bars: int) -> _Numbering:
    """Of windows that have all their bars; shared, so that nobody may write to it."""
    found = _numbering(np.full(count, bars), np.ones((count, bars), np.bool_))
    for array in vars(found).values():
        array.flags.writeable = False
    return found


def unknown_bars(count: int, horizon: int, width: int) -> NDArray[np.float32]:
    """Bars that have not come yet."""
    return np.full((count, horizon, width), np.nan, np.float32)


def inputs_of(normaliser: WindowNormaliser, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a network sees of raw windows: (windows, lookback, columns) -> (windows, lookback, features)."""
    import torch

    with torch.inference_mode():
        raw = torch.from_numpy(np.ascontiguousarray(windows)).to(normaliser.device)
        inputs: NDArray[np.float32] = normaliser.inputs(raw).cpu().numpy()
    return inputs
