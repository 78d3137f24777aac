"""POST /train, POST /train/update, GET and DELETE /train/{job}: training behind the server."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import anyio
from fastapi import APIRouter, HTTPException, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from forecast.data.period import DateRange
from forecast.errors import UserError
from forecast.serve.context import Context
from forecast.serve.current import served_now
from forecast.serve.problems import problems
from forecast.serve.training import BusyError, ClosingError, JobState, Order, Started

_LOOK_S = 0.05  # between two looks whether a job is over
_SHOWN = 40  # letters of a refused period that are told again

Figures = dict[str, int | float | None]


class Update(BaseModel):
    """What to retrain on."""

    model_config = ConfigDict(
        strict=True, extra="forbid", json_schema_extra={"examples": [{"period": "10y"}]}
    )

    period: str | None = Field(
        default=None,
        description="Of the bars, back from the latest: max, ytd, or a number with d, wk, mo, y; by default what "
        "the champion's config says. One too short to train on is told, and the config's own used",
    )
    force_download: bool = Field(
        default=False, description="Fetch the whole history again, where the source keeps a cache"
    )


class Comparison(BaseModel):
    """The new model and the champion on the same newest validation rows."""

    model_config = ConfigDict(extra="forbid")

    metric: str
    mode: Literal["min", "max"]
    newcomer: float | None
    champion: float | None
    naive_rmse: float | None = Field(description='Of "tomorrow = today" on the same rows')
    rows: int
    first_day: str
    last_day: str
    text: str


class Accepted(BaseModel):
    """A job that has begun."""

    model_config = ConfigDict(extra="forbid")

    job: str
    status_url: str


class Trained(BaseModel):
    """What came of a training."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    status: Literal["success"] = "success"
    message: str
    metrics: Figures = Field(
        description="final_train_loss, final_val_loss, and those of the run's metrics.json"
    )
    model_path: str = Field(
        description="Folder of the model: of the champion where it was promoted, else of the run"
    )
    training_duration_seconds: float = Field(ge=0)
    job: str
    promoted: bool = Field(description="Whether the model that is served is another one now")


class Updated(Trained):
    """What came of a training on newer bars."""

    timestamp: AwareDatetime
    comparison: Comparison | None = Field(description="None where none was made")


class Job(BaseModel):
    """How far a job got."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    job: str
    kind: Literal["train", "update"]
    state: Literal["running", "promoted", "kept", "failed", "cancelled"] = Field(
        description="kept: the served model stays, on purpose"
    )
    phase: Literal["starting", "fetching", "training", "comparing", "promoting", "ended"]
    began: AwareDatetime
    ended: AwareDatetime | None
    seconds: float = Field(ge=0)
    progress: Figures = Field(description="epoch (from 1), max_epochs, and the figures of that epoch")
    metrics: Figures
    message: str
    error: str | None
    comparison: Comparison | None
    model_path: str | None


def router(context: Context) -> APIRouter:
    """The routes of training.

    Args:
        context: of the server.
    """
    routes = APIRouter(prefix="/train", tags=["training"])
    accepted: dict[int | str, dict[str, Any]] = {202: {"model": Accepted, "description": "It has begun"}}

    @routes.post("", response_model=Trained, responses=accepted | problems(400, 404, 409, 500, 502))
    async def train(wait: bool = True) -> Trained | Response:
        """Train with the served model's config, and promote what comes of it."""
        started = await _start(context, "train")
        if not wait:
            return _accepted(started)
        return Trained(**_told(await _ended(context, started)))

    @routes.post("/update", response_model=Updated, responses=accepted | problems(400, 404, 409, 500, 502))
    async def update(body: Update | None = None, wait: bool = True) -> Updated | Response:
        """Retrain on newer bars, without search; promoted only if it does not do worse than what is served."""
        asked = body or Update()
        _check_period(asked.period)
        started = await _start(context, "update", period=asked.period, force_download=asked.force_download)
        if not wait:
            return _accepted(started)
        state = await _ended(context, started)
        return Updated(**_told(state), timestamp=datetime.now(UTC), comparison=_compared(state))

    @routes.get("/{job}", responses=problems(404))
    async def look(job: str) -> Job:
        """State, progress and figures of a job."""
        state = await anyio.to_thread.run_sync(context.training.look, job)
        if state is not None and state.server == context.training.server:
            # The process that started it, and should have, may be gone.
            await anyio.to_thread.run_sync(_take_over, context, state)
        return _job(state, job)

    @routes.delete("/{job}", responses=problems(404, 409))
    async def cancel(job: str) -> Job:
        """End a job; the model that is served stays."""
        before = await anyio.to_thread.run_sync(context.training.look, job)
        if before is not None and not before.running:
            raise HTTPException(409, f"{job} has come to its end: {before.state}")
        return _job(await anyio.to_thread.run_sync(context.training.cancel, job), job)

    return routes


async def _start(context: Context, kind: Literal["train", "update"], **asked: Any) -> Started:
    served = served_now(context)
    if not (served.directory / "config.yaml").is_file():
        raise HTTPException(404, f"{served.directory} is gone, and the champion's config with it")
    order = Order(kind=kind, bundle=served.directory, following=context.models.following, **asked)

    def start() -> Started:
        return context.training.start(order, on_end=lambda state: _take_over(context, state))

    try:
        return await anyio.to_thread.run_sync(start)
    except BusyError as busy:
        other = f": GET /train/{busy} tells how far it is" if str(busy) else ""
        raise HTTPException(409, f"already training{other}") from busy
    except ClosingError as closing:
        raise HTTPException(503, "the server is being stopped, and starts no training") from closing
    except UserError as error:
        raise HTTPException(500, " ".join(str(error).split())) from error


def _take_over(context: Context, state: JobState) -> None:
    """Serve what was promoted, also where it was not the champion that was served."""
    if state.state != "promoted":
        return
    champion = Path(os.path.abspath(context.server.champion))
    if context.models.following != champion:
        context.models.follow(champion)
    context.models.refresh()


def _accepted(started: Started) -> Response:
    url = f"/train/{started.job}"
    told = Accepted(job=started.job, status_url=url)
    # As it is: the route's own model is that of a training that is over.
    return Response(told.model_dump_json(), 202, {"Location": url}, "application/json")


async def _ended(context: Context, started: Started) -> JobState:
    """What became of a job.

    Raises:
        HTTPException: it failed, or was cancelled.
    """
    while not started.ended.is_set():
        await anyio.sleep(_LOOK_S)
    state = await anyio.to_thread.run_sync(context.training.look, started.job)
    if state is None:
        raise HTTPException(500, f"training {started.job} left no word: its folder is gone")
    if state.error is not None:
        raise HTTPException(state.status or 500, f"training {started.job}: {state.error}")
    return state


def _told(state: JobState) -> dict[str, Any]:
    metrics = state.metrics
    losses = {f"final_{name}": metrics.get(name) for name in ("train_loss", "val_loss")}
    return {
        "message": state.message,
        "metrics": losses | metrics,
        "model_path": state.model_path or "",
        "training_duration_seconds": state.seconds,
        "job": state.job,
        "promoted": state.state == "promoted",
    }


def _job(state: JobState | None, job: str) -> Job:
    if state is None:
        raise HTTPException(404, f"no training of that name: {_short(job)}")
    told = {name: value for name, value in vars(state).items() if name in Job.model_fields}
    return Job(**told | {"comparison": _compared(state)})


def _compared(state: JobState) -> Comparison | None:
    return None if state.comparison is None else Comparison(**state.comparison)


def _check_period(period: str | None) -> None:
    if period is None:
        return
    try:
        DateRange(period=period, start=None, end=None)
    except UserError as error:
        rule = str(error).rpartition(": ")[2]
        raise HTTPException(400, f"period={_short(period)}: {rule}") from error


def _short(text: str) -> str:
    """What a caller said, fit to be told again in a line."""
    return " ".join(f"{text[:_SHOWN]}{'...' if len(text) > _SHOWN else ''}".split())
