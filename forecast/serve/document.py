"""The OpenAPI document, with every error as it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from forecast.serve.problems import Problem, problems

# FastAPI's own word for 422, which is told here as any other error is.
_FASTAPIS = "HTTPValidationError"


def corrected(document: dict[str, Any]) -> dict[str, Any]:
    """Say of every route that it may be refused before it is reached, and that errors are JSON on pages, too.

    Args:
        document: as FastAPI makes it; it takes errors to be of the media type of the answer.

    Returns:
        the same document.
    """
    parts = document.setdefault("components", {}).setdefault("schemas", {})
    parts.setdefault(Problem.__name__, Problem.model_json_schema())
    problem = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    anywhere = {str(status): told["description"] for status, told in problems(422).items()}
    for operations in document["paths"].values():
        for operation in operations.values():
            told = operation["responses"]
            for status, meaning in anywhere.items():
                told.setdefault(status, {"description": meaning, "content": {}})
            for status in filter(_is_error, told):
                schemas = [kind.get("schema", {}) for kind in told[status].get("content", {}).values()]
                schema = schemas[0] if schemas and schemas[0].get("$ref") else problem
                if schema.get("$ref", "").endswith(f"/{_FASTAPIS}"):
                    schema = problem
                told[status]["content"] = {"application/json": {"schema": schema}}
            operation["responses"] = dict(sorted(told.items()))
    for name in (_FASTAPIS, "ValidationError"):
        parts.pop(name, None)
    return document


def described(make: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """FastAPI's maker of the document, corrected; made when somebody first asks.

    Args:
        make: `openapi` of an app.
    """
    made: list[dict[str, Any]] = []

    def document() -> dict[str, Any]:
        if not made:
            made.append(corrected(make()))
        return made[0]

    return document


def _is_error(status: str) -> bool:
    return status >= "400"
