"""Slow questions on one thread of their own: whoever asks the same while it is under way shares the answer."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class CrowdedError(Exception):
    """Too many wait already."""


class Shared(Generic[T]):
    """Answers questions one after the other.

    One thread, because the clients of market data servers are not made for several, and keep their distance between
    calls anyway. It does not hold up the end of the process, whatever it waits for.

    Args:
        most: different questions that may wait or be under way.
        askers: who may wait for answers, all questions together.
    """

    def __init__(self, *, most: int, askers: int) -> None:
        self.most = most
        self.askers = askers
        self._present = 0
        self._asked: dict[Hashable, Future[T]] = {}
        self._waiting: queue.SimpleQueue[tuple[Hashable, Future[T], Callable[[], T]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def ask(self, key: Hashable, question: Callable[[], T], *, patience_s: float) -> T:
        """The answer to a question, or to the same one asked earlier and not answered yet.

        Args:
            key: what makes two questions the same.
            question: called on the thread.
            patience_s: after which the asker goes; the question stays, so that the next to ask may find it answered.

        Raises:
            CrowdedError: too many others wait.
            TimeoutError: no answer in time.
            Exception: whatever the question raised.
        """
        if self._present >= self.askers:
            raise CrowdedError
        answer = self._asked.get(key)
        if answer is None:
            if len(self._asked) >= self.most:
                raise CrowdedError
            answer = self._asked[key] = Future()
            self._waiting.put((key, answer, question))
            self._start()
        self._present += 1
        try:
            async with asyncio.timeout(patience_s):
                # Whoever goes must not take the answer from the others.
                return await asyncio.shield(asyncio.wrap_future(answer))
        finally:
            self._present -= 1

    def _start(self) -> None:
        """Not before the first question: a thread does not survive the fork of the HTTP processes."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="live bars", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            key, answer, question = self._waiting.get()
            try:
                found = question()
            except BaseException as error:  # noqa: BLE001  whoever asked gets it; the thread lives on
                del self._asked[key]
                answer.set_exception(error)
                del error
            else:
                del self._asked[key]
                answer.set_result(found)
                del found
            del answer, question
