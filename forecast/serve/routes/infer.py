"""POST /infer: a window in, a forecast out."""

from __future__ import annotations

import json
import time

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from forecast.serve.context import Context
from forecast.serve.problems import in_line, problems
from forecast.serve.schemas import Infer, Prediction, strict_schema

PATH = "/infer"
_JSON = ("application/json", "text/json")


class Inference:
    """The route as an ASGI app: a framework's way from the socket to here costs more than the forecast.

    Args:
        context: of the server.
    """

    path = PATH  # the template that requests are counted under

    def __init__(self, context: Context) -> None:
        self.api, self.engine = context.api, context.engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope["route"] = self
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        kind = next(
            (value for name, value in scope["headers"] if name == b"content-type"), b"application/json"
        )
        try:
            status, told = 200, await self.answered(body, kind.decode("latin-1"))
        except HTTPException as error:
            status, told = error.status_code, json.dumps({"detail": error.detail}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(told))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": told})

    async def answered(self, body: bytes, kind: str) -> bytes:
        """The answer to a body.

        Args:
            body: as it came.
            kind: its content type.

        Raises:
            HTTPException: there is none.
        """
        began = time.perf_counter()
        window = self.api.decode_request(read_body(body, kind))
        told = self.api.encode_response(await self.engine.answer(window))
        told["latency_ms"] = round(1000 * (time.perf_counter() - began), 3)
        return to_json(told, inf_nan_mode="null")


def router(context: Context) -> APIRouter:
    """The route, for the OpenAPI document, and for whoever serves the app without the gate.

    Args:
        context: of the server.
    """
    routes = APIRouter()
    inference = Inference(context)

    @routes.post(
        PATH,
        summary="Forecast the bars that follow a window",
        response_class=Response,
        responses={200: {"model": Prediction}, **problems(400, 404, 422, 500)},
        openapi_extra={"requestBody": strict_schema(Infer)},
    )
    async def infer(request: Request) -> Response:
        kind = request.headers.get("content-type", _JSON[0])
        return Response(await inference.answered(await request.body(), kind), media_type=_JSON[0])

    return routes


def read_body(body: bytes, kind: str) -> Infer:
    """A body as what it has to be.

    Args:
        body: as it came.
        kind: its content type.

    Raises:
        HTTPException: 422 it is not.
    """
    kind = kind.partition(";")[0].strip().lower()
    if kind not in _JSON and not kind.endswith("+json"):
        raise HTTPException(422, f"Content-Type: {kind[:80]}; send application/json")
    try:
        return Infer.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(422, in_a_line(error)) from error


def in_a_line(error: ValidationError) -> str:
    """One of pydantic's complaints. Nothing of the body is repeated.

    Of the members of a union each has its own; that of the one which got furthest was meant.
    """
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    furthest = max(faults, key=lambda fault: [part for part in fault["loc"] if isinstance(part, int)])
    where = ".".join(str(part) for part in furthest["loc"] if not _is_branch(part)) or "body"
    return f"{in_line(where)}: {furthest['msg']}"


def _is_branch(part: object) -> bool:
    """Which member of a union was tried, as pydantic names it."""
    return isinstance(part, str) and "[" in part
