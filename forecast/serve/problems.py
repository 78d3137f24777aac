"""Errors as every route tells them: `{"detail": "<one line a caller can act on>"}`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

_MEANING = {
    400: "The request cannot be answered as it is",
    401: "No key, or a wrong one, in the header X-API-Key",
    404: "Nothing of that name here",
    405: "Not a method of this path",
    408: "The request did not arrive in time",
    409: "Not possible in the present state",
    413: "The request is too large",
    415: "The body is no JSON",
    422: "The body is not of the schema",
    429: "Too many requests in flight",
    431: "The request line and the headers are too large",
    500: "The server failed",
    502: "The source of market data failed",
    503: "Not ready",
    504: "Not answered in time",
}


class Problem(BaseModel):
    """What is wrong, and the way out."""

    model_config = ConfigDict(extra="forbid")

    detail: str


def in_line(text: str, most: int = 200) -> str:
    """What a caller sent, fit to be told again: in one line, and not all of it."""
    return " ".join(text[:most].split())


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that may end in these statuses, besides those that any route may end in.

    Args:
        statuses: of errors.
    """
    return {
        status: {"model": Problem, "description": _MEANING[status]}
        for status in sorted({401, 408, 413, 429, 431, 503, 504, *statuses})
    }
