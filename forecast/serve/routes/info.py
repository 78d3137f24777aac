"""GET /, /config, /docs and /openapi.json: what answers here, what the model was made of, and the routes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from forecast.serve.model_store import LoadedModel, ModelStore
from forecast.serve.page import docs_page, page_response
from forecast.serve.routes.forecast import loaded_model
from forecast.serve.schemas import UNCHANGED, About, Composed, problems, utc_text, without_folders

# Of the server's surroundings, not of the model; addresses of trackers and clusters are nobody's business here.
_WITHHELD = ("metadata", "model", "trainer", "data", "tracker", "cluster", "champion", "tuner", "hydra")


def router(*, store: ModelStore, about: About) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["about"])

    @routes.get("/")
    async def root() -> About:
        """What answers here."""
        return about

    @routes.get("/config", responses=problems(404))
    async def config() -> Composed:
        """The champion's composed config and metadata."""
        return composed(loaded_model(store))

    @routes.get("/docs", response_class=HTMLResponse, summary="This page", responses=problems() | UNCHANGED)
    async def docs(request: Request) -> Response:
        return page_response(docs_page(), request)

    @routes.get("/openapi.json", include_in_schema=False)
    async def document(request: Request) -> JSONResponse:
        return JSONResponse(request.app.openapi())

    return routes


def composed(model: LoadedModel) -> Composed:
    """What a caller is shown of a model's config."""
    config, metadata = model.config, model.metadata or {}
    if "exported_at" in metadata:  # earlier versions wrote its zone otherwise
        metadata = {**metadata, "exported_at": utc_text(datetime.fromisoformat(metadata["exported_at"]))}
    own = {
        "model_version": model.version,
        "loaded_at": utc_text(model.loaded_at.replace(microsecond=0)),
        "champion": model.metadata is not None,
    }
    others = {name: value for name, value in config.items() if name not in _WITHHELD}
    parts = {
        "metadata": {**metadata, **own},
        "model": config["model"],
        "training": config["trainer"],
        "data": config["data"],
        "metrics": model.metrics,
        **others,
    }
    return Composed.model_validate(_without_folders(parts))


def _without_folders(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _without_folders(value) for name, value in node.items()}
    if isinstance(node, list):
        return [_without_folders(value) for value in node]
    return without_folders(node) if isinstance(node, str) else node
