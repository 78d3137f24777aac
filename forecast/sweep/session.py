"""A sweep in the process that was started: its beginning, its progress, and an account of every job at its end."""

from __future__ import annotations

import signal
import sys
import threading
import time
import traceback
import uuid
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from forecast.cli import FAILED, FINISHED, INTERRUPTED, USERS_MISTAKE
from forecast.errors import UserError
from forecast.files import locked
from forecast.sweep.job import JobRunner
from forecast.sweep.progress import ProgressReporter
from forecast.sweep.record import SWEEP_FILE, JobResult, Jobs, SweepRun
from forecast.track import process
from forecast.track.connection import error_summary
from hydra_plugins.ray_tune_sweeper import TrialsFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forecast.config.multirun import SweepContext
    from forecast.sweep.leaderboard import Leaderboard
    from forecast.track.delivery import Status

LOCK = ".sweep.lock"
GONE_S = 10.0  # seconds that workers have to go once a sweep is given up


class SweepSession:
    """One start of a sweep's command."""

    def begin(self, context: SweepContext) -> JobRunner:
        """Prepare for the first job.

        Returns:
            what runs each job, in whatever process.
        """
        self.context, self.directory = context, context.directory
        self.run = SweepRun(
            sweep=uuid.uuid4().hex[:12], overrides=context.overrides, total=context.total, began=time.time()
        )
        self.directory.mkdir(parents=True, exist_ok=True)
        self._hold(self.directory / LOCK)
        # What an earlier start left in the same directory is not this one's; its results are found by identity.
        (self.directory / "mlflow.json").unlink(missing_ok=True)
        self.run.save(self.directory)
        self.driver = process.identity()
        self.jobs = Jobs(self.directory, sweep=self.run.sweep)
        self.progress = ProgressReporter(self.jobs, total=context.total, common=context.overrides)
        self.progress.start()
        self._on_sigterm: Any = None
        if threading.current_thread() is threading.main_thread():
            # As Ctrl-C: Ray would end the process at once.
            self._on_sigterm = signal.signal(signal.SIGTERM, signal.default_int_handler)
        return JobRunner(
            sweep=self.run.sweep,
            directory=self.directory,
            root=context.root,
            folder=context.folder,
            driver=self.driver,
        )

    def _hold(self, lock: Path) -> None:
        """Keep other sweeps out of the directory until the end: each would take the other's jobs for its own."""
        self._holding = ExitStack()
        waiting = f"{self.directory}: another sweep is at work there; waiting for it to end"
        self._holding.enter_context(locked(lock, remove=True, on_wait=lambda: _print_error(waiting)))

    def end(self, error: BaseException | None) -> int:
        """Account for every job, rank them, record the sweep and choose the champion; returns the exit code."""
        with self._holding:
            return self._end(error)

    def _end(self, error: BaseException | None) -> int:
        if self._on_sigterm is not None:
            signal.signal(signal.SIGTERM, self._on_sigterm)
        trials = error.__cause__ if error is not None else None
        if isinstance(trials, TrialsFailed) and self._account_for(trials):
            error = None  # it only says that jobs failed, which is reported job by job
        if error is not None:
            self._end_workers()
        for path, job in list(self.jobs.files()):
            if job.status == "running":
                job.status = "failed" if error is None else "interrupted"
                job.error = (
                    "its process died (killed, or out of memory)"
                    if error is None
                    else "the sweep was given up"
                )
                job.save(path.parent)
        self.progress.stop()
        jobs = self.jobs.read()
        if jobs and error is None and all(job.user_error for job in jobs):
            self._remove_traces()
            _print_failures(jobs)
            _print_skipped(jobs, file=sys.stderr)
            return USERS_MISTAKE
        code = _exit_code(jobs, error)
        self._conclude(jobs, code)
        _print_failures(jobs)
        if error is not None:
            _print_end(error)
        print(self.directory)
        return code

    def _account_for(self, trials: TrialsFailed) -> bool:
        """Record as failed the jobs of trials whose worker died, or never started; whether that explains them all."""
        known = {job.number: (path.parent, job) for path, job in self.jobs.files()}
        for trial in trials.failed:
            if trial.number not in known:
                directory = self.directory / str(trial.number)
                job = JobResult(
                    sweep=self.run.sweep,
                    number=trial.number,
                    overrides=list(trial.overrides),
                    directory=str(directory),
                    metric=str(self.context.config.objective.metric),
                    mode=str(self.context.config.objective.mode),
                )
            else:
                directory, job = known[trial.number]
            if job.status == "running":
                job.status, job.error = "failed", trial.error
                job.save(directory)
        failed = {job.number for job in self.jobs.read() if job.status == "failed"}
        return bool(trials.failed) and failed >= {trial.number for trial in trials.failed}

    def _end_workers(self) -> None:
        """End the workers of a sweep that was given up, before its jobs are accounted for."""
        ray: Any = sys.modules.get("ray")  # where it was not imported, it has no workers either
        if ray is not None and ray.is_initialized():
            ray.shutdown()
        deadline = time.monotonic() + GONE_S
        while time.monotonic() < deadline and any(
            job.status == "running" and job.process != self.driver and not process.is_dead(job.process)
            for job in self.jobs.read()
        ):
            time.sleep(0.1)

    def _remove_traces(self) -> None:
        """Remove what a sweep wrote of which every job was refused, as a refused run leaves nothing either."""
        from forecast.sweep.tracking import LOCK
        from forecast.track.delivery import FILE

        for path, _ in list(self.jobs.files()):
            path.unlink(missing_ok=True)
            if not (path.parent / "config.yaml").exists():  # else the log is that of an earlier run
                (path.parent / "run.log").unlink(missing_ok=True)
            with suppress(OSError):  # something else is in it
                path.parent.rmdir()
        for name in (SWEEP_FILE, FILE, LOCK):
            (self.directory / name).unlink(missing_ok=True)

    def _conclude(self, jobs: Sequence[JobResult], code: int) -> None:
        """Leaderboard, MLflow, champion; what goes wrong here is reported and hides no result."""
        from forecast.sweep.leaderboard import Leaderboard

        leaderboard = Leaderboard(jobs)
        try:
            leaderboard.write(self.directory)
        except OSError as error:
            _print_error(f"{self.directory}: no leaderboard could be written ({error})")
        if jobs:
            print(leaderboard.text(), flush=True)
        _print_skipped(jobs, file=sys.stdout)
        self._record(leaderboard, code)
        finished = any(row.metrics for row in leaderboard.rows)
        if code != INTERRUPTED and self.context.config.get("champion") is not None and finished:
            self._promote(leaderboard)

    def _record(self, leaderboard: Leaderboard, code: int) -> None:
        """End the sweep's run in MLflow."""
        from forecast.config import build
        from forecast.sweep.tracking import end_parent

        tracker: Any = None
        with suppress(UserError):  # each job was refused for it
            tracker = self.context.config.get("tracker") and build(self.context.config.tracker)
        metrics: dict[str, float | None] = {f"jobs_{key}": count for key, count in leaderboard.counts.items()}
        if leaderboard.best is not None:
            metrics[f"best_{leaderboard.metric}"] = leaderboard.best.job.objective
        status: Status = "KILLED" if code == INTERRUPTED else "FINISHED" if code == FINISHED else "FAILED"
        reused = [Path(row.job.directory) for row in leaderboard.rows if row.job.status == "reused"]
        end_parent(
            self.directory,
            status=status,
            metrics=metrics,
            reused=reused if tracker is not None else (),
            description=f"```text\n{leaderboard.text()}\n```",
            tracker=tracker,
            driver=self.driver,
        )

    def _promote(self, leaderboard: Leaderboard) -> None:
        """Have the best run of the experiment that forecasts what this sweep does made the champion."""
        from forecast.champion import select_and_promote

        config = self.context.config
        directories = [row.job.directory for row in leaderboard.rows if row.metrics]
        try:
            result = select_and_promote(
                config,
                directories=None if config.get("tracker") else directories,
                sweep=directories,
                progress=_print_error,
            )
        except UserError as error:
            _print_error(f"no new champion: {error}")
        except Exception as error:  # noqa: BLE001 - whatever it is, the sweep's own result stands
            traceback.print_exception(error)
            _print_error(f"no new champion: {error_summary(error)}; python -m forecast.champion tries again")
        else:
            print(f"\n{result.text}")


def _exit_code(jobs: Sequence[JobResult], error: BaseException | None) -> int:
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if error is not None:
        return USERS_MISTAKE if isinstance(error, UserError) else FAILED
    codes = [USERS_MISTAKE if job.user_error else FAILED for job in jobs if job.status == "failed"]
    return min(codes, default=FINISHED)  # one fault of ours outweighs every mistake


def _print_skipped(jobs: Sequence[JobResult], *, file: TextIO) -> None:
    """The combinations that exclude themselves."""
    skipped = [job for job in jobs if job.status == "skipped"]
    if skipped:
        print(f"{len(skipped)} of {len(jobs)} jobs skipped:", file=file)
    for job in skipped:
        print(f"  {job.title}: {job.error}", file=file, flush=True)


def _print_failures(jobs: Sequence[JobResult]) -> None:
    """Every failed job with its overrides, and where its log is."""
    failed = [job for job in jobs if job.status == "failed"]
    if failed:
        _print_error(f"{len(failed)} of {len(jobs)} jobs failed:")
    for job in failed:
        log = Path(job.directory) / "run.log"
        _print_error(f"  {job.title}: {job.error}" + (f"; {log}" if log.is_file() else ""))


def _print_end(error: BaseException) -> None:
    """Why the sweep ended before all of its jobs were done."""
    if isinstance(error, UserError):
        _print_error(str(error))
    elif isinstance(error, KeyboardInterrupt):
        _print_error("interrupted; the same command goes on from here")
    else:
        traceback.print_exception(error)
        _print_error("the sweep was given up; the same command goes on from here")


def _print_error(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
