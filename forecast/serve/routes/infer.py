"""POST /infer: a window in, a forecast out."""

from __future__ import annotations

import time

from fastapi import APIRouter, HTTPException
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.types import ASGIApp, Receive, Scope, Send

from forecast.serve.batching import LARGE, Turns
from forecast.serve.engines import INFER_PATH, Engine
from forecast.serve.middleware import header, send_error, send_json
from forecast.serve.model_store import LoadedModel, ModelStore
from forecast.serve.schemas import Infer, Prediction, problems, validation_line, without_folders

_JSON = frozenset({"application/json", "text/json"})
_BOM = b"\xef\xbb\xbf"
_LEAST_MAX_ROWS = 2500
_SLACK = 64  # commas of a body besides those between numbers


class InferMiddleware:
    """Answers POST /infer before any routing: a router and what FastAPI puts around a route cost more than the rest.

    Args:
        max_rows: of a window; None = four times what the model looks at, at least 2,500.
    """

    path = INFER_PATH  # the template that requests are counted under

    def __init__(
        self, app: ASGIApp, *, store: ModelStore, engine: Engine, max_rows: int | None, turns: Turns
    ) -> None:
        self.app, self.store, self.engine = app, store, engine
        self.max_rows, self.turns = max_rows, turns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST" or scope["path"] != INFER_PATH:
            await self.app(scope, receive, send)
            return
        scope["route"] = self
        began = time.perf_counter()
        body = (await receive()).get("body", b"")  # in one piece, see Limits
        kind = (header(scope, b"content-type") or b"application/json").decode("latin-1")
        try:
            if len(body) > LARGE:
                async with self.turns.of(len(body)):
                    response = await self.engine.answer(self._read(body, kind))
            else:
                self.turns.small += 1
                response = await self.engine.answer(self._read(body, kind))
        except HTTPException as error:
            headers = {name.lower().encode(): text.encode() for name, text in (error.headers or {}).items()}
            await send_error(send, scope, error.status_code, without_folders(str(error.detail)), headers)
            return
        response["latency_ms"] = round(1000 * (time.perf_counter() - began), 3)
        await send_json(send, 200, to_json(response, inf_nan_mode="null"))

    def _read(self, body: bytes, kind: str) -> Infer:
        model = self.store.current
        columns = 4 if model is None else len(model.row_names)
        return read_body(body, kind, row_limit(model, self.max_rows), columns)


def router() -> APIRouter:
    """The route as the OpenAPI document has it; InferMiddleware answers it."""
    routes = APIRouter(tags=["forecast"])

    @routes.post(
        INFER_PATH, summary="Forecast the bars that follow a window", responses=problems(400, 404, 422, 500)
    )
    async def infer(body: Infer) -> Prediction:
        raise NotImplementedError(body)

    return routes


def row_limit(model: LoadedModel | None, max_rows: int | None) -> int:
    """Rows that a window may have."""
    if max_rows is not None:
        return max_rows
    return _LEAST_MAX_ROWS if model is None else max(_LEAST_MAX_ROWS, 4 * model.rows_needed)


def read_body(body: bytes, kind: str, max_rows: int, columns: int) -> Infer:
    """A body, validated.

    Raises:
        HTTPException: 413 too many rows or numbers, 422 not of the schema.
    """
    kind = kind.partition(";")[0].strip().lower()
    if kind not in _JSON and not kind.endswith("+json"):
        raise HTTPException(422, f"Content-Type: {kind[:80]}; send application/json")
    rows = body.count(b"[") - 1  # counted before anything is converted
    if rows > max_rows:
        raise HTTPException(413, f"sequence: about {rows:,} rows; at most {max_rows:,} are taken")
    if (numbers := body.count(b",")) > max_rows * columns + _SLACK:
        raise HTTPException(
            413, f"sequence: about {numbers:,} numbers; at most {max_rows:,} rows of {columns} are taken"
        )
    try:
        infer = Infer.model_validate_json(body.removeprefix(_BOM))
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        raise HTTPException(422, validation_line(faults)) from error
    if len(infer.sequence) > max_rows:
        raise HTTPException(413, f"sequence: {len(infer.sequence):,} rows; at most {max_rows:,} are taken")
    return infer
