"""Forecasts computed in LitServe's worker processes: for large models, and for accelerators."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from queue import Empty
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Le
from fastapi import HTTPException
from litserve.loops.base import LitLoop
from litserve.server import ResponseBufferItem, response_queue_to_buffer
from litserve.utils import LitAPIStatus, LoopResponseType

from forecast.serve.engines.protocol import MOST

if TYPE_CHECKING:
    from forecast.serve.api import Answer, ForecastAPI
    from forecast.serve.http import HttpServer
    from forecast.serve.windows import Window


_ASK_S = 0.2

LOST = object()  # in the place of a status: nobody will answer any more
_ATTEMPTS = 3  # forecasting again does no harm, but a window that kills whoever looks at it must not go on
_LOOK_S = 0.1
_INHERITED_S = 1.2  # a little longer than LitServe waits for an answer before it asks for it again
_log = logging.getLogger(__name__)


class GreedyLoop(LitLoop):
    """Takes the first request that comes and all that wait behind it, and answers them together.

    LitServe's own loops either wait for a batch to fill or ask an empty queue again and again, which keeps a core
    busy with nothing to do.
    """

    def run(
        self,
        lit_api: ForecastAPI,
        device: str,  # noqa: ARG002  LitServe's
        worker_id: int,  # noqa: ARG002  LitServe's
        request_queue: Any,
        transport: Any,
        workers_setup_status: Any,  # noqa: ARG002  LitServe's
        callback_runner: Any,  # noqa: ARG002  LitServe's
    ) -> None:
        """One batch; LitServe calls this for ever."""
        try:
            # Not for ever: the keeper of the queue gives the next request to whoever asked first, dead or alive.
            batch = [request_queue.get(timeout=_ASK_S)]
        except Empty:
            return
        with contextlib.suppress(Empty):
            while len(batch) < lit_api.most:
                batch.append(request_queue.get_nowait())
        told: list[tuple[Answer | str, Any]]
        try:
            told = [(answer, LitAPIStatus.OK) for answer in lit_api.predict([item[3] for item in batch])]
        except Exception as error:  # noqa: BLE001 - whoever waits is told; the worker goes on
            _log.exception("forecasting %d windows failed", len(batch))
            told = [(f"{type(error).__name__}: {error}", LitAPIStatus.ERROR)] * len(batch)
        for (consumer, uid, _, _), (answer, status) in zip(batch, told, strict=True):
            transport.send((uid, (answer, status, LoopResponseType.REGULAR, 0)), consumer_id=consumer)


class Workers:
    """Sends windows to LitServe's inference processes and waits for their answers.

    Args:
        most: requests answered together by a process.
        processes: inference processes on each device.
        accelerator: `cpu` or `cuda`.
    """

    def __init__(
        self,
        *,
        most: Annotated[int, Ge(1), Le(MOST)] = MOST,
        processes: Annotated[int, Ge(1), Le(64)] = 1,
        accelerator: Literal["cpu", "cuda"] = "cpu",
    ) -> None:
        self.most = most
        self.processes = processes
        self.accelerator = accelerator
        self.waiting = 0

    def attach(self, api: ForecastAPI, http: HttpServer) -> None:
        """See Engine.attach."""
        self.api, self.http = api, http
        api.loop = GreedyLoop()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """See Engine.running."""
        self.http.response_buffer.clear()
        self.api.models.watch()  # requests are held against the model here, too
        reading = asyncio.create_task(
            response_queue_to_buffer(
                self.http._transport,
                self.http.response_buffer,
                self.http.app.response_queue_id,
                self.http.litapi_connector,
            )
        )
        looking = asyncio.create_task(self._look_after())
        try:
            yield
        finally:
            self.api.models.close()
            for task in (reading, looking):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, asyncio.TimeoutError):
                    await asyncio.wait_for(task, timeout=1.0)

    async def answer(self, window: Window) -> Answer:
        """See Engine.answer.

        Raises:
            HTTPException: 500 the model failed, 503 the process that computed it died, again and again.
        """
        self.waiting += 1
        try:
            for _ in range(_ATTEMPTS):
                answer, status = await self._asked(window)
                if status is LOST:
                    continue
                if status == LitAPIStatus.ERROR:
                    raise HTTPException(500, "the model failed on these windows; the server's log says why")
                found: Answer = answer
                return found
        finally:
            self.waiting -= 1
        raise HTTPException(503, "the inference process died while it was at this; try again in a second")

    async def _asked(self, window: Window) -> Any:
        """Send a window to whichever process takes it, and wait."""
        uid, item = uuid.uuid4().hex, ResponseBufferItem(asyncio.Event())
        buffer = self.http.response_buffer
        buffer[uid] = item
        try:
            queue = self.http._get_request_queue(self.api.api_path)
            queue.put((self.http.app.response_queue_id, uid, time.monotonic(), window))
            await item.event.wait()
            return item.response
        finally:
            del buffer[uid]  # LitServe itself forgets this where a request is given up (LitServe#452)

    async def _look_after(self) -> None:
        """Wake those that wait when a process was replaced: perhaps it was theirs, and nobody would answer."""
        seen = self.http.generation.value
        # In the place of a process that died: the keeper of the queue gives it an answer that is meant for this one.
        await asyncio.sleep(_INHERITED_S)
        self._wake()
        while True:
            await asyncio.sleep(_LOOK_S)
            if (now := self.http.generation.value) != seen:
                seen = now
                self._wake()

    def _wake(self) -> None:
        for item in list(self.http.response_buffer.values()):
            item.response = (None, LOST)
            item.event.set()
