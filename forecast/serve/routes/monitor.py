"""How the server does: GET /monitor for a person or a page, GET /metrics for Prometheus."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from forecast.files import shown_path
from forecast.serve.model_store import LoadedModel, ModelStore
from forecast.serve.monitoring import Monitoring
from forecast.serve.monitoring.counters import Latency
from forecast.serve.monitoring.exposition import exposition
from forecast.serve.schemas import LastMinute, Model, Monitor, Outcomes, Route, problems
from forecast.serve.training_jobs import TrainingJobs

_SHOWN_FEATURES = 20  # by /monitor, those that differ most


def router(*, monitoring: Monitoring, store: ModelStore, jobs: TrainingJobs) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["watching"])

    @routes.get("/monitor", summary="Counts, latency, drift and skill", responses=problems())
    async def monitor() -> Monitor:
        # In a thread: it reads a database.
        return await anyio.to_thread.run_sync(lambda: _monitor(monitoring, store.current))

    @routes.get(
        "/metrics",
        summary="Figures for Prometheus",
        response_class=PlainTextResponse,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems()},
    )
    async def metrics() -> PlainTextResponse:
        from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

        text = await anyio.to_thread.run_sync(lambda: exposition(monitoring, store.current, jobs))
        return PlainTextResponse(text, headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})

    return routes


def _monitor(monitoring: Monitoring, model: LoadedModel | None) -> Monitor:
    figures = monitoring.figures()
    inferences, minute = figures.inferences, figures.last_minute
    routes = sorted(figures.requests.items(), key=lambda item: item[0][::-1])
    return Monitor(
        status="no model" if model is None else "healthy",
        total_inferences=inferences.number,
        avg_latency_ms=_ms(inferences.mean),
        min_latency_ms=_ms(inferences.fastest),
        max_latency_ms=_ms(inferences.slowest),
        last_inference_timestamp=figures.last_inference,
        **_percentiles(inferences),
        last_minute=LastMinute(inferences=minute.number, **_percentiles(minute)),
        requests=sum(own.number for own in figures.requests.values()),
        errors={str(status): number for status, number in figures.errors.items()},
        routes=[
            Route(
                route=route,
                method=method,
                status=status,
                requests=own.number,
                avg_latency_ms=_ms(own.mean),
                p99_latency_ms=_ms(own.percentile(0.99)),
            )
            for (method, status, route), own in routes
        ],
        in_flight=figures.in_flight,
        queue=figures.queue,
        processes=figures.processes,
        **(
            {"model": None, "drift": None, "outcomes": None}
            if model is None
            else _served(monitoring, model, figures.swaps)
        ),
    )


def _served(monitoring: Monitoring, model: LoadedModel, swaps: int) -> dict[str, Any]:
    """What there is to say of the model that is served."""
    predictor, exported = model.predictor, (model.metadata or {}).get("exported_at")
    since = model.loaded_at if exported is None else datetime.fromisoformat(exported)
    drift, outcomes = monitoring.drift(model), monitoring.outcomes(model)
    return {
        "model": Model(
            version=model.version,
            directory=shown_path(model.directory),
            tickers=predictor.tickers[:20],
            scope=predictor.scope,
            lookback=predictor.lookback,
            horizon=predictor.horizon,
            loaded_at=model.loaded_at,
            exported_at=exported,
            age_seconds=max(0.0, round((datetime.now(UTC) - since).total_seconds(), 3)),
            swaps=swaps,
        ),
        "drift": drift and replace(drift, features=drift.features[:_SHOWN_FEATURES]),
        "outcomes": outcomes
        and Outcomes(
            model=outcomes.model,
            all=outcomes.all,
            level=next(iter(predictor.levels), None),
            awaited=outcomes.pending,
        ),
    }


def _percentiles(answers: Latency) -> dict[str, Any]:
    return {f"p{percent}_latency_ms": _ms(answers.percentile(percent / 100)) for percent in (50, 95, 99)}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 3)
