"""POST /infer: a window in, a forecast out."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.routing import APIRoute
from pydantic import ValidationError
from pydantic_core import to_json

from forecast.serve.engines import INFER_PATH, Engine
from forecast.serve.model_store import LoadedModel, ModelStore
from forecast.serve.schemas import Infer, Prediction, problems, validation_line

_JSON = ("application/json", "text/json")
_BOM = b"\xef\xbb\xbf"
_LEAST_MAX_ROWS = 2500


def router(*, store: ModelStore, engine: Engine, max_rows: int | None) -> APIRouter:
    """The route.

    Args:
        store: of the model.
        engine: answers.
        max_rows: of a window; None = four times what the model looks at, at least 2,500.
    """

    async def answer(request: Request) -> Response:
        began = time.perf_counter()
        body = await request.body()
        infer = read_body(
            body, request.headers.get("content-type", _JSON[0]), row_limit(store.current, max_rows)
        )
        response = await engine.answer(infer)
        response["latency_ms"] = round(1000 * (time.perf_counter() - began), 3)
        return Response(to_json(response, inf_nan_mode="null"), media_type=_JSON[0])

    class InferRoute(APIRoute):
        """Reads its body itself: FastAPI would hold it as Python objects before it is validated."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            return answer

    routes = APIRouter(route_class=InferRoute)

    @routes.post(
        INFER_PATH, summary="Forecast the bars that follow a window", responses=problems(400, 404, 422, 500)
    )
    async def infer(body: Infer) -> Prediction:  # the signature is the schema; `answer` does the work
        raise NotImplementedError

    return routes


def row_limit(model: LoadedModel | None, max_rows: int | None) -> int:
    """Rows that a window may have.

    Args:
        model: that is served.
        max_rows: of the settings.
    """
    if max_rows is not None:
        return max_rows
    return _LEAST_MAX_ROWS if model is None else max(_LEAST_MAX_ROWS, 4 * model.rows_needed)


def read_body(body: bytes, kind: str, max_rows: int) -> Infer:
    """A body, validated.

    Args:
        body: of the request.
        kind: its content type.
        max_rows: of a window.

    Raises:
        HTTPException: 413 too many rows, 422 not of the schema.
    """
    kind = kind.partition(";")[0].strip().lower()
    if kind not in _JSON and not kind.endswith("+json"):
        raise HTTPException(422, f"Content-Type: {kind[:80]}; send application/json")
    rows = body.count(b"[") - 1  # counted before anything is converted
    if rows > max_rows:
        raise HTTPException(413, f"sequence: about {rows:,} rows; at most {max_rows:,} are taken")
    try:
        infer = Infer.model_validate_json(body.removeprefix(_BOM))
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        raise HTTPException(422, validation_line(faults)) from error
    if len(infer.sequence) > max_rows:
        raise HTTPException(413, f"sequence: {len(infer.sequence):,} rows; at most {max_rows:,} are taken")
    return infer
