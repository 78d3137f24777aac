"""All bars of a run in one contiguous float32 array."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import IO, TYPE_CHECKING

import numpy as np

from forecast.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A panel grows to twice its size, a large one by so much: remapping pages costs no copy, and this bounds what stands
# unused.
_GROWTH_BYTES = 64 * 2**20
# Rows renumbered at once.
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Series:
    """Bars of one forecast target with its features: a ticker, or several side by side under the first one's name."""

    name: str
    times: NDArray[np.datetime64]  # (bars,) datetime64[ns], ascending, distinct
    values: NDArray[np.float32]  # (bars, columns); a row with a NaN is a gap no window may span
    # (bars,) where a session begins that no window may reach back over.
    begins: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Panel:
    """Rows of all series, one after the other, each in order of time, gaps taken out.

    Rows without a gap between them form a segment; windows never leave one.
    """

    values: NDArray[np.float32]  # (rows, columns)
    times: NDArray[np.int32]  # (rows,) position in `calendar`
    # (times,) datetime64[ns], ascending: every time at which any series has a row.
    calendar: NDArray[np.datetime64]
    names: list[str]  # (series,)
    first_rows: NDArray[np.int64]  # (series + 1,) where each series begins, and the number of rows
    segments: NDArray[np.int64]  # (segments, 2) first row and the row after the last
    segment_series: NDArray[np.int32]  # (segments,) index into `names`

    def time_of(self, positions: NDArray[np.integer] | int) -> NDArray[np.datetime64]:
        """The time, datetime64[ns], of positions in `calendar`, in their shape."""
        found: NDArray[np.datetime64] = self.calendar[positions]
        return found

    def rows_between(self, first: int, last: int) -> NDArray[np.int64]:
        """Rows of each series in a range of the calendar.

        Returns:
            (series, 2) first row and the row after the last; the same twice where a series has none.
        """
        found = [
            start + np.searchsorted(self.times[start:stop], (first, last + 1))
            for start, stop in zip(self.first_rows[:-1], self.first_rows[1:], strict=True)
        ]
        return np.asarray(found, np.int64).reshape(-1, 2)


def build_panel(series: Iterable[Series], *, num_columns: int, most_memory: int | None = None) -> Panel:
    """Append series as they come; memory holds the panel and one series.

    Args:
        series: of the run.
        num_columns: of each.
        most_memory: bytes; values that need more lie in a temporary file that is mapped into memory, where the system
            keeps what is used and there is space for. The file has no name and goes with the process. None = in memory.

    Raises:
        UserError: the temporary file cannot be written.
    """
    values = _Rows(num_columns, most_memory)
    times = np.empty(0, np.int32)
    numbering = _Numbering()
    names: list[str] = []
    first_rows = [0]
    owners: list[int] = []
    segments: list[tuple[int, int]] = []
    used = 0
    for item in series:
        assert item.values.shape == (len(item.times), num_columns), item.name
        good = np.asarray(np.isfinite(item.values).all(axis=1))
        for first, stop in _split_runs(_true_runs(good), item.begins):
            need = used + stop - first
            if need > len(times):
                times.resize(need + min(need, _GROWTH_BYTES // 4), refcheck=False)
            values.append(item.values[first:stop])
            times[used:need] = numbering.numbers(item.times[first:stop])
            owners.append(len(names))
            segments.append((used, need))
            used = need
        names.append(item.name)
        first_rows.append(used)
    times.resize(used, refcheck=False)
    positions = numbering.positions()
    for start in range(0, used, _CHUNK):
        times[start : start + _CHUNK] = positions[times[start : start + _CHUNK]]
    return Panel(
        values=values.finished(),
        times=times,
        calendar=numbering.sorted,
        names=names,
        first_rows=np.asarray(first_rows, np.int64),
        segments=np.asarray(segments, np.int64).reshape(-1, 2),
        segment_series=np.asarray(owners, np.int32),
    )


class _Rows:
    """Rows that are appended: in memory while they are few, in a temporary file once they are many."""

    def __init__(self, columns: int, most_memory: int | None) -> None:
        self.columns = columns
        self.most = most_memory
        self.count = 0
        self.memory = np.empty((0, columns), np.float32)
        self.file: IO[bytes] | None = None

    def append(self, rows: NDArray[np.float32]) -> None:
        """Add (rows, columns)."""
        need = self.count + len(rows)
        if self.file is None and self.most is not None and 4 * need * self.columns > self.most:
            self.file = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the panel
            self._write(self.memory[: self.count])
            self.memory = np.empty((0, self.columns), np.float32)
        if self.file is not None:
            self._write(rows)
        else:
            if need > len(self.memory):
                capacity = need + min(need, _GROWTH_BYTES // (4 * self.columns))
                self.memory.resize((capacity, self.columns), refcheck=False)
            self.memory[self.count : need] = rows
        self.count = need

    def finished(self) -> NDArray[np.float32]:
        """(rows, columns); of a file it is read-only."""
        if self.file is None:
            self.memory.resize((self.count, self.columns), refcheck=False)
            return self.memory
        with self.file:  # the mapping keeps its own hold on it
            self.file.flush()
            mapped = np.memmap(self.file, np.float32, mode="r", shape=(self.count, self.columns))
        return np.asarray(mapped)  # indexing a memmap is slower

    def _write(self, rows: NDArray[np.float32]) -> None:
        assert self.file is not None
        try:
            self.file.write(np.ascontiguousarray(rows).data)
        except OSError as error:
            raise UserError(
                f"data.panel_memory_mb: the panel's temporary file in {tempfile.gettempdir()} cannot be written "
                f"({error.strerror or error}); set TMPDIR to a folder with space, or a larger data.panel_memory_mb"
            ) from None


class _Numbering:
    """Numbers for times in the order they are first seen, so that a new time changes no number given before."""

    def __init__(self) -> None:
        self.sorted = np.empty(0, "datetime64[ns]")
        self._numbers = np.empty(0, np.int32)  # of each time in `sorted`

    def numbers(self, times: NDArray[np.datetime64]) -> NDArray[np.int32]:
        """(bars,) the number of each time; ascending, distinct times."""
        place = np.searchsorted(self.sorted, times)
        inside = np.minimum(place, len(self.sorted) - 1)
        new = np.ones(len(times), bool) if not len(self.sorted) else self.sorted[inside] != times
        if new.any():
            count = len(self.sorted)
            self.sorted = np.insert(self.sorted, place[new], times[new])
            self._numbers = np.insert(
                self._numbers, place[new], np.arange(count, count + new.sum(), dtype=np.int32)
            )
            place = np.searchsorted(self.sorted, times)
        return self._numbers[place]

    def positions(self) -> NDArray[np.int32]:
        """Number -> position in `sorted`."""
        return np.argsort(self._numbers).astype(np.int32)


def _split_runs(runs: list[tuple[int, int]], begins: NDArray[np.bool_] | None) -> list[tuple[int, int]]:
    """The same rows, parted where sessions begin."""
    if begins is None:
        return runs
    return [
        part
        for first, stop in runs
        for part in pairwise((first, *(np.flatnonzero(begins[first + 1 : stop]) + first + 1).tolist(), stop))
    ]


def _true_runs(good: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open ranges of True."""
    if good.all():
        return [(0, len(good))] if len(good) else []
    edges = np.flatnonzero(np.diff(good.astype(np.int8), prepend=0, append=0))
    return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]
