"""The Open Inference Protocol, version 2, over HTTP: /v2, answered by the engine that answers POST /infer.

Tensors are JSON or, by the binary tensor data extension, bytes behind the JSON (tensors.py).

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Request, Response
from pydantic.json_schema import models_json_schema

from forecast.errors import UserError
from forecast.finished_runs import package_version
from forecast.serve.batching import Turns
from forecast.serve.engines import Engine
from forecast.serve.model_store import LoadedModel, ModelStore
from forecast.serve.routes.forecast import loaded_model
from forecast.serve.routes.health import Readiness
from forecast.serve.routes.infer import row_limit
from forecast.serve.schemas import TICKER, Infer, in_line, problems
from forecast.serve.tensors import (
    BINARY,
    HEADER,
    InferRequest,
    InferResponse,
    Message,
    Tensor,
    TensorFacts,
    encode,
    numbers,
    read_request,
    texts,
)

MODEL = "champion"
PLATFORM = "forecast_pytorch"
# A request has one answer; larger batches would only hold up those of others.
MAX_WINDOWS = 256
# Handed to the engine at once, so that others get their turn in between.
_CHUNK = 32
_PARAMETERS: tuple[str, ...] = ("target", "unit", "level")  # of an answer, given with its tensors

_Version = Annotated[str, Path(description="`model_version` of an answer; 404 once another one is served")]
# What FastAPI reads of a signature; a body is read by `read_request`, which bounds it before anything is converted.
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": f"#/components/schemas/{InferRequest.__name__}"}},
            BINARY: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


class ServerFacts(Message):
    """What answers here."""

    name: str
    version: str
    extensions: list[str]


class ModelFacts(Message):
    """What the model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorFacts]
    outputs: list[TensorFacts]


class Live(Message):
    """Whether the server answers."""

    live: bool


class IsReady(Message):
    """Whether forecasts are given."""

    ready: bool


class ModelReady(IsReady):
    """Whether this model gives forecasts."""

    name: str


class Fault(Message):
    """What is wrong: `error` as the protocol has it, `detail` as every route here does."""

    error: str
    detail: str


def _faults(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route of the protocol: see problems."""
    return {
        status: meaning | ({"model": Fault} if status in statuses else {})
        for status, meaning in problems(422, *statuses).items()
    }


def _not_ready(model: type[IsReady]) -> dict[str, Any]:
    return {"model": model, "description": "No forecast went through"}


def router(
    *, store: ModelStore, engine: Engine, readiness: Readiness, max_rows: int | None, turns: Turns
) -> APIRouter:
    """The routes of the protocol."""
    routes = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

    @routes.get("", responses=_faults())
    async def server() -> ServerFacts:
        """What answers here."""
        return ServerFacts(name="forecast", version=package_version(), extensions=["binary_tensor_data"])

    @routes.get("/health/live", responses=_faults())
    async def live() -> Live:
        """Whether the server answers."""
        return Live(live=True)

    @routes.get("/health/ready", responses={**_faults(), 503: _not_ready(IsReady)})
    async def ready(response: Response) -> IsReady:
        """Whether a forecast just went through."""
        return IsReady(ready=await _is_ready(readiness, response))

    def served() -> LoadedModel:
        return loaded_model(store)

    def of_version(version: _Version) -> LoadedModel:
        model = loaded_model(store)
        if version != model.version:
            raise HTTPException(404, f"version {version[:80]!r} is not served; expected {model.version}")
        return model

    for pinned, path, model in (
        (False, f"/models/{MODEL}", served),
        (True, f"/models/{MODEL}/versions/{{version}}", of_version),
    ):
        more: dict[str, Any] = {"readiness": readiness, "max_rows": max_rows, "turns": turns}
        _add_model_routes(routes, path, Depends(model), pinned=pinned, engine=engine, **more)
    routes.api_route("/models/{model}", methods=["GET", "POST"], include_in_schema=False)(_other)
    routes.api_route("/models/{model}/{rest:path}", methods=["GET", "POST"], include_in_schema=False)(_other)
    return routes


def _add_model_routes(
    routes: APIRouter,
    path: str,
    served: Any,
    *,
    pinned: bool,
    engine: Engine,
    readiness: Readiness,
    max_rows: int | None,
    turns: Turns,
) -> None:
    """Facts, readiness and forecasts of the model that a dependency finds; a pinned version answers, or nobody.

    On the router itself: of one inside it, requests would be counted by a part of their path.
    """

    @routes.get(path, responses=_faults(404))
    async def model_facts(model: LoadedModel = served) -> ModelFacts:
        """What the model takes and gives."""
        return facts(model)

    @routes.get(
        f"{path}/ready", responses={**_faults(404), 503: _not_ready(ModelReady)}, dependencies=[served]
    )
    async def model_ready(response: Response) -> ModelReady:
        """Whether the model gives forecasts."""
        return ModelReady(name=MODEL, ready=await _is_ready(readiness, response))

    @routes.post(
        f"{path}/infer",
        response_model=InferResponse,
        responses=_faults(400, 404, 413, 500, *([409] if pinned else [])),
        openapi_extra=_BODY,
    )
    async def model_infer(request: Request, model: LoadedModel = served) -> Response:
        """Forecast from windows of bars."""
        rows = row_limit(model, max_rows)
        most = max(rows, MAX_WINDOWS * model.rows_needed) * len(model.row_names)
        content = await request.body()
        try:
            async with turns.of(len(content)):
                asked = read_request(content, request.headers, most=most)
                response = await infer(asked, model, engine, rows)
        except UserError as error:
            raise HTTPException(400, str(error)) from error
        if pinned and response.model_version != model.version:
            raise HTTPException(
                409, f"{response.model_version} took the place of version {model.version!r} meanwhile"
            )
        body, header_length = encode(asked, response)
        if header_length is None:
            return Response(body, media_type="application/json")
        return Response(body, media_type=BINARY, headers={HEADER: str(header_length)})


async def _is_ready(readiness: Readiness, response: Response) -> bool:
    """Whether a forecast just went through; the response has the status for it."""
    try:
        await readiness.check()
    except HTTPException as error:
        response.status_code = error.status_code
        return False
    return True


async def _other(request: Request, model: str, rest: str = "") -> None:
    """Whatever else is asked of a model."""
    if model != MODEL:
        raise HTTPException(404, f"{model[:80]!r}: no such model; expected {MODEL}")
    if rest in ("", "ready", "infer"):
        allow = "POST" if rest == "infer" else "GET"
        text = f"{request.method} is no method of {request.url.path}; expected {allow}"
        raise HTTPException(405, text, headers={"Allow": allow})
    raise HTTPException(404, f"{rest[:80]!r}: nothing of that name; expected ready, infer or versions/...")


def facts(model: LoadedModel) -> ModelFacts:
    """What the model takes and gives."""
    width, horizon = len(model.row_names), model.predictor.horizon
    bounds = ["lower", "upper"] if model.predictor.levels else []
    return ModelFacts(
        name=MODEL,
        versions=[model.version],
        platform=PLATFORM,
        inputs=[TensorFacts(name="sequence", datatype="FP64", shape=[-1, -1, width])],
        outputs=[
            TensorFacts(name=name, datatype="FP64", shape=[-1, horizon]) for name in ("forecast", *bounds)
        ],
    )


async def infer(request: InferRequest, model: LoadedModel, engine: Engine, max_rows: int) -> InferResponse:
    """Forecast from every window of a request.

    Args:
        request: tensor `sequence` (batch, rows, columns) of bars, or of closes where it has one column; and, where
            it matters whose bars they are, tensor `ticker` (batch,).

    Raises:
        UserError: the request is none for this model.
        HTTPException: 400 a window is none for this model, 413 too many rows, 503 the model was replaced again and
            again meanwhile, or what the engine raises.
    """
    wanted = _wanted(request, model)
    windows = _windows(request, max_rows)
    for _ in range(2):  # the model may be replaced in between
        answers = await _answers(windows, engine)
        if len({answer["model_version"] for answer in answers}) == 1:
            return _response(request, answers, wanted)
    raise HTTPException(503, "the model is being replaced; ask again", headers={"Retry-After": "1"})


def _windows(request: InferRequest, max_rows: int) -> list[Infer]:
    given: dict[str, Tensor] = {}
    for tensor in request.inputs:
        if tensor.name not in ("sequence", "ticker") or tensor.name in given:
            again = " again" if tensor.name in given else ""
            raise UserError(f"inputs: {tensor.name!r}{again}; expected sequence, and ticker where it matters")
        given[tensor.name] = tensor
    if "sequence" not in given:
        raise UserError("inputs: no sequence; expected it with shape [batch, rows, columns]")
    sequence = given["sequence"]
    if len(sequence.shape) != 3:
        raise UserError(f"sequence: shape is {sequence.shape}; expected [batch, rows, columns]")
    count, rows, columns = sequence.shape
    if not 1 <= count <= MAX_WINDOWS:
        raise UserError(f"sequence: a batch of {count} windows; expected 1 to {MAX_WINDOWS}")
    if rows > max_rows:
        raise HTTPException(413, f"sequence: {rows:,} rows; at most {max_rows:,} are taken")
    values = numbers(sequence)
    tickers: list[str] | list[None] = [None] * count
    if "ticker" in given:
        tickers = texts(given["ticker"])
        if odd := next((name for name in tickers if not TICKER.fullmatch(name)), None):
            raise UserError(
                f"ticker: {in_line(odd, 40)!r} is no ticker: 1 to 32 letters or signs without blanks"
            )
        if len(tickers) != count:
            raise UserError(f"ticker: {len(tickers)} names for {count} windows; expected one for each")
    closes = values[..., 0] if columns == 1 else values
    return [
        Infer.model_construct(sequence=window, ticker=ticker)
        for window, ticker in zip(closes, tickers, strict=True)
    ]


async def _answers(windows: list[Infer], engine: Engine) -> list[dict[str, Any]]:
    async def answer(place: int) -> dict[str, Any]:
        try:
            return await engine.answer(windows[place])
        except HTTPException as error:
            if error.status_code != 400 or len(windows) == 1:
                raise
            raise HTTPException(400, f"window {place + 1}: {error.detail}") from error

    answers: list[dict[str, Any]] = []
    for start in range(0, len(windows), _CHUNK):
        chunk = range(start, min(start + _CHUNK, len(windows)))
        found = await asyncio.gather(*(answer(place) for place in chunk), return_exceptions=True)
        for one in found:
            if isinstance(one, BaseException):
                raise one
            answers.append(one)
    return answers


def _wanted(request: InferRequest, model: LoadedModel) -> set[str]:
    """Names of the outputs to give."""
    known = [output.name for output in facts(model).outputs]
    if not request.outputs:
        return set(known)
    wanted = {output.name for output in request.outputs}
    if unknown := sorted(wanted - set(known)):
        raise UserError(f"outputs: {', '.join(map(repr, unknown))}; expected of {', '.join(known)}")
    return wanted


def _response(request: InferRequest, answers: list[dict[str, Any]], wanted: set[str]) -> InferResponse:
    outputs: list[Tensor] = []
    warnings = list(dict.fromkeys(warning for answer in answers for warning in answer.get("warnings", [])))
    for name in ("forecast", "lower", "upper"):
        if name not in wanted or (name != "forecast" and name not in answers[0]):
            continue
        rows = [answer.get(name, answer["prediction"]) for answer in answers]
        rows = [row if isinstance(row, list) else [row] for row in rows]  # (B, h)
        if any(value is None for row in rows for value in row):
            warnings.append(f"{name}: left out, for the width of some window is not known")
            continue
        data = [value for row in rows for value in row]
        outputs.append(Tensor(name=name, shape=[len(rows), len(rows[0])], datatype="FP64", data=data))
    parameters: dict[str, Any] = {name: answers[0][name] for name in _PARAMETERS if name in answers[0]}
    if warnings:
        parameters["warnings"] = "; ".join(warnings)
    return InferResponse(
        model_name=MODEL,
        model_version=answers[0]["model_version"],
        id=request.id,
        parameters=parameters,
        outputs=outputs,
    )


def body_schemas() -> dict[str, Any]:
    """Of what POST infer takes, for an OpenAPI document."""
    _, found = models_json_schema([(InferRequest, "validation")], ref_template="#/components/schemas/{model}")
    schemas: dict[str, Any] = found["$defs"]
    return schemas
