"""How requests share a process: small ones are computed together by one helper thread, large ones one by one."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar

from fastapi import HTTPException

Item = TypeVar("Item")
Result = TypeVar("Result")

# Longest computation for which everything else may stand still, in seconds of the processor: that of a garbage
# collection. By the clock on the wall a quick model is slow wherever the machine is busy with something else.
_INLINE_S = 0.004
LARGE = 65536  # bytes of a body that is read in its turn
# After a large request where small ones come, as a multiple of the event loop's time that it took.
_PAUSE = 7.0
_MAX_LARGE = 64  # that wait


class MicroBatcher(Generic[Item, Result]):
    """Collects items while a batch is computed, and computes what has gathered as the next one.

    Batches are as large as the load makes them, and nobody waits for a batch to fill. An item that comes alone is
    computed on the event loop where the model is known to be quick: to wake the helper thread and to be woken by it
    takes a good part of what such a forecast takes.
    """

    def __init__(self, compute: Callable[[Sequence[Item]], Sequence[Result]], *, max_batch_size: int) -> None:
        self.compute = compute
        self.max_batch_size = max_batch_size
        self.queue_size = 0  # items that wait or are being computed
        self._gathered: list[tuple[Item, asyncio.Future[Result]]] = []
        self._busy = False
        self._alone_s = math.inf  # the last batch of one item
        self._batches: SimpleQueue[list[tuple[Item, asyncio.Future[Result]]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the helper thread; called on the event loop that submits."""
        self._loop = asyncio.get_running_loop()
        self._batches = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="forecast", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """End the helper thread."""
        self._batches.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def submit(self, item: Item) -> Result:
        """The result of one item.

        Raises:
            Exception: whatever `compute` raised for its batch.
        """
        self.queue_size += 1
        try:
            if self._alone_s < _INLINE_S:
                await asyncio.sleep(0)  # those that have come at the same time are counted now
                if self.queue_size == 1 and not self._busy:
                    began = time.thread_time()
                    (result,) = self.compute([item])
                    self._alone_s = time.thread_time() - began
                    return result
            future: asyncio.Future[Result] = self._loop.create_future()
            self._gathered.append((item, future))
            if not self._busy:
                self._send()
            return await future
        finally:
            self.queue_size -= 1

    def _send(self) -> None:
        """Hand over what has gathered; items that were given up are left out."""
        while self._gathered:
            batch = [entry for entry in self._gathered[: self.max_batch_size] if not entry[1].done()]
            del self._gathered[: self.max_batch_size]
            if batch:
                self._busy = True
                self._batches.put(batch)
                return
        self._busy = False

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            began = time.thread_time()
            try:
                results = self.compute([item for item, _ in batch])
            except Exception as error:  # noqa: BLE001 - every waiting request gets it, with its traceback
                self._loop.call_soon_threadsafe(self._fail, batch, error)
            else:
                if len(batch) == 1:
                    self._alone_s = time.thread_time() - began
                self._loop.call_soon_threadsafe(self._deliver, batch, results)

    def _deliver(self, batch: list[tuple[Item, asyncio.Future[Result]]], results: Sequence[Result]) -> None:
        self._send()  # first, so that the thread does not wait for the answers to be written
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)

    def _fail(self, batch: list[tuple[Item, asyncio.Future[Result]]], error: Exception) -> None:
        self._send()
        for _, future in batch:
            if not future.done():
                future.set_exception(error)


class Turns:
    """Large requests one after the other, with a pause behind each in which small ones are answered.

    To read a body of a megabyte holds up the event loop for milliseconds. So they get an eighth of its time at most,
    however many there are; all of it while no small one comes.
    """

    def __init__(self) -> None:
        self.small = 0  # requests that came beside the large ones
        self._seen = 0  # of them, at the end of the last turn
        self._lock = asyncio.Lock()
        self._waiting = 0

    @asynccontextmanager
    async def of(self, size: int) -> AsyncIterator[None]:
        """A context in which a request of so many bytes is read and answered.

        Raises:
            HTTPException: 429 too many large ones wait.
        """
        if size <= LARGE:
            yield
            return
        if self._waiting >= _MAX_LARGE:
            text = f"{_MAX_LARGE} requests of more than {LARGE:,} bytes wait already; try again in a second"
            raise HTTPException(429, text, headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self._waiting -= 1
        began = time.thread_time()
        try:
            yield
        finally:
            pause = _PAUSE * (time.thread_time() - began) if self.small != self._seen else 0.0
            self._seen = self.small
            asyncio.get_running_loop().call_later(pause, self._lock.release)
