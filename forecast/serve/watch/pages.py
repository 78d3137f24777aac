"""Memory that several processes count in: a page each, so that nobody waits for anybody.

A process owns a page as long as it holds the kernel's lock on it. When it is killed, the lock falls, its counts stay,
and the process that replaces it goes on counting where it stopped.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
import threading
from multiprocessing import reduction
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.serve.watch.latency import BUCKETS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Page = NDArray[Any]  # () of PAGE

NAME = 128  # bytes of a name
# Of network inputs, and bins of each; of more inputs the first.
MOST_FEATURES, BINS = 512, 10
# Different (method, status, route); what comes when all are taken is counted in the last one.
MOST_ROWS = 192
# Ten-second pieces of the last minute, and the one being filled.
PIECES, PIECE_S = 7, 10

_ROW = np.dtype([("name", f"S{NAME}"), ("seconds", "f8", 3), ("counts", "i8", BUCKETS)])
_PIECE = np.dtype([("number", "i8"), ("counts", "i8", BUCKETS)])
_DRIFT = np.dtype(
    [
        ("version", f"S{NAME}"),
        ("windows", "f8"),
        ("outside", "f8"),
        ("beyond", "f8", MOST_FEATURES),
        ("bins", "f8", (MOST_FEATURES, BINS)),
    ]
)
PAGE = np.dtype(
    [
        ("pid", "i8"),
        ("in_flight", "i8", (1,)),  # (1,): a store through a view is quicker than one by name
        ("waiting", "i8", (1,)),
        ("forecasts", "i8", (1,)),
        ("batches", "i8", (1,)),
        ("swaps", "i8"),
        ("last_inference", "f8", (1,)),  # seconds since 1970
        ("version", f"S{NAME}"),  # of the model, as UTF-8
        ("used", "i8"),  # rows
        ("rows", _ROW, MOST_ROWS),
        ("last_minute", _PIECE, PIECES),
        ("drift", _DRIFT),
    ]
)
_STRIDE = -(-PAGE.itemsize // mmap.PAGESIZE) * mmap.PAGESIZE


class Pages:
    """Shared pages; made before processes fork, or handed to those that are spawned.

    Args:
        count: processes that can count at once.

    Raises:
        OSError: there is no memory for it.
    """

    def __init__(self, *, count: int) -> None:
        self.count = count
        self._open(_memory(count * _STRIDE))

    def _open(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._memory = mmap.mmap(descriptor, self.count * _STRIDE)
        self._owned: tuple[int, int] | None = None  # this process, and its page
        # The kernel's locks belong to processes: threads must not try one that another holds.
        self._locks = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (self.count, reduction.DupFd(self._descriptor))

    def own(self) -> Page | None:
        """This process's page, of one that died if there is one; None when all are taken."""
        with self._locks:
            for number in range(self.count):
                if self._lock(number, fcntl.LOCK_EX):
                    self._owned = (os.getpid(), number)
                    page = self._page(number)
                    page["pid"], page["in_flight"], page["waiting"], page["version"] = os.getpid(), 0, 0, b""
                    return page
        return None

    def all(self) -> list[tuple[Page, bool]]:
        """Every page, and whether its process lives."""
        with self._locks:
            return [(self._page(number), self._alive(number)) for number in range(self.count)]

    def _page(self, number: int) -> Page:
        return np.ndarray((), PAGE, self._memory, number * _STRIDE)

    def _alive(self, number: int) -> bool:
        # A shared lock: two that look must not take each other for the owner.
        if not self._lock(number, fcntl.LOCK_SH):
            return True
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, number)
        return False

    def _lock(self, number: int, how: int) -> bool:
        """Whether it was free; this process's own page is not."""
        if self._owned == (os.getpid(), number):
            return False
        try:
            fcntl.lockf(self._descriptor, how | fcntl.LOCK_NB, 1, number)
        except (BlockingIOError, PermissionError):
            return False
        return True


def _received(count: int, descriptor: Any) -> Pages:
    """In a spawned process."""
    pages = Pages.__new__(Pages)
    pages.count = count
    pages._open(descriptor.detach())
    return pages


def _memory(size: int) -> int:
    """Descriptor of a file without a name, in memory where the system has that."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("forecast")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        # Taken now: memory that turned out missing later would kill the process.
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
