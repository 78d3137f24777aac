"""GET /metrics: what /monitor tells, for Prometheus."""

from typing import Any

import anyio
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from forecast.serve.schemas import problems
from forecast.serve.watch.exposition import CONTENT_TYPE, exposition


def router(context: Any) -> APIRouter:
    """The route.

    Args:
        context: of the server.
    """
    routes = APIRouter()

    @routes.get(
        "/metrics",
        summary="Figures for Prometheus",
        response_class=PlainTextResponse,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems()},
    )
    async def metrics() -> PlainTextResponse:
        text = await anyio.to_thread.run_sync(exposed, context)
        return PlainTextResponse(text, headers={"content-type": CONTENT_TYPE})

    return routes


def exposed(context: Any) -> str:
    """All figures as text; reads a database."""
    watch, served = context.watch, context.models.current
    return exposition(
        watch.figures(),
        served=served,
        drift=None if served is None else watch.drift(served),
        told=None if served is None else watch.told(served.version),
    )
