"""The OpenAPI document: what FastAPI describes, and what it cannot know of this server.

Every route may be refused before it is reached, errors are JSON on pages, too, keys are wanted, and the examples are
windows that the served model takes. What all routes share is said once, under `components`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from forecast.serve import v2
from forecast.serve.middleware import ADMIN, OPEN
from forecast.serve.model_store import LoadedModel, ModelStore
from forecast.serve.schemas import Problem, problems
from forecast.serve.windows import probe_window

# FastAPI's own word for 422, which is described here as any other error is.
_FASTAPI_ERRORS = ("HTTPValidationError", "ValidationError")
_HEADER = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
_SCHEMES = {
    "key": {
        **_HEADER,
        "description": "`api_key` of the server: for every route but /, /livez, /health and /readyz",
    },
    "admin": {
        **_HEADER,
        "description": "`admin_key` of the server, where one is set: for training and the champion; opens the rest too",
    },
}


def documented(
    app: FastAPI, store: ModelStore, *, api_key: bool, admin_key: bool
) -> Callable[[], dict[str, Any]]:
    """A function that gives the document of an app, made once for each model."""
    described = app.openapi
    made: tuple[LoadedModel | None, dict[str, Any]] | None = None

    def document() -> dict[str, Any]:
        nonlocal made
        model = store.current
        if made is None or made[0] is not model:
            whole = copy.deepcopy(described())
            _describe_errors(whole)
            _describe_keys(whole, api_key=api_key, admin_key=admin_key)
            if model is not None:
                _add_examples(whole["components"]["schemas"], model)
            made = model, whole
        return made[1]

    return document


def _describe_errors(document: dict[str, Any]) -> None:
    """Each error once, under components/responses; routes refer to it."""
    components = document.setdefault("components", {})
    schemas, responses = components.setdefault("schemas", {}), components.setdefault("responses", {})
    schemas.setdefault(Problem.__name__, Problem.model_json_schema())
    schemas |= v2.body_schemas()
    anywhere = problems(422)
    for path, operations in document["paths"].items():
        shape = v2.Fault.__name__ if path.startswith("/v2") else Problem.__name__
        for operation in operations.values():
            answers = operation["responses"]
            for status, known in anywhere.items():
                answers.setdefault(str(status), {"description": known["description"]})
            for status in [status for status in answers if status >= "400"]:
                kinds = answers[status].get("content", {}).values()
                own = {
                    str(kind["schema"].get("$ref", "")).rpartition("/")[2]
                    for kind in kinds
                    if "schema" in kind
                }
                if special := own - {"", Problem.__name__, v2.Fault.__name__, *_FASTAPI_ERRORS}:
                    # it says more than an error does
                    answers[status]["content"] = _json(special.pop())
                    continue
                name = f"{shape}{status}"
                meaning = problems(int(status))[int(status)]["description"]
                responses[name] = {"description": meaning, "content": _json(shape)}
                answers[status] = {"$ref": f"#/components/responses/{name}"}
            operation["responses"] = dict(sorted(answers.items()))
    for name in _FASTAPI_ERRORS:
        schemas.pop(name, None)
    components["responses"] = dict(sorted(responses.items()))


def _describe_keys(document: dict[str, Any], *, api_key: bool, admin_key: bool) -> None:
    """Which key a route wants; where none is set, both schemes are there and none is wanted."""
    document["components"]["securitySchemes"] = _SCHEMES
    for path, operations in document["paths"].items():
        is_admin = path.startswith(ADMIN)
        wanted = admin_key or api_key if is_admin else api_key
        if path in OPEN:
            security: list[dict[str, list[str]]] = []
        elif is_admin and admin_key:
            security = [{"admin": []}]
        else:
            security = [{"key": []}, {"admin": []}] if admin_key else [{"key": []}]
        for operation in operations.values():
            operation["security"] = security if wanted or not security else [*security, {}]


def _add_examples(schemas: dict[str, Any], model: LoadedModel) -> None:
    """Windows that the model takes."""
    rows, ticker = probe_window(model)
    data = [value for row in rows for value in row]
    tensor = {"name": "sequence", "shape": [1, len(rows), len(rows[0])], "datatype": "FP64", "data": data}
    schemas["Infer"]["examples"] = [{"sequence": rows, "ticker": ticker}]
    schemas["InferRequest"]["examples"] = [{"inputs": [tensor]}]


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
