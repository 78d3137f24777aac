"""Counts and latencies of all processes of a server, kept by prometheus_client in its multiprocess mode.

Each process counts in memory-mapped files of its own; whoever is asked adds them up. A process that is killed leaves
its counts. Latencies are counted in buckets about 10 % wide, fine enough for percentiles; a bucket becomes a series
once it is used.
"""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from multiprocessing import util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.mmap_dict import MmapedDict

# Preferred numbers: two neighbours lie about 10 % apart, so a percentile is off by 5 % at most.
_STEPS = (
    1.0, 1.1, 1.2, 1.3, 1.5, 1.6, 1.8, 2.0, 2.2, 2.5, 2.7, 3.0,
    3.3, 3.6, 3.9, 4.3, 4.7, 5.0, 5.6, 6.2, 6.8, 7.5, 8.2, 9.1,
)  # fmt: skip
# Upper ends in seconds, 10 us to 100 s; one more bucket takes what is longer.
EDGES = (*(float(f"{step}e{power}") for power in range(-5, 2) for step in _STEPS), 100.0)
MAX_ROWS = 192  # different (method, status, route) of a process; further ones share the last
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_OTHER = ("other", 0, "other")
_KINDS = ("counter", "gauge_max", "gauge_all", "gauge_liveall")  # of files, as prometheus_client names them
_PIECES, _PIECE_S = 7, 10  # ten-second pieces of the last minute, and the one being filled


@dataclass(frozen=True, kw_only=True)
class Latency:
    """How long requests of one kind took, or of several added up."""

    # bucket (place in EDGES, len(EDGES) = longer) -> requests
    counts: Mapping[int, int] = field(default_factory=dict)
    seconds: float = 0.0  # their sum
    fastest: float | None = None  # of a request, in seconds; None without requests
    slowest: float | None = None  # likewise

    @property
    def number(self) -> int:
        """Of requests."""
        return sum(self.counts.values())

    @property
    def mean(self) -> float | None:
        """Seconds a request; None without requests."""
        return self.seconds / self.number if self.number else None

    def percentile(self, share: float) -> float | None:
        """Seconds that a share (0 to 1) of the requests did not exceed; None without requests."""
        wanted, below = share * self.number, 0
        for bucket, count in sorted(self.counts.items()):
            if count and below + count >= wanted:
                low = EDGES[bucket - 1] if bucket else 0.0
                high = EDGES[min(bucket, len(EDGES) - 1)]
                found = low + (high - low) * max(0.0, wanted - below) / count
                return min(max(found, self.fastest or 0.0), self.slowest or found)
            below += count
        return None

    def cumulative(self) -> list[tuple[float, int]]:
        """Upper end in seconds, and how many requests took no longer, for the ends that a scraper is shown."""
        return [
            (edge, sum(count for bucket, count in self.counts.items() if bucket <= place))
            for place, edge in enumerate(EDGES)
            if edge >= 1e-4 and f"{edge:.1e}"[:3] in ("1.0", "2.5", "5.0")
        ]

    def __add__(self, other: Latency) -> Latency:
        fastest = [value for value in (self.fastest, other.fastest) if value is not None]
        slowest = [value for value in (self.slowest, other.slowest) if value is not None]
        return Latency(
            counts=Counter(self.counts) + Counter(other.counts),
            seconds=self.seconds + other.seconds,
            fastest=min(fastest, default=None),
            slowest=max(slowest, default=None),
        )


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process that lives and counts."""

    pid: int
    model_version: str | None  # None until it has one
    in_flight: int
    queue: int
    forecasts: int


@dataclass(frozen=True, kw_only=True)
class MetricsSnapshot:
    """What all processes counted together, those that died included."""

    requests: dict[tuple[str, int, str], Latency]  # (method, status, route) -> how long they took
    last_minute: Latency  # forecasts from windows that were given, in the last 60 to 70 seconds
    last_inference: datetime | None  # when the newest of them was answered; None without any
    forecasts: int  # windows that went through the network
    batches: int  # in so many batches
    swaps: int  # models that took the place of another; the most that any process saw
    processes: list[Process]  # that live
    # (kind, state) -> how many came to such an end
    trainings: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def inferences(self) -> Latency:
        """Forecasts from windows that were given."""
        return sum((own for key, own in self.requests.items() if is_inference(*key)), Latency())

    @property
    def errors(self) -> dict[int, int]:
        """Requests that were refused or failed, by status."""
        found = Counter[int]()
        for (_, status, _), own in self.requests.items():
            if status >= 400:
                found[status] += own.number
        return dict(sorted(found.items()))

    @property
    def in_flight(self) -> int:
        """Requests being answered."""
        return sum(process.in_flight for process in self.processes)

    @property
    def queue(self) -> int:
        """Windows that wait or are being computed."""
        return sum(process.queue for process in self.processes)


def read_figures(folder: Path) -> MetricsSnapshot:
    """What all processes that share a folder of memory-mapped files have counted."""
    from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

    for path in folder.glob("gauge_live*.db"):
        owner = int(path.stem.rpartition("_")[2])
        if not _is_alive(owner):
            mark_process_dead(owner, str(folder))
    metrics = {metric.name: metric for metric in MultiProcessCollector(None, str(folder)).collect()}

    def by(name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """The figures of a name, added up over all labels but these."""
        found: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for sample in metrics[name].samples if name in metrics else ():
            found[tuple(sample.labels[label] for label in labels)] += sample.value
        return found

    in_flight, queue, forecasts = (by(name, "pid") for name in ("in_flight", "queue", "forecasts"))
    newest: dict[str, str] = {}  # the version with the largest number
    for (pid, version), number in sorted(by("version", "pid", "version").items(), key=lambda item: item[1]):
        if number:
            newest[pid] = version
    last_inference = by("last_inference")[()]
    return MetricsSnapshot(
        requests=_requests(by),
        last_minute=_last_minute(by),
        last_inference=datetime.fromtimestamp(last_inference, UTC) if last_inference else None,
        forecasts=int(by("forecasts")[()]),
        batches=int(by("batches")[()]),
        swaps=int(by("swaps")[()]),
        processes=[
            Process(
                pid=int(pid),
                model_version=newest.get(pid),
                in_flight=int(in_flight[pid,]),
                queue=int(queue[pid,]),
                forecasts=int(forecasts[pid,]),
            )
            for (pid,), alive in sorted(by("alive", "pid").items(), key=lambda item: int(item[0][0]))
            if alive
        ],
        trainings={
            (kind, state): int(number)
            for (kind, state), number in by("trainings", "job", "state").items()
            if number
        },
    )


class ProcessCounters:
    """What one process counts; a few microseconds a request.

    The files are prometheus_client's, which it and `Counters` read; its Counter and Gauge, which ask before each step
    whether the process was forked, take five times as long to write them. `MmapedDict` and `mmap_key` are public by
    name but not documented: they are used here alone, and what is written is read back by the documented collector
    (tests/serve/monitoring/test_counters.py), which fails where a version of the library changes them.
    """

    def __init__(self, folder: Path) -> None:
        from prometheus_client.mmap_dict import MmapedDict

        pid = os.getpid()
        self._files = {kind: MmapedDict(str(folder / f"{kind}_{pid}.db")) for kind in _KINDS}
        close = ExitStack()
        for file in self._files.values():
            close.callback(file.close)
        self.close = util.Finalize(self, close.close)  # no more is counted
        self._lock = threading.Lock()  # of the event loop's thread and of those that forecast
        self._rows: dict[tuple[str, int, str], _Row] = {}
        self._recent: dict[int, dict[int, _Series]] = {piece: {} for piece in range(_PIECES)}
        self._numbers = dict.fromkeys(range(_PIECES), 0)
        self._models = 0
        self._version = ""
        self._in_flight, self._queue = self.series("liveall", "in_flight"), self.series("liveall", "queue")
        self._forecasts, self._batches = self.series("all", "forecasts"), self.series("counter", "batches")
        self._last_inference = self.series("max", "last_inference")
        self.series("liveall", "alive").set(1)

    def series(self, kind: str, name: str, **labels: object) -> _Series:
        """A figure of this process.

        Args:
            kind: `counter`; `max`, the largest of all processes; `all`, one of each; `liveall`, of those that live.
            labels: that tell it from others of the name.
        """
        return _Series(self._files[kind if kind == "counter" else f"gauge_{kind}"], name, labels)

    def began(self, queue: int) -> None:
        """A request came in; so many windows wait."""
        with self._lock:
            self._in_flight.add(1)
            self._queue.set(queue)

    def ended(self, method: str, status: int, route: str, seconds: float, queue: int) -> None:
        """A request was answered, or given up."""
        bucket = bisect_left(EDGES, seconds)
        with self._lock:
            self._row(method, status, route).add(bucket, seconds)
            self._in_flight.set(max(0, self._in_flight.value - 1))
            self._queue.set(queue)
            if is_inference(method, status, route):
                now = time.time()
                self._last_inference.set(now)
                self._add_recent(int(now) // _PIECE_S, bucket)

    def forecast(self, windows: int) -> None:
        """A batch went through the network."""
        with self._lock:
            self._forecasts.add(windows)
            self._batches.add(1)

    def training_ended(self, kind: str, state: str) -> None:
        """A training that this process started came to an end."""
        with self._lock:
            self.series("counter", "trainings", job=kind, state=state).add(1)

    def model_loaded(self, version: str) -> None:
        """Another model answers from now on; the first one is no swap."""
        with self._lock:
            if version != self._version:
                self._version = version
                self._models += 1
                # The newest has the largest.
                self.series("liveall", "version", version=version).set(self._models)
                self.series("max", "swaps").set(self._models - 1)

    def _row(self, method: str, status: int, route: str) -> _Row:
        found = self._rows.get((method, status, route))
        if found is not None:
            return found
        known = 100 <= status <= 599
        key = (method if known and method in _METHODS else "other", status if known else 0, route)
        if key not in self._rows and len(self._rows) >= MAX_ROWS - 1:
            key = _OTHER
        if key not in self._rows:
            self._rows[key] = _Row(self.series, key)
        return self._rows[key]

    def _add_recent(self, number: int, bucket: int) -> None:
        piece = number % _PIECES
        own = self._recent[piece]
        if self._numbers[piece] != number:
            self._numbers[piece] = number
            for old in own.values():
                old.set(0)
            self.series("all", "piece", piece=piece).set(number)
        if bucket not in own:
            own[bucket] = self.series("all", "recent", piece=piece, bucket=bucket)
        own[bucket].add(1)


class _Series:
    """One figure in a file of this process, which nobody else writes to."""

    def __init__(self, file: MmapedDict, name: str, labels: Mapping[str, object]) -> None:
        from prometheus_client.mmap_dict import mmap_key

        self._key = mmap_key(name, name, list(labels), [str(value) for value in labels.values()], name)
        self._write: Callable[[str, float, float], None] = file.write_value
        self.value: float = file.read_value(self._key)[0]

    def set(self, value: float) -> None:
        """Write the figure."""
        if value != self.value:
            self.value = value
            self._write(self._key, value, 0.0)

    def add(self, value: float) -> None:
        """Increase the figure by an amount."""
        self.set(self.value + value)


class _Row:
    """Series of one (method, status, route) in one process."""

    def __init__(self, series: Callable[..., _Series], key: tuple[str, int, str]) -> None:
        labels = dict(zip(("method", "status", "route"), key, strict=True))
        self._bucket = cache(lambda bucket: series("counter", "requests", **labels, bucket=bucket))
        self._seconds = series("counter", "seconds", **labels)
        # Largest of all processes; of a speed, because a process that has seen none counts as 0.
        self._slowest, self._speed = series("max", "slowest", **labels), series("max", "speed", **labels)

    def add(self, bucket: int, seconds: float) -> None:
        """One more request."""
        self._bucket(bucket).add(1)
        self._seconds.add(seconds)
        if seconds > self._slowest.value:
            self._slowest.set(seconds)
        if seconds * self._speed.value < 1 and seconds > 0:
            self._speed.set(1 / seconds)


def is_inference(method: str, status: int, route: str) -> bool:
    """Whether a request was answered with a forecast from the window that it sent."""
    return status == 200 and method == "POST" and route.endswith("/infer")


def _requests(by: Callable[..., dict[tuple[str, ...], float]]) -> dict[tuple[str, int, str], Latency]:
    labels = ("method", "status", "route")
    counts: dict[tuple[str, ...], dict[int, int]] = {}
    for (*row, bucket), number in by("requests", *labels, "bucket").items():
        if number:  # else it is another process's
            counts.setdefault(tuple(row), {})[int(bucket)] = int(number)
    seconds, slowest, speed = (by(name, *labels) for name in ("seconds", "slowest", "speed"))
    return {
        (row[0], int(row[1]), row[2]): Latency(
            counts=own,
            seconds=seconds[row],
            fastest=1 / speed[row] if speed[row] else None,
            slowest=slowest[row] or None,
        )
        for row, own in counts.items()
    }


def _last_minute(by: Callable[..., dict[tuple[str, ...], float]]) -> Latency:
    oldest = int(time.time()) // _PIECE_S - _PIECES
    numbers, counts = by("piece", "pid", "piece"), Counter[int]()
    for (pid, piece, bucket), number in by("recent", "pid", "piece", "bucket").items():
        if numbers[pid, piece] > oldest:
            counts[int(bucket)] += int(number)
    return Latency(counts=counts)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True
