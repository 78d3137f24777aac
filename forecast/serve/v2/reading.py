"""A body in the Open Inference Protocol, read as strictly as that of POST /infer."""

from __future__ import annotations

from typing import Any

from fastapi import HTTPException, Request
from pydantic import ValidationError

from forecast.serve.routes.infer import in_a_line
from forecast.serve.v2.messages import InferRequest


async def read(request: Request) -> InferRequest:
    """What was asked.

    Raises:
        HTTPException: 400 the body is none of the protocol's.
    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(400, f"Content-Type: {kind[:80]}; expected application/json")
    if "inference-header-content-length" in request.headers:
        raise HTTPException(400, "Inference-Header-Content-Length: binary tensors are not taken; send JSON")
    try:
        return InferRequest.model_validate_json(await request.body())
    except ValidationError as error:
        raise HTTPException(400, in_a_line(error)) from error


def _whole(schema: Any, parts: dict[str, Any]) -> Any:
    """A JSON schema with the parts it refers to in their places, since OpenAPI keeps them elsewhere."""
    if isinstance(schema, list):
        return [_whole(item, parts) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _whole(parts[schema["$ref"].rpartition("/")[2]], parts)
    return {name: _whole(item, parts) for name, item in schema.items() if name != "$defs"}


_SCHEMA = InferRequest.model_json_schema()
# Of the OpenAPI document.
BODY = {
    "required": True,
    "content": {"application/json": {"schema": _whole(_SCHEMA, _SCHEMA.get("$defs", {}))}},
}
