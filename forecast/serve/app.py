"""The server's app: a list of middlewares, routers, and errors that are all `{"detail": "<one line>"}`.

A request passes the middlewares in the order of `middlewares` and reaches one router:
infer (POST /infer), forecast (GET /forecast/{ticker}), train and champion, monitor and metrics, ui, health, v2,
info (/, /config, /docs).
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from forecast.finished_runs import package_version
from forecast.serve import v2
from forecast.serve.batching import Turns
from forecast.serve.engines import Engine
from forecast.serve.middleware import (
    SERVER_FAILED,
    ApiKey,
    Limits,
    Metrics,
    Origin,
    PathForms,
    problem,
)
from forecast.serve.model_store import ModelStore
from forecast.serve.monitoring import Monitoring
from forecast.serve.openapi import documented
from forecast.serve.page import login_page
from forecast.serve.routes import forecast, health, infer, info, monitor, train, ui
from forecast.serve.schemas import About, in_line, validation_line, without_folders
from forecast.serve.settings import Settings
from forecast.serve.training_jobs import TrainingJobs

TITLE = "forecast"
DESCRIPTION = 'Forecasts by the champion of many runs, judged against "tomorrow = today".'


def create_app(
    settings: Settings,
    *,
    store: ModelStore,
    engine: Engine,
    monitoring: Monitoring,
    jobs: TrainingJobs,
    stopping: Callable[[], bool],
) -> FastAPI:
    """The app of one HTTP process."""
    app = FastAPI(
        title=TITLE,
        description=DESCRIPTION,
        version=package_version(),
        lifespan=lambda _: _lifespan(store, monitoring, engine),
        redirect_slashes=False,
        openapi_url=None,  # both are in routes/info.py: its scripts are on the internet
        docs_url=None,
        redoc_url=None,
        strict_content_type=False,
    )
    turns = Turns()
    readiness = health.Readiness(store=store, engine=engine, stopping=stopping)
    about = About(title=TITLE, description=DESCRIPTION, version=package_version())
    for router in (
        infer.router(),
        forecast.router(
            store=store, monitoring=monitoring, allow=settings.allow, deadline_s=settings.deadline_s
        ),
        train.router(jobs=jobs, store=store, monitoring=monitoring),
        monitor.router(monitoring=monitoring, store=store, jobs=jobs),
        ui.router(store=store, champion=settings.champion),
        health.router(readiness=readiness),
        v2.router(store=store, engine=engine, readiness=readiness, max_rows=settings.max_rows, turns=turns),
        info.router(store=store, about=about),
    ):
        app.include_router(router)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _server_error)
    app.openapi = documented(  # type: ignore[method-assign]  # FastAPI's way
        app, store, api_key=settings.api_key is not None, admin_key=settings.admin_key is not None
    )
    # Ours stand before FastAPI's own, none of which POST /infer needs.
    app.middleware_stack = _in_front(
        app.build_middleware_stack(),
        middlewares(
            settings, store=store, engine=engine, monitoring=monitoring, turns=turns, stopping=stopping
        ),
    )
    return app


@asynccontextmanager
async def _lifespan(store: ModelStore, monitoring: Monitoring, engine: Engine) -> AsyncIterator[None]:
    store.load()
    if store.current is not None:
        monitoring.model_loaded(store.current)
    store.poll()
    gc.collect()
    gc.freeze()  # what is here stays: the collector need not look at it between requests
    async with engine.running():
        try:
            yield
        finally:
            store.close()
            monitoring.close()


def _in_front(app: ASGIApp, made: Sequence[Middleware]) -> ASGIApp:
    """An app behind middlewares, outermost first, that take HTTP alone."""
    answer = app
    for one in reversed(made):
        answer = one.cls(answer, *one.args, **one.kwargs)

    async def stack(scope: Scope, receive: Receive, send: Send) -> None:
        await (answer if scope["type"] == "http" else app)(scope, receive, send)

    return stack


def middlewares(
    settings: Settings,
    *,
    store: ModelStore,
    engine: Engine,
    monitoring: Monitoring,
    turns: Turns,
    stopping: Callable[[], bool],
) -> list[Middleware]:
    """What a request passes, outermost first."""
    return [
        Middleware(Metrics, counter=monitoring, engine=engine, stopping=stopping),
        Middleware(PathForms),
        Middleware(Origin, hosts=settings.hosts),
        Middleware(ApiKey, api_key=settings.api_key, admin_key=settings.admin_key, login_page=login_page),
        Middleware(
            Limits,
            max_body_bytes=settings.max_body_bytes,
            max_in_flight=settings.max_in_flight,
            deadline_s=settings.deadline_s,
            is_patient=lambda path: path.startswith(("/train", "/champion/")),
        ),
        Middleware(
            infer.InferMiddleware, store=store, engine=engine, max_rows=settings.max_rows, turns=turns
        ),
    ]


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    path, detail = in_line(request.scope["path"]), str(error.detail)
    if error.status_code == 404 and "route" not in request.scope:
        detail = f"no such path: {path}; GET /docs lists them"
    elif error.status_code == 405 and detail == "Method Not Allowed":
        detail = f"{request.method[:20]} is no method of {path}; GET /docs lists them"
    text = without_folders(" ".join(detail.split()))
    return JSONResponse(problem(path, text), error.status_code, headers=dict(error.headers or {}))


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # Without what was sent: it may hold what JSON has no word for.
    return JSONResponse(problem(request.scope["path"], validation_line(error.errors())), 422)


async def _server_error(request: Request, __: Exception) -> JSONResponse:
    # Metrics puts the traceback into the log.
    return JSONResponse(problem(request.scope["path"], SERVER_FAILED), 500)
