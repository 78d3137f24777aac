"""LitServe's app with this project's routes in the place of LitServe's own."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from forecast.runs import package_version
from forecast.serve import routes
from forecast.serve.context import Context
from forecast.serve.document import described
from forecast.serve.problems import in_line
from forecast.serve.routes import train

TITLE = "forecast"
DESCRIPTION = "Forecasts of daily prices, from the model that was judged best"


def assemble(app: FastAPI, context: Context) -> None:
    """Give an app the routes of every module in `forecast.serve.routes`.

    Args:
        app: LitServe's; its routes are taken away, for its `GET /` would hide ours and its `/health` tells nothing.
        context: handed to each router.
    """
    app.router.routes.clear()
    app.user_middleware.clear()
    app.title, app.description, app.version = TITLE, DESCRIPTION, package_version()
    app.router.redirect_slashes = False
    app.docs_url = app.redoc_url = None  # their scripts are on the internet; ours is routes/reference.py
    app.setup()  # /openapi.json again
    app.include_router(train.router(jobs=context.training, models=context.models))
    for module in sorted(found.name for found in pkgutil.iter_modules(routes.__path__)):
        if module == "train":
            continue
        app.include_router(importlib.import_module(f"{routes.__name__}.{module}").router(context))
    vars(app)["openapi"] = described(app.openapi)
    app.add_exception_handler(HTTPException, _told)
    app.add_exception_handler(RequestValidationError, _not_the_schema)
    app.add_exception_handler(Exception, _failed)


async def _told(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail: Any = error.detail
    if error.status_code == 404 and "route" not in request.scope:
        detail = f"no such path: {in_line(request.scope['path'])}; GET /docs lists them"
    elif error.status_code == 405:
        detail = (
            f"{request.method[:20]} is no method of {in_line(request.scope['path'])}; GET /docs lists them"
        )
    told = " ".join(str(detail).split())
    return JSONResponse({"detail": told}, error.status_code, headers=dict(error.headers or {}))


async def _not_the_schema(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    where = ".".join(str(part) for part in faults[0]["loc"])
    # Without what was sent: it may hold what JSON has no word for.
    return JSONResponse({"detail": f"{in_line(where)}: {faults[0]['msg']}"}, 422)


async def _failed(_: Request, __: Exception) -> JSONResponse:
    """Our own fault; the gate writes its traceback to the log."""
    return JSONResponse({"detail": "the server failed; its log says why"}, 500)
