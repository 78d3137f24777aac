"""GET /health and /readyz: a forward went through just now. GET /livez: the process answers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from forecast.data.features import warm_up
from forecast.serve.context import Context
from forecast.serve.problems import problems
from forecast.serve.windows import Window, fitted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.serve.served import Served

_PATIENCE_S = 2.0


class Ready(BaseModel):
    """The server answers requests."""

    status: Literal["ready"] = "ready"
    model_version: str


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


def router(context: Context) -> APIRouter:
    """The routes.

    Args:
        context: of the server.
    """
    routes = APIRouter()

    @routes.get("/health", summary="Ready: a real forward just went through", responses=problems())
    @routes.get("/readyz", summary="The same as /health", responses=problems())
    async def ready() -> Ready:
        return Ready(model_version=await prove_ready(context))

    @routes.get("/livez", summary="Alive: the process answers", responses=problems())
    async def alive() -> Alive:
        return Alive()

    return routes


async def prove_ready(context: Context) -> str:
    """Send a window through the engine; gives the version of the model that answered.

    Raises:
        HTTPException: 503 there is no model, or it does not answer.
    """
    served = context.models.current
    if served is None:
        raise HTTPException(503, f"no model is served: {context.models.following} is not there yet")
    try:
        answer = await asyncio.wait_for(context.engine.answer(probe(served)), timeout=_PATIENCE_S)
    except TimeoutError as error:
        raise HTTPException(503, f"the model did not answer within {_PATIENCE_S:g} s") from error
    except HTTPException as error:
        raise HTTPException(503, f"the model does not answer: {error.detail}") from error
    return answer.version


def probe(served: Served) -> Window:
    """A made-up window of the model's width."""
    predictor = served.predictor
    need = predictor.lookback + (warm_up(predictor.features) or 0)
    tickers = len(predictor.tickers) if predictor.scope == "multiple" else 1
    close = 100.0 + np.sin(np.arange(need))  # (rows,)
    bars: NDArray[np.float64] = np.stack(
        (close + 1, close - 1, close, np.full(need, 1e6)), axis=1
    )  # (rows, 4)
    return replace(fitted(np.tile(bars, tickers), None, served), made_up=True)
