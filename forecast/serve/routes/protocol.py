"""The Open Inference Protocol, version 2: /v2."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request, Response

from forecast.provenance import package_version
from forecast.serve.context import Context
from forecast.serve.current import served_now
from forecast.serve.routes.health import prove_ready
from forecast.serve.served import Served
from forecast.serve.v2.faults import ProtocolRoute, faults
from forecast.serve.v2.inference import MODEL, facts, infer
from forecast.serve.v2.messages import InferResponse, Live, ModelFacts, ModelReady, Ready, ServerFacts
from forecast.serve.v2.reading import BODY, read

_Model = Annotated[str, Path(description=f"`{MODEL}`, whatever is served")]
_Version = Annotated[str, Path(description="`model_version` of an answer; 404 once another one is served")]


def router(context: Context) -> APIRouter:
    """The routes of the protocol.

    Args:
        context: of the server; its engine answers.
    """
    routes = APIRouter(prefix="/v2", tags=["Open Inference Protocol"], route_class=ProtocolRoute)

    def served(model: str, version: str | None = None) -> Served:
        if model != MODEL:
            raise HTTPException(404, f"{model[:80]!r}: no such model; expected {MODEL}")
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

    @routes.get("/models/{model}", responses=faults(404))
    async def model_facts(model: _Model) -> ModelFacts:
        """What the model takes and gives."""
        return facts(served(model))

    @routes.get("/models/{model}/versions/{version}", responses=faults(404))
    async def version_facts(model: _Model, version: _Version) -> ModelFacts:
        """What this version of the model takes and gives."""
        return facts(served(model, version))

    @routes.get("/models/{model}/ready", responses={**faults(404), 503: _not_ready(ModelReady)})
    async def model_ready(model: _Model, response: Response) -> ModelReady:
        """Whether the model gives forecasts."""
        served(model)
        return ModelReady(name=MODEL, ready=await is_ready(response))

    @routes.get(
        "/models/{model}/versions/{version}/ready",
        responses={**faults(404), 503: _not_ready(ModelReady)},
    )
    async def version_ready(model: _Model, version: _Version, response: Response) -> ModelReady:
        """Whether this version of the model gives forecasts."""
        served(model, version)
        return ModelReady(name=MODEL, ready=await is_ready(response))

    @routes.post(
        "/models/{model}/infer",
        responses=faults(400, 404, 500),
        openapi_extra={"requestBody": BODY},
        response_model_exclude_none=True,
    )
    async def model_infer(model: _Model, request: Request) -> InferResponse:
        """Forecast from windows of bars."""
        asked = served(model)
        return await infer(await read(request), asked, context.engine)

    @routes.post(
        "/models/{model}/versions/{version}/infer",
        responses=faults(400, 404, 409, 500),
        openapi_extra={"requestBody": BODY},
        response_model_exclude_none=True,
    )
    async def version_infer(model: _Model, version: _Version, request: Request) -> InferResponse:
        """Forecast from windows of bars, by this version or not at all."""
        asked = served(model, version)
        told = await infer(await read(request), asked, context.engine)
        if told.model_version != version:
            raise HTTPException(
                409, f"{told.model_version} took the place of version {version[:80]!r} meanwhile"
            )
        return told

    return routes


def _not_ready(model: type[Ready]) -> dict[str, Any]:
    return {"model": model, "description": "No forecast went through"}
