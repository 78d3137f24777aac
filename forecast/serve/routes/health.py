"""GET /health and /readyz: a forward went through within the last second. GET /livez: the process answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from fastapi import APIRouter, HTTPException

from forecast.serve.engines import Engine, no_model
from forecast.serve.model_store import LoadedModel, ModelStore
from forecast.serve.schemas import Alive, Infer, Ready, problems
from forecast.serve.windows import probe_window

_TIMEOUT_S = 2.0
_CACHE_S = 1.0
_log = logging.getLogger(__name__)


class Readiness:
    """Sends a made-up window through the engine, at most once a second: the routes that ask need no key."""

    def __init__(self, *, store: ModelStore, engine: Engine, stopping: Callable[[], bool]) -> None:
        self.store, self.engine, self.stopping = store, engine, stopping
        self._probe: asyncio.Task[str | None] | None = None
        self._model: LoadedModel | None = None  # that was probed
        self._ended = 0.0

    async def check(self) -> str:
        """The version of the model that answers.

        Raises:
            HTTPException: 503 there is no model, or it does not answer.
        """
        if self.stopping():
            raise HTTPException(503, "the server is being stopped")
        model = self.store.current
        if model is None:
            raise HTTPException(503, no_model(self.store))
        probe = self._probe
        is_old = probe is None or (probe.done() and time.monotonic() - self._ended >= _CACHE_S)
        if probe is None or is_old or model is not self._model:
            self._model = model
            probe = self._probe = asyncio.create_task(self._forward(model))
        error = await asyncio.shield(probe)
        if error is not None:
            raise HTTPException(503, error)
        return model.version

    async def _forward(self, model: LoadedModel) -> str | None:
        """Why the model does not answer; None where it does."""
        sequence, ticker = probe_window(model)
        request = Infer.model_construct(sequence=sequence, ticker=ticker)
        try:
            await asyncio.wait_for(self.engine.answer(request, probe=True), timeout=_TIMEOUT_S)
        except TimeoutError:
            return f"the model did not answer within {_TIMEOUT_S:g} s"
        except HTTPException as error:
            return f"the model does not answer: {error.detail}"
        except Exception as error:  # noqa: BLE001 - the log says why
            _log.exception("the model does not answer")
            return f"the model does not answer: {type(error).__name__}"
        finally:
            self._ended = time.monotonic()
        return None


def router(*, readiness: Readiness) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["about"])

    @routes.get("/health", summary="Ready: a real forward just went through", responses=problems())
    @routes.get("/readyz", summary="The same as /health", responses=problems())
    async def ready() -> Ready:
        return Ready(model_version=await readiness.check())

    @routes.get("/livez", summary="Alive: the process answers", responses=problems())
    async def alive() -> Alive:
        return Alive()

    return routes
