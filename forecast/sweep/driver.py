"""Watches over a sweep in the process that was started, and accounts for every job of it at the end."""

from __future__ import annotations

import signal
import sys
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from forecast.errors import UserError
from forecast.sweep.issue import Issue
from forecast.sweep.job import Conductor
from forecast.sweep.job_state import JobState, job_files, jobs_of
from forecast.sweep.live import Jobs, Live
from forecast.track import process

if TYPE_CHECKING:
    from forecast.config.multirun import SweepContext

FINISHED, FAILED, USERS_MISTAKE, INTERRUPTED = 0, 1, 2, 130
GONE_S = 10.0  # seconds that workers have to go once a sweep is given up


class SweepSession:
    """One issue of a sweep."""

    def begin(self, context: SweepContext) -> Conductor:
        """Make ready for the first job."""
        self.context = context
        self.directory = context.directory
        self.issue = Issue(
            sweep=uuid.uuid4().hex[:12], overrides=context.overrides, total=context.total, began=time.time()
        )
        self.directory.mkdir(parents=True, exist_ok=True)
        # What an earlier issue in the same directory left is not this one's; its results are found by identity.
        (self.directory / "mlflow.json").unlink(missing_ok=True)
        self.issue.save(self.directory)
        self.driver = process.identity()
        self.live = Live(
            Jobs(self.directory, sweep=self.issue.sweep), total=context.total, common=context.overrides
        )
        self.live.start()
        self._on_sigterm: Any = None
        if threading.current_thread() is threading.main_thread():
            # Ray would end the process at once: asked to stop is asked to stop.
            self._on_sigterm = signal.signal(signal.SIGTERM, signal.default_int_handler)
        return Conductor(
            sweep=self.issue.sweep,
            directory=self.directory,
            root=context.root,
            folder=context.folder,
            driver=self.driver,
        )

    def end(self, error: BaseException | None) -> int:
        """Account for every job; returns the exit code.

        Args:
            error: what the launcher or the sweeper gave up with, if it did.
        """
        from forecast.sweep import ending

        if isinstance(error, UserError) and self._accounted_for():
            error = None  # it only says that jobs failed, which is told job by job
        if self._on_sigterm is not None:
            signal.signal(signal.SIGTERM, self._on_sigterm)
        if error is not None:
            self._let_workers_go()
        self.live.stop()
        jobs = self._jobs(given_up=error is not None)
        if jobs and error is None and all(job.mistake for job in jobs):
            ending.leave_nothing(self.directory, self.issue)
            ending.tell_failures(jobs)
            ending.tell_left_out(jobs, file=sys.stderr)
            return USERS_MISTAKE
        code = _code(jobs, error)
        ending.conclude(self.directory, jobs, self.context.config, driver=self.driver, ended=_status(code))
        ending.tell_failures(jobs)
        if error is not None:
            ending.tell_end(error)
        print(self.directory)
        return code

    def _accounted_for(self) -> bool:
        """Whether some jobs failed, and all that began came to an end."""
        found = {job.status for job in jobs_of(self.directory, sweep=self.issue.sweep)}
        return "failed" in found and "running" not in found

    def _jobs(self, *, given_up: bool) -> list[JobState]:
        """All jobs; those that did not live to say what became of them are written down as what they are."""
        for path in job_files(self.directory):
            job = JobState.load(path)
            if job is not None and job.sweep == self.issue.sweep and job.status == "running":
                job.status = "interrupted" if given_up else "failed"
                job.error = (
                    "the sweep was given up" if given_up else "its process died (killed, or out of memory)"
                )
                job.save(path.parent)
        return jobs_of(self.directory, sweep=self.issue.sweep)

    def _let_workers_go(self) -> None:
        """End the workers of a sweep that was given up, before it is said what became of their jobs."""
        ray: Any = sys.modules.get("ray")
        if ray is not None and ray.is_initialized():
            ray.shutdown()
        deadline = time.monotonic() + GONE_S
        while time.monotonic() < deadline and any(
            job.status == "running" and job.process != self.driver and not process.is_dead(job.process)
            for job in jobs_of(self.directory, sweep=self.issue.sweep)
        ):
            time.sleep(0.1)


def _code(jobs: list[JobState], error: BaseException | None) -> int:
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if error is not None:
        return USERS_MISTAKE if isinstance(error, UserError) else FAILED
    codes = [USERS_MISTAKE if job.mistake else FAILED for job in jobs if job.status == "failed"]
    return min(codes, default=FINISHED)  # one fault that is ours outweighs every mistake


def _status(code: int) -> Any:
    """As MLflow calls it."""
    return "KILLED" if code == INTERRUPTED else "FINISHED" if code == FINISHED else "FAILED"
