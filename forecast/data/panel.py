"""All bars of a run in one contiguous float32 array."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A panel grows to twice its size, a large one by so much: remapping pages costs no copy, and this bounds what stands
# unused.
_GROWTH_BYTES = 64 * 2**20
# 1677-09-21, where pandas' dates begin; a day before 1970 has a negative number.
_FIRST_DAY = -106_752


@dataclass(frozen=True)
class Series:
    """One forecast target with its features: a ticker, or several side by side under the first one's name."""

    name: str
    days: NDArray[np.int32]  # (bars,) days since 1970-01-01, ascending
    values: NDArray[np.float32]  # (bars, columns); a row with a NaN is a gap no window may span


@dataclass(frozen=True)
class Panel:
    """Rows of all series, one after the other, gaps taken out.

    A run of rows without a gap is a stretch; windows never leave one.
    """

    values: NDArray[np.float32]  # (rows, columns)
    days: NDArray[np.int32]  # (rows,)
    names: list[str]  # of the series
    series: NDArray[np.int32]  # (stretches,) index into names
    bounds: NDArray[np.int64]  # (stretches, 2) first row and the row after the last
    calendar: NDArray[np.int32]  # every day on which any series has a row


def build_panel(series: Iterable[Series], *, num_columns: int) -> Panel:
    """Append series as they come; memory holds the panel and one series."""
    values = np.empty((0, num_columns), np.float32)
    days = np.empty(0, np.int32)
    names: list[str] = []
    owners: list[int] = []
    bounds: list[tuple[int, int]] = []
    seen = np.zeros(0, bool)  # by day, counted from the first one there can be
    used = 0
    for item in series:
        assert item.values.shape == (len(item.days), num_columns), item.name
        good = np.asarray(np.isfinite(item.values).all(axis=1))
        for first, stop in _runs(good):
            need = used + stop - first
            if need > len(days):
                capacity = need + min(need, _GROWTH_BYTES // (4 * num_columns))
                values.resize((capacity, num_columns), refcheck=False)
                days.resize(capacity, refcheck=False)
            values[used:need] = item.values[first:stop]
            days[used:need] = item.days[first:stop]
            if (last := int(item.days[stop - 1]) - _FIRST_DAY) >= len(seen):
                seen.resize(last + 1, refcheck=False)
            seen[item.days[first:stop] - _FIRST_DAY] = True
            owners.append(len(names))
            bounds.append((used, need))
            used = need
        names.append(item.name)
    values.resize((used, num_columns), refcheck=False)
    days.resize(used, refcheck=False)
    return Panel(
        values=values,
        days=days,
        names=names,
        series=np.asarray(owners, np.int32),
        bounds=np.asarray(bounds, np.int64).reshape(-1, 2),
        calendar=(np.flatnonzero(seen) + _FIRST_DAY).astype(np.int32),
    )


def _runs(good: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open stretches of True."""
    if good.all():
        return [(0, len(good))] if len(good) else []
    edges = np.flatnonzero(np.diff(good.astype(np.int8), prepend=0, append=0))
    return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]
