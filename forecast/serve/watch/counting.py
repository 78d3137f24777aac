"""What one process counts, on its page."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from forecast.serve.watch.latency import bucket
from forecast.serve.watch.pages import MOST_ROWS, NAME, PIECE_S, PIECES

if TYPE_CHECKING:
    from forecast.serve.watch.pages import Page

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_OTHER = ("other", 0, "other")


class _Row(NamedTuple):
    counts: memoryview[int]  # (BUCKETS,)
    seconds: memoryview[float]  # sum, least, most


def is_inference(method: str, status: int, route: str) -> bool:
    """Whether such a request was a forecast from a window that was given."""
    return status == 200 and method == "POST" and route.endswith("/infer")


class Counting:
    """Writes requests on a page; plain stores in memory, about a microsecond a request.

    Args:
        page: this process's own.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._lock = threading.Lock()  # of the event loop's thread and of those that forecast
        self._rows: dict[tuple[str, int, str], _Row] = {}
        for number in range(int(page["used"])):
            self._rows[parsed(page["rows"][number]["name"])] = self._row(number)
        self._in_flight, self._waiting = _view(page["in_flight"]), _view(page["waiting"])
        self._forecasts, self._batches = _view(page["forecasts"]), _view(page["batches"])
        self._last_inference = cast("memoryview[float]", _view(page["last_inference"]))
        self._numbers = _view(page["last_minute"]["number"])
        self._pieces = [_view(page["last_minute"]["counts"][number]) for number in range(PIECES)]

    def began(self, waiting: int) -> None:
        """A request came in."""
        with self._lock:
            self._in_flight[0] += 1
            self._waiting[0] = waiting

    def ended(self, method: str, status: int, route: str, seconds: float, waiting: int) -> None:
        """A request was answered, or given up."""
        where = bucket(seconds)
        with self._lock:
            row = self._rows.get((method, status, route)) or self._added(method, status, route)
            row.counts[where] += 1
            row.seconds[0] += seconds
            if not row.seconds[1] or seconds < row.seconds[1]:
                row.seconds[1] = seconds
            if seconds > row.seconds[2]:
                row.seconds[2] = seconds
            if self._in_flight[0] > 0:
                self._in_flight[0] -= 1
            self._waiting[0] = waiting
            if is_inference(method, status, route):
                now = time.time()
                self._last_inference[0] = now
                self._recent(int(now) // PIECE_S, where)

    def forecast(self, windows: int) -> None:
        """A batch went through the network."""
        with self._lock:
            self._forecasts[0] += windows
            self._batches[0] += 1

    def swapped(self, version: str) -> None:
        """Another model answers from now on; the first one is no swap."""
        name = encoded(version)
        with self._lock:
            if self._page["version"] not in (b"", name):
                self._page["swaps"] += 1
            self._page["version"] = name

    def _recent(self, number: int, where: int) -> None:
        place = number % PIECES
        if self._numbers[place] != number:
            self._page["last_minute"]["counts"][place] = 0
            self._numbers[place] = number
        self._pieces[place][where] += 1

    def _added(self, method: str, status: int, route: str) -> _Row:
        used = int(self._page["used"])
        if method not in _METHODS or not 100 <= status <= 599:
            key = ("other", status if 100 <= status <= 599 else 0, route)
        else:
            key = (method, status, route)
        if key not in self._rows and used >= MOST_ROWS - 1:
            key = _OTHER  # takes the last row
        if key not in self._rows:
            self._page["rows"][used]["name"] = encoded(f"{key[0]} {key[1]} {key[2]}")
            self._rows[key] = self._row(used)
            self._page["used"] = used + 1
        return self._rows[key]

    def _row(self, number: int) -> _Row:
        row = self._page["rows"][number]
        return _Row(_view(row["counts"]), cast("memoryview[float]", _view(row["seconds"])))


def _view(field: Any) -> memoryview[int]:
    """A store through it takes a tenth of the time that one through numpy takes."""
    return memoryview(field)


def encoded(name: str) -> bytes:
    """A name as a page holds it."""
    return name.encode("utf-8", "replace")[:NAME]


def parsed(name: bytes) -> tuple[str, int, str]:
    """Method, status and route of a row."""
    method, status, route = name.decode("utf-8", "replace").split(" ", 2)
    return method, int(status), route
