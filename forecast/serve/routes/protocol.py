"""The Open Inference Protocol, version 2: /v2."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request, Response

from forecast.runs import package_version
from forecast.serve.context import Context
from forecast.serve.current import served_now
from forecast.serve.routes.health import prove_ready
from forecast.serve.served import Served
from forecast.serve.v2.faults import ProtocolRoute, faults
from forecast.serve.v2.inference import MODEL, facts, infer
from forecast.serve.v2.messages import InferResponse, Live, ModelFacts, ModelReady, Ready, ServerFacts
from forecast.serve.v2.reading import BODY, read

_ONE = f"/models/{MODEL}/versions"
_Version = Annotated[str, Path(description="`model_version` of an answer; 404 once another one is served")]


def router(context: Context) -> APIRouter:
    """The routes of the protocol.

    Args:
        context: of the server; its engine answers.
    """
    routes = APIRouter(prefix="/v2", tags=["Open Inference Protocol"], route_class=ProtocolRoute)

    def served(version: str | None = None) -> Served:
        found = served_now(context)
        if version is not None and version != found.version:
            raise HTTPException(404, f"version {version[:80]!r} is not served; expected {found.version}")
        return found

    async def is_ready(response: Response) -> bool:
        try:
            await prove_ready(context)
        except HTTPException as error:
            response.status_code = error.status_code
            return False
        return True

    @routes.get("", responses=faults())
    async def server() -> ServerFacts:
        """What answers here."""
        return ServerFacts(name="forecast", version=package_version(), extensions=[])

    @routes.get("/health/live", responses=faults())
    async def live() -> Live:
        """Whether the server answers."""
        return Live(live=True)

    @routes.get("/health/ready", responses={**faults(), 503: _not_ready(Ready)})
    async def ready(response: Response) -> Ready:
        """Whether a forecast just went through."""
        return Ready(ready=await is_ready(response))

    @routes.get(f"/models/{MODEL}", responses=faults(404))
    async def model_facts() -> ModelFacts:
        """What the model takes and gives."""
        return facts(served())

    @routes.get(f"{_ONE}/{{version}}", responses=faults(404))
    async def version_facts(version: _Version) -> ModelFacts:
        """What this version of the model takes and gives."""
        return facts(served(version))

    @routes.get(f"/models/{MODEL}/ready", responses={**faults(404), 503: _not_ready(ModelReady)})
    async def model_ready(response: Response) -> ModelReady:
        """Whether the model gives forecasts."""
        served()
        return ModelReady(name=MODEL, ready=await is_ready(response))

    @routes.get(
        f"{_ONE}/{{version}}/ready",
        responses={**faults(404), 503: _not_ready(ModelReady)},
    )
    async def version_ready(version: _Version, response: Response) -> ModelReady:
        """Whether this version of the model gives forecasts."""
        served(version)
        return ModelReady(name=MODEL, ready=await is_ready(response))

    @routes.post(
        f"/models/{MODEL}/infer",
        responses=faults(400, 404, 500),
        openapi_extra={"requestBody": BODY},
        response_model_exclude_none=True,
    )
    async def model_infer(request: Request) -> InferResponse:
        """Forecast from windows of bars."""
        asked = served()
        return await infer(await read(request), asked, context.engine)

    @routes.post(
        f"{_ONE}/{{version}}/infer",
        responses=faults(400, 404, 409, 500),
        openapi_extra={"requestBody": BODY},
        response_model_exclude_none=True,
    )
    async def version_infer(version: _Version, request: Request) -> InferResponse:
        """Forecast from windows of bars, by this version or not at all."""
        asked = served(version)
        told = await infer(await read(request), asked, context.engine)
        if told.model_version != version:
            raise HTTPException(
                409, f"{told.model_version} took the place of version {version[:80]!r} meanwhile"
            )
        return told

    @routes.api_route("/models/{model}", methods=["GET", "POST"], include_in_schema=False)
    @routes.api_route("/models/{model}/{rest:path}", methods=["GET", "POST"], include_in_schema=False)
    async def other(request: Request, model: str, rest: str = "") -> None:
        """Whatever else is asked of a model."""
        if model != MODEL:
            raise HTTPException(404, f"{model[:80]!r}: no such model; expected {MODEL}")
        if rest in ("", "ready", "infer"):
            allow = "POST" if rest == "infer" else "GET"
            told = f"{request.method} is no method of {request.url.path}; expected {allow}"
            raise HTTPException(405, told, headers={"Allow": allow})
        raise HTTPException(
            404, f"{rest[:80]!r}: nothing of that name; expected ready, infer or versions/..."
        )

    return routes


def _not_ready(model: type[Ready]) -> dict[str, Any]:
    return {"model": model, "description": "No forecast went through"}
