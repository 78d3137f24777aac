"""What may wait a moment, done in a thread of its own: nobody's answer waits for a disk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from multiprocessing import util


class Chores:
    """Does something a moment after it was asked for, once for all who asked meanwhile; rests otherwise.

    Args:
        do: what there is to do.
        pause_s: seconds from the first request to it.
    """

    def __init__(self, do: Callable[[], None], *, pause_s: float) -> None:
        self._do = do
        self._pause_s = pause_s
        self._due = False
        self._asked, self._ending = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        # Forked processes end without what `atexit` knows of.
        self._last = util.Finalize(self, _finish, args=(self._ending, self._asked, do), exitpriority=10)

    def ask(self) -> None:
        """Have it done soon; costs next to nothing where it was asked for already."""
        if self._due:
            return
        self._due = True
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="chores", daemon=True)
            self._thread.start()
        self._asked.set()

    def finish(self) -> None:
        """Do now what is left, and nothing after it."""
        self._ending.set()
        self._asked.set()
        if self._thread is not None:
            self._thread.join()
        self._last()

    def _work(self) -> None:
        while not self._ending.is_set():
            self._asked.wait()
            self._ending.wait(self._pause_s)
            self._asked.clear()
            self._due = False  # what is noted from here on is asked for anew
            self._do()


def _finish(ending: threading.Event, asked: threading.Event, do: Callable[[], None]) -> None:
    ending.set()
    asked.set()
    do()
