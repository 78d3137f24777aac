"""The model that answers now, or the answer where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import HTTPException

if TYPE_CHECKING:
    from forecast.serve.context import Context
    from forecast.serve.served import Served


def served_now(context: Context) -> Served:
    """The model that is served; to be asked for once a request, for it may be replaced at any time.

    Raises:
        HTTPException: 404 there is none.
    """
    served = context.models.current
    if served is None:
        raise HTTPException(404, f"no model is served: {context.models.following} is not there yet")
    return served
