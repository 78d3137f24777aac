"""Forecasts computed in the HTTP process: what waits is answered together by one helper thread."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from forecast.serve.engines.protocol import MOST

if TYPE_CHECKING:
    from forecast.serve.api import Answer, ForecastAPI
    from forecast.serve.http import HttpServer
    from forecast.serve.windows import Window

    Asked = tuple[Window, asyncio.Future[Answer]]

# Longest time for which everything else may stand still: that of a garbage collection.
_SPOT_S = 0.004


class Inline:
    """The default for models that a processor answers in milliseconds: nothing is sent between processes.

    While a batch is computed the next one gathers, so that batches are as large as the load makes them, and nobody
    waits for a batch to fill. A request that comes alone to a quick model is answered on the spot: to wake the helper
    and to be woken by it takes a good part of what such a forecast takes.

    Args:
        most: requests answered together.
    """

    def __init__(self, *, most: Annotated[int, Ge(1), Le(MOST)] = MOST) -> None:
        self.most = most
        self.waiting = 0
        self._gathered: list[Asked] = []
        self._busy = False
        self._alone_s = math.inf  # the last forecast of a single request
        self._batches: SimpleQueue[list[Asked] | None] = SimpleQueue()

    def attach(self, api: ForecastAPI, http: HttpServer) -> None:  # noqa: ARG002 - other engines want it
        """See Engine.attach."""
        self.api = api

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """See Engine.running."""
        self._loop = asyncio.get_running_loop()
        self._batches = SimpleQueue()
        self.api.setup("cpu")
        thread = threading.Thread(target=self._compute, name="forecast", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.api.models.close()
            self._batches.put(None)
            await asyncio.to_thread(thread.join)

    async def answer(self, window: Window) -> Answer:
        """See Engine.answer."""
        self.waiting += 1
        try:
            if self._alone_s < _SPOT_S:
                await asyncio.sleep(0)  # those that have come at the same time are counted now
                if self.waiting == 1 and not self._busy:
                    began = time.perf_counter()
                    (answer,) = self.api.predict([window])
                    self._alone_s = time.perf_counter() - began
                    return answer
            future: asyncio.Future[Answer] = self._loop.create_future()
            self._gathered.append((window, future))
            if not self._busy:
                self._send()
            return await future
        finally:
            self.waiting -= 1

    def _send(self) -> None:
        """Hand over what has gathered; requests that were given up are left out."""
        while self._gathered:
            batch = [asked for asked in self._gathered[: self.most] if not asked[1].done()]
            del self._gathered[: self.most]
            if batch:
                self._busy = True
                self._batches.put(batch)
                return
        self._busy = False

    def _compute(self) -> None:
        while (batch := self._batches.get()) is not None:
            began = time.perf_counter()
            try:
                answers = self.api.predict([window for window, _ in batch])
            except Exception as error:  # noqa: BLE001 - told to each that waits, with its traceback
                self._loop.call_soon_threadsafe(self._fail, batch, error)
            else:
                if len(batch) == 1:
                    self._alone_s = time.perf_counter() - began
                self._loop.call_soon_threadsafe(self._deliver, batch, answers)

    def _deliver(self, batch: list[Asked], answers: list[Answer]) -> None:
        self._send()  # first, so that the thread does not wait for the answers to be written
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    def _fail(self, batch: list[Asked], error: Exception) -> None:
        self._send()
        for _, future in batch:
            if not future.done():
                future.set_exception(error)
