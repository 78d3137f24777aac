"""GET /, /config and /docs: what answers here, what the model was made of, and the routes as a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from forecast.evaluate.report.page import STYLE, digest, environment, text_of
from forecast.evaluate.report.parts import Table
from forecast.serve.model_store import LoadedModel, ModelStore
from forecast.serve.routes.forecast import loaded_model
from forecast.serve.schemas import About, Composed, problems, utc_text, without_folders

# Of the server's surroundings, not of the model; addresses of trackers and clusters are nobody's business here.
_WITHHELD = ("metadata", "model", "trainer", "data", "tracker", "cluster", "champion", "tuner", "hydra")


def router(*, store: ModelStore, about: About) -> APIRouter:
    """The routes.

    Args:
        store: of the model.
        about: what GET / says.
    """
    routes = APIRouter(tags=["about"])

    @routes.get("/")
    async def root() -> About:
        """What answers here."""
        return about

    @routes.get("/config", responses=problems(404))
    async def config() -> Composed:
        """The champion's composed config and metadata."""
        return composed(loaded_model(store))

    @routes.get("/docs", response_class=HTMLResponse, summary="This page", responses=problems())
    async def docs(request: Request) -> Response:
        style = text_of(STYLE)
        policy = (
            f"default-src 'none'; style-src {digest(style)}; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )
        return HTMLResponse(
            reference(request.app.openapi(), style), headers={"Content-Security-Policy": policy}
        )

    return routes


def composed(model: LoadedModel) -> Composed:
    """What a caller is shown of a model's config.

    Args:
        model: that is served.
    """
    config = model.config
    own = {
        "model_version": model.version,
        "loaded_at": utc_text(model.loaded_at.replace(microsecond=0)),
        "champion": model.metadata is not None,
    }
    others = {name: value for name, value in config.items() if name not in _WITHHELD}
    parts = {
        "metadata": {**(model.metadata or {}), **own},
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


def reference(schema: dict[str, Any], style: str) -> str:
    """All routes and what they take and give, as a page.

    Args:
        schema: an OpenAPI document.
        style: CSS.
    """
    models = schema.get("components", {}).get("schemas", {})
    return (
        environment(Path(__file__).parent)
        .get_template("reference.html.j2")
        .render(
            info={"description": ""} | schema["info"],
            style=style,
            routes=[
                _route(f"{method.upper()} {path}", route)
                for path, methods in schema["paths"].items()
                for method, route in methods.items()
            ],
            schemas=[(name, json.dumps(model, indent=2)) for name, model in models.items()],
        )
    )


def _route(title: str, route: dict[str, Any]) -> dict[str, Any]:
    """One method of one path, as the template takes it."""
    parameters = [
        [one["name"], one["in"], _kind(one["schema"]), one.get("description", "")]
        for one in route.get("parameters", ())
    ]
    contents = route.get("requestBody", {}).get("content", {}).values()
    responses = [
        [status, one.get("description", ""), _bodies(one)]
        for status, one in sorted(route["responses"].items())
    ]
    return {
        "title": title,
        "summary": route.get("summary", ""),
        "description": route.get("description", ""),
        "parameters": Table(["parameter", "in", "kind", ""], parameters, prose=[3]) if parameters else None,
        "bodies": [json.dumps(content["schema"], indent=2) for content in contents],
        "responses": Table(["status", "meaning", "body"], responses, prose=[1]),
    }


def _bodies(answer: dict[str, Any]) -> str:
    return ", ".join(_kind(content.get("schema", {})) for content in answer.get("content", {}).values())


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a word or two."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    return str(schema.get("type", "any"))
