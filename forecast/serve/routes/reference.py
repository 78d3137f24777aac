"""GET /docs: the OpenAPI document as a page, which asks nobody on the internet for a script."""

import json
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from forecast.evaluate.markup import element, grid, text
from forecast.evaluate.page import document as report
from forecast.evaluate.page.document import digest, text_of
from forecast.serve.context import Context
from forecast.serve.problems import problems

_STYLE = Path(report.__file__).parent / "page.css"


def router(context: Context) -> APIRouter:  # noqa: ARG001 - every module of routes takes it
    """The route."""
    routes = APIRouter()

    @routes.get("/docs", response_class=HTMLResponse, summary="This page", responses=problems())
    async def docs(request: Request) -> Response:
        style = text_of(_STYLE)
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
    info = schema["info"]
    parts = [
        text("h1", info["title"]),
        text("p", f"{info.get('description', '')}. Version {info['version']}."),
    ]
    parts.append(
        element("p", "The same for programs: " + element("a", "/openapi.json", href="/openapi.json") + ".")
    )
    for path, methods in schema["paths"].items():
        parts += [_route(path, method, told) for method, told in methods.items()]
    parts.append(text("h2", "Schemas"))
    for name, model in schema.get("components", {}).get("schemas", {}).items():
        parts.append(element("details", text("summary", name) + _json(model), id=f"schema-{name}"))
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += text("title", f"{info['title']}: routes") + element("style", style)
    body = element("main", "".join(parts))
    return "<!doctype html>" + element("html", element("head", head) + element("body", body), lang="en")


def _route(path: str, method: str, told: dict[str, Any]) -> str:
    """One method of one path."""
    parts = [text("h2", f"{method.upper()} {path}"), text("p", told.get("summary", ""))]
    if "description" in told:
        parts.append(text("p", told["description"]))
    if parameters := told.get("parameters"):
        rows = [
            [one["name"], one["in"], _kind(one["schema"]), one.get("description", "")] for one in parameters
        ]
        parts.append(grid([["parameter", "in", "kind", ""], *rows], labels=1, prose=[3]))
    parts += [
        element("details", text("summary", "body") + _json(content["schema"]))
        for content in told.get("requestBody", {}).get("content", {}).values()
    ]
    answers = [
        [status, one.get("description", ""), _bodies(one)]
        for status, one in sorted(told["responses"].items())
    ]
    parts.append(grid([["status", "meaning", "body"], *answers], labels=1, prose=[1]))
    return element("section", "".join(parts))


def _bodies(answer: dict[str, Any]) -> str:
    return ", ".join(_kind(content.get("schema", {})) for content in answer.get("content", {}).values())


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a word or two."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    return str(schema.get("type", "any"))


def _json(schema: dict[str, Any]) -> str:
    return element("pre", text("code", json.dumps(schema, indent=2)))
