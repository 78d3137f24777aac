"""Routes that train, show and cancel a training job, and roll the champion back.

POST /train              train with the served model's config
POST /train/update       retrain it on newer bars
GET, DELETE /train/{job} how far a job got; end it
GET /train/{job}/log     what it printed
POST /champion/rollback  back to the champion before
"""

import os
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, HTTPException, Query, Response

from forecast.data.bars import DateRange
from forecast.errors import UserError
from forecast.files import shown_path
from forecast.serve.model_store import ModelStore
from forecast.serve.monitoring import Monitoring
from forecast.serve.schemas import (
    Accepted,
    JobLog,
    RolledBack,
    Trained,
    Update,
    Updated,
    problems,
    without_folders,
)
from forecast.serve.training_jobs import (
    BusyError,
    ClosingError,
    Job,
    JobState,
    Kind,
    NothingBeforeError,
    StartedJob,
    TrainingJobs,
)

_POLL_S = 0.05
_SHOWN = 40  # letters of a refused period that are repeated


class _Trainings:
    """Starts jobs, waits for their end, and has what was promoted served."""

    def __init__(self, *, jobs: TrainingJobs, store: ModelStore, monitoring: Monitoring) -> None:
        self.jobs, self.store, self.monitoring = jobs, store, monitoring

    async def start(self, kind: Kind, **asked: Any) -> StartedJob:
        """Start a job with the config of the model that is served."""
        served = self.store.current
        if served is None:
            raise HTTPException(404, "no model is served, and so there is no config to train with")
        if not (served.directory / "config.yaml").is_file():
            raise HTTPException(404, f"{served.version}: its folder is gone, and its config with it")
        begin = partial(self.jobs.start, kind, served.directory, **asked, on_end=self._attend)
        try:
            return await anyio.to_thread.run_sync(begin)
        except BusyError as busy:
            other = f": GET /train/{busy} tells how far it is" if str(busy) else ""
            raise HTTPException(409, f"already training{other}") from busy
        except ClosingError as closing:
            raise HTTPException(503, "the server is being stopped, and starts no training") from closing
        except UserError as error:
            raise HTTPException(500, str(error)) from error

    async def ended(self, started: StartedJob) -> dict[str, Any]:
        """What became of a job; raises HTTPException where it failed, or was cancelled."""
        while not started.ended.is_set():
            await anyio.sleep(_POLL_S)
        state = await anyio.to_thread.run_sync(self.jobs.look, started.job)
        if state is None:
            raise HTTPException(500, f"training {started.job} left no word: its folder is gone")
        if state.error is not None:
            raise HTTPException(state.status or 500, f"training {started.job}: {state.error}")
        losses = {f"final_{name}": state.metrics.get(name) for name in ("train_loss", "val_loss")}
        shown = _shown(state)
        return {name: shown[name] for name in ("job", "message", "comparison")} | {
            "metrics": losses | state.metrics,
            "model_path": shown["model_path"] or "",
            "training_duration_seconds": state.seconds,
            "promoted": state.state == "promoted",
        }

    async def look(self, job: str) -> JobState | None:
        """How far a job got."""
        state = await anyio.to_thread.run_sync(self.jobs.look, job)
        if state is not None and state.server == self.jobs.server:
            # The process that started it, and should have, may be gone.
            await anyio.to_thread.run_sync(self._serve_promoted, state)
        return state

    async def roll_back(self) -> RolledBack:
        """Return to the champion before, and serve it."""
        champion, store = self.jobs.champion, self.store
        if store.source_path != champion:
            served = f"{shown_path(store.source_path)} is served, not the champion {shown_path(champion)}"
            raise HTTPException(409, f"nothing to return to: {served}")
        try:
            message = without_folders(await anyio.to_thread.run_sync(self.jobs.roll_back))
        except NothingBeforeError as error:
            raise HTTPException(409, f"nothing to return to: {error}") from error
        except UserError as error:
            raise HTTPException(500, f"not rolled back: {error}") from error
        await anyio.to_thread.run_sync(store.refresh)
        current = store.current
        if current is None or current.directory != champion.resolve():
            raise HTTPException(500, f"rolled back ({message}), but that champion cannot be served here")
        return RolledBack(
            message=message, model_version=current.version, model_path=shown_path(current.directory)
        )

    def _attend(self, state: JobState) -> None:
        self.monitoring.training_ended(state.kind, state.state)
        self._serve_promoted(state)

    def _serve_promoted(self, state: JobState) -> None:
        """Serve what was promoted, also where it was not the champion that was served."""
        if state.state != "promoted":
            return
        if self.store.source_path != self.jobs.champion:
            self.store.follow(self.jobs.champion)
        self.store.refresh()


def router(*, jobs: TrainingJobs, store: ModelStore, monitoring: Monitoring) -> APIRouter:
    """The routes: the config of what is served is trained with, and a champion that was promoted takes its place."""
    routes = APIRouter(tags=["training"])
    trainings = _Trainings(jobs=jobs, store=store, monitoring=monitoring)
    accepted: dict[int | str, dict[str, Any]] = {202: {"model": Accepted, "description": "It has begun"}}
    outcomes = accepted | problems(400, 404, 409, 500, 502)

    @routes.post("/train", response_model=Trained, responses=outcomes)
    async def train(wait: bool = True) -> Trained | Response:
        """Train with the served model's config; promoted only if it does no worse than the champion."""
        started = await trainings.start("train")
        return Trained(**await trainings.ended(started)) if wait else _accepted(started)

    @routes.post("/train/update", response_model=Updated, responses=outcomes)
    async def update(body: Update | None = None, wait: bool = True) -> Updated | Response:
        """Retrain on newer bars, without search; promoted only if it does no worse than the champion."""
        asked = body or Update()
        if asked.period is not None:
            try:
                DateRange(period=asked.period, start=None, end=None)
            except UserError as error:
                rule = str(error).rpartition(": ")[2]
                raise HTTPException(400, f"period={_short(asked.period)}: {rule}") from error
        wanted = {"period": asked.period, "force_download": asked.force_download}
        started = await trainings.start("update", **wanted)
        if not wait:
            return _accepted(started)
        return Updated(**await trainings.ended(started), timestamp=datetime.now(UTC))

    @routes.get("/train/{job}", responses=problems(404))
    async def look(job: str) -> Job:
        """State, progress and figures of a job."""
        return _job(await trainings.look(job), job)

    @routes.get("/train/{job}/log", responses=problems(404, 422))
    async def printed(
        job: str, lines: Annotated[int, Query(ge=1, le=1000, description="at most so many, the newest")] = 200
    ) -> JobLog:
        """What a job printed."""
        found = await anyio.to_thread.run_sync(jobs.printed, job, lines)
        if found is None:
            raise HTTPException(404, f"no training of that name: {_short(job)}")
        return JobLog(job=job, lines=[_local(line) for line in found])

    @routes.delete("/train/{job}", responses=problems(404, 409))
    async def cancel(job: str) -> Job:
        """End a job; the model that is served stays."""
        before = await anyio.to_thread.run_sync(jobs.look, job)
        if before is not None and not before.running:
            raise HTTPException(409, f"{job} has come to its end: {before.state}")
        return _job(await anyio.to_thread.run_sync(jobs.cancel, job), job)

    @routes.post("/champion/rollback", responses=problems(409, 500))
    async def rollback() -> RolledBack:
        """Back to the champion before; the present one is kept."""
        return await trainings.roll_back()

    return routes


def _accepted(started: StartedJob) -> Response:
    url = f"/train/{started.job}"
    body = Accepted(job=started.job, status_url=url).model_dump_json()
    # As it is: the route's own model is that of a training that is over.
    return Response(body, 202, {"Location": url}, "application/json")


def _shown(state: JobState) -> dict[str, Any]:
    """A job without the place of the server's files."""
    return state.model_dump(include=set(Job.model_fields)) | {
        "message": _local(state.message),
        "error": state.error and _local(state.error),
        "model_path": state.model_path and shown_path(state.model_path),
    }


def _local(text: str) -> str:
    """Paths as seen from the folder the server runs in, which a command it suggests needs; else names alone."""
    return without_folders(text.replace(f"{os.getcwd()}/", ""))


def _job(state: JobState | None, job: str) -> Job:
    if state is None:
        raise HTTPException(404, f"no training of that name: {_short(job)}")
    return Job(**_shown(state))


def _short(text: str) -> str:
    """A caller's text, shortened to what a line of a message can quote."""
    return " ".join(f"{text[:_SHOWN]}{'...' if len(text) > _SHOWN else ''}".split())
