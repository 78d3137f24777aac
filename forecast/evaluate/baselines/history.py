"""Where in the panel the bars of a series stand. The rows of one series follow each other; its gaps are closed up."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.market import MarketData


def first_rows(data: MarketData) -> NDArray[np.int64]:
    """(series,) the first row of each; of one without rows, that of the next."""
    bounds = np.append(data.panel_.bounds[:, 0], len(data.panel_.values))
    owners = np.arange(len(data.panel_.names) + 1)
    first: NDArray[np.int64] = bounds[np.searchsorted(data.panel_.series, owners)]
    return first


def training_rows(data: MarketData) -> NDArray[np.int64]:
    """(series, 2) first row and row after the last of each one's training days; the same twice where it has none."""
    first_day, last_day = data.stretches_["train"]
    starts = first_rows(data)
    found = [
        start + np.searchsorted(data.panel_.days[start:stop], (first_day, last_day + 1))
        for start, stop in pairwise(starts)
    ]
    return np.asarray(found, np.int64).reshape(-1, 2)


def closes(data: MarketData, first: int, stop: int) -> NDArray[np.float64]:
    """The Close that is forecast, of rows first to stop - 1."""
    return data.panel_.values[first:stop, data.layout.target].astype(np.float64)


def last_closes(data: MarketData, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(batch, 1) the last price known at each row: "tomorrow = today"."""
    last: NDArray[np.float64] = data.panel_.values[rows, data.layout.target].astype(np.float64)[:, None]
    return last


def by_series(series: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each series of a batch with the places of its windows."""
    order = np.argsort(series, kind="stable")
    owners, begins = np.unique(series[order], return_index=True)
    for owner, places in zip(owners, np.split(order, begins[1:]), strict=True):
        yield int(owner), places
