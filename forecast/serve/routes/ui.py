"""GET /ui: the page, and what only it asks for: the verdict on the model, and what it said on its test days."""

from functools import partial
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, Response

from forecast.errors import UserError
from forecast.serve.page.about import about
from forecast.serve.page.answers import ModelCard, Record
from forecast.serve.page.document import page
from forecast.serve.page.record import record
from forecast.serve.routes.forecast import loaded_model
from forecast.serve.schemas import problems

_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "As it was, by If-None-Match"}}


def router(context: Any) -> APIRouter:
    """The routes of the page.

    Args:
        context: of the server; its models are asked what is served.
    """
    routes = APIRouter(tags=["page"])

    @routes.get("/ui", response_class=HTMLResponse, responses=problems() | _UNCHANGED)
    async def ui(request: Request) -> Response:
        """The page: forecasts, the verdict, a window of one's own, and how the server does."""
        found = page()
        if found.headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=found.headers)
        return HTMLResponse(found.body, headers=found.headers)

    @routes.get("/ui/model", responses=problems(404))
    async def model() -> ModelCard:
        """The model that is served, the verdict on it, and what a window for it looks like."""
        try:
            return await anyio.to_thread.run_sync(about, loaded_model(context.models))
        except UserError as error:
            raise HTTPException(404, detail=str(error)) from error

    @routes.get("/ui/record", responses=problems(404, 422))
    async def said(
        ticker: Annotated[str, Query(min_length=1, max_length=32, description="one the model forecast")],
        days: Annotated[int, Query(ge=1, le=2500, description="at most so many, the newest")] = 500,
    ) -> Record:
        """What the model said one day ahead on its test days, and what came."""
        read = partial(record, loaded_model(context.models).directory, ticker, days)
        try:
            return await anyio.to_thread.run_sync(read)
        except UserError as error:
            raise HTTPException(404, detail=str(error)) from error

    return routes
