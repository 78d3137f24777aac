"""Errors as the Open Inference Protocol wants them: `{"error": ...}`, here with this server's `detail` beside it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from forecast.serve.problems import problems
from forecast.serve.v2.messages import Fault


class ProtocolRoute(APIRoute):
    """A route that tells its own errors in the protocol's form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook around reading, answering and writing."""
        answer = super().get_route_handler()

        async def answer_or_fault(request: Request) -> Response:
            try:
                return await answer(request)
            except HTTPException as error:
                return fault(error.status_code, str(error.detail), error.headers)

        return answer_or_fault


def fault(status: int, text: str, headers: Any = None) -> Response:
    """An error in the protocol's form."""
    told = Fault(error=text, detail=text)
    return JSONResponse(told.model_dump(), status_code=status, headers=headers)


def faults(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route of the protocol: see problems."""
    own = {status: {"model": Fault} for status in statuses}
    told = problems(422, *statuses)
    return {status: {**meaning, **own.get(int(status), {})} for status, meaning in told.items()}
