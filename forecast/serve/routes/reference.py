"""GET /docs: the OpenAPI document as a page, which asks nobody on the internet for a script."""

import json
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from forecast.evaluate.report.page import STYLE, digest, environment, text_of
from forecast.evaluate.report.parts import Table
from forecast.serve.context import Context
from forecast.serve.problems import problems


def router(context: Context) -> APIRouter:  # noqa: ARG001 - every module of routes takes it
    """The route."""
    routes = APIRouter()

    @routes.get("/docs", response_class=HTMLResponse, summary="This page", responses=problems())
    async def docs(request: Request) -> Response:
        style = text_of(STYLE)
        policy = f"default-src 'none'; style-src {digest(style)}; base-uri 'none'; frame-ancestors 'none'"
        return HTMLResponse(
            reference(request.app.openapi(), style), headers={"Content-Security-Policy": policy}
        )

    return routes


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
