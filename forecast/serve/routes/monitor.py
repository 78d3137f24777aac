"""GET /monitor: how the server does, in figures a person or a page reads."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import anyio
from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from forecast.serve.model_store import LoadedModel
from forecast.serve.schemas import problems
from forecast.serve.watch.drift import Drift
from forecast.serve.watch.figures import Answers, Figures
from forecast.serve.watch.outcomes import Skill, Told

_MOST_FEATURES = 20
Milliseconds = Annotated[float, Field(ge=0)] | None


class _Told(BaseModel):
    # no NaN and no Infinity: JSON has none
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())


class LastMinute(_Told):
    """Forecasts from windows that were given, in the last 60 to 70 seconds."""

    inferences: int
    p50_latency_ms: Milliseconds
    p95_latency_ms: Milliseconds
    p99_latency_ms: Milliseconds


class Route(_Told):
    """Requests of one kind since the start."""

    route: str
    method: str
    status: int
    requests: int
    avg_latency_ms: Milliseconds
    p99_latency_ms: Milliseconds


class Process(_Told):
    """A process that answers or computes."""

    pid: int
    model_version: str | None = Field(description="null until it has one")
    in_flight: int
    queue: int
    forecasts: int = Field(description="windows that went through its network")


class Model(_Told):
    """Whose forecasts these are."""

    version: str
    directory: str
    tickers: list[str] = Field(description="at most 20 of those it was trained on")
    scope: Literal["single", "multiple", "panel"]
    lookback: int
    horizon: int
    loaded_at: AwareDatetime
    exported_at: str | None = Field(description="when it became the champion; null for a run that is none")
    age_seconds: float = Field(ge=0, description="since it became the champion, or else since it was loaded")
    swaps: int = Field(description="models that took the place of another since the start")


class FeatureDrift(_Told):
    """Of one network input."""

    feature: str
    psi: float = Field(description="population stability index beside training: 0.1 is little, 0.25 much")
    outside_share: float = Field(description="of the windows with a value of it that training had none like")


class Drifted(_Told):
    """How the newest windows differ from those of training."""

    windows: float = Field(description="so many are told of; older ones fade away")
    outside_share: float | None = Field(description="of them with any value outside the training range")
    psi_max: float | None = Field(description="of any feature; null below 100 windows")
    label: Literal["stable", "moderate", "shifted"] | None
    features: list[FeatureDrift] = Field(description="the 20 that differ most; none below 100 windows")


class Came(_Told):
    """How well forecasts did whose outcome is known."""

    outcomes: int = Field(description="so many newest ones are told of")
    rmse_ratio: float | None = Field(description='RMSE beside that of "tomorrow = today"; below 1 is better')
    skill: float | None = Field(description="100 (1 - rmse_ratio), percent")
    coverage: float | None = Field(description="share inside lower to upper; null without intervals")
    since: AwareDatetime | None = Field(description="when the oldest of the forecasts was made")


class Outcomes(_Told):
    """What came of what was forecast."""

    model: Came = Field(description="of the model that is served")
    all: Came = Field(description="of all models that were")
    level: float | None = Field(description="what the coverage of the model's intervals should be")
    awaited: int = Field(description="steps forecast whose outcome is not known yet")


class Monitor(_Told):
    """Latency is that of POST /infer and of the protocol's infer, answered with 200, since the start."""

    status: Literal["healthy", "no model"]
    total_inferences: int
    avg_latency_ms: Milliseconds
    min_latency_ms: Milliseconds
    max_latency_ms: Milliseconds
    last_inference_timestamp: AwareDatetime | None
    p50_latency_ms: Milliseconds
    p95_latency_ms: Milliseconds
    p99_latency_ms: Milliseconds
    last_minute: LastMinute
    requests: int = Field(description="to any route, however they ended")
    errors: dict[str, int] = Field(description="requests that were refused or failed, by status")
    routes: list[Route]
    in_flight: int = Field(description="requests being answered, this one among them")
    queue: int = Field(description="windows that wait or are being computed")
    processes: list[Process]
    model: Model | None
    drift: Drifted | None = Field(description="null without a model, or where its run kept no reference.json")
    outcomes: Outcomes | None = Field(description="null without a model, or where they are not kept")


def router(context: Any) -> APIRouter:
    """The route.

    Args:
        context: of the server.
    """
    routes = APIRouter()

    @routes.get("/monitor", summary="Counts, latency, drift and skill", responses=problems())
    async def monitor() -> Monitor:
        return await anyio.to_thread.run_sync(monitored, context)

    return routes


def monitored(context: Any) -> Monitor:
    """Everything that is told; reads a database."""
    watch, served = context.watch, context.models.current
    figures = watch.figures()
    inferences = figures.inferences
    drift = None if served is None else watch.drift(served)
    told = None if served is None else watch.told(served.version)
    return Monitor(
        status="no model" if served is None else "healthy",
        total_inferences=inferences.number,
        avg_latency_ms=_ms(inferences.mean),
        min_latency_ms=_ms(inferences.least),
        max_latency_ms=_ms(inferences.most),
        last_inference_timestamp=figures.last_inference,
        p50_latency_ms=_ms(inferences.percentile(0.50)),
        p95_latency_ms=_ms(inferences.percentile(0.95)),
        p99_latency_ms=_ms(inferences.percentile(0.99)),
        last_minute=_last_minute(figures.last_minute),
        requests=sum(own.number for own in figures.answers.values()),
        errors={str(status): number for status, number in figures.errors.items()},
        routes=_routes(figures),
        in_flight=figures.in_flight,
        queue=figures.waiting,
        processes=[
            Process(
                pid=process.pid,
                model_version=process.version or None,
                in_flight=process.in_flight,
                queue=process.waiting,
                forecasts=process.forecasts,
            )
            for process in figures.processes
        ],
        model=None if served is None else _model(served, figures.swaps),
        drift=None if drift is None else _drifted(drift),
        outcomes=None if served is None or told is None else _outcomes(told, served),
    )


def _last_minute(answers: Answers) -> LastMinute:
    return LastMinute(
        inferences=answers.number,
        p50_latency_ms=_ms(answers.percentile(0.50)),
        p95_latency_ms=_ms(answers.percentile(0.95)),
        p99_latency_ms=_ms(answers.percentile(0.99)),
    )


def _routes(figures: Figures) -> list[Route]:
    return [
        Route(
            route=route,
            method=method,
            status=status,
            requests=own.number,
            avg_latency_ms=_ms(own.mean),
            p99_latency_ms=_ms(own.percentile(0.99)),
        )
        for (method, status, route), own in sorted(figures.answers.items(), key=lambda item: item[0][::-1])
    ]


def _model(served: LoadedModel, swaps: int) -> Model:
    predictor = served.predictor
    exported = (served.metadata or {}).get("exported_at")
    since = served.loaded_at if exported is None else datetime.fromisoformat(exported)
    return Model(
        version=served.version,
        directory=str(served.directory),
        tickers=predictor.tickers[:20],
        scope=predictor.scope,
        lookback=predictor.lookback,
        horizon=predictor.horizon,
        loaded_at=served.loaded_at,
        exported_at=exported,
        age_seconds=max(0.0, round((datetime.now(UTC) - since).total_seconds(), 3)),
        swaps=swaps,
    )


def _drifted(drift: Drift) -> Drifted:
    return Drifted(
        windows=round(drift.windows, 1),
        outside_share=drift.outside_share,
        psi_max=drift.psi_max,
        label=drift.label,
        features=[
            FeatureDrift(feature=told.feature, psi=told.psi, outside_share=told.outside_share)
            for told in (drift.features or [])[:_MOST_FEATURES]
        ],
    )


def _outcomes(told: Told, served: LoadedModel) -> Outcomes:
    levels = served.predictor.levels
    return Outcomes(
        model=_came(told.model),
        all=_came(told.all),
        level=levels[0] if levels else None,
        awaited=told.awaited,
    )


def _came(skill: Skill) -> Came:
    return Came(
        outcomes=skill.outcomes,
        rmse_ratio=skill.rmse_ratio,
        skill=skill.percent,
        coverage=skill.coverage,
        since=skill.since,
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 3)
