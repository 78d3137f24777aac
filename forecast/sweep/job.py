"""One job of a sweep, in whatever process: it records itself in its job.json, and lets no exception out."""

from __future__ import annotations

import logging
import math
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast import bundle
from forecast.errors import IncompatibleError, StoppedError, UserError
from forecast.files import read_json, write_json
from forecast.lazy import collect_rarely
from forecast.sweep.record import JOB_FILE, JobResult, RunIndex
from forecast.track import process
from forecast.track.delivery import Record
from hydra_plugins import ray_tune_sweeper as tuner

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from forecast.config.multirun import JobContext, Task
    from forecast.model.baselines import BaselineCache
    from forecast.pipeline import RunHooks

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3  # of a job whose process died: a fourth would most likely die of the same
SAVE_S = 1.0  # seconds between two saves of a job's progress


_current: _Job | None = None  # what this process runs
_baselines: BaselineCache | None = None  # fitted in this process, for all its jobs


class _InterruptedError(StoppedError):
    """The sweep is being given up."""


def current_job() -> RunHooks:
    """The hooks of the job that this process runs; outside of a sweep they do nothing."""
    from forecast.model.baselines import BaselineCache
    from forecast.pipeline import RunHooks

    global _baselines
    if _current is None:
        return RunHooks()
    _baselines = _baselines or BaselineCache()
    return RunHooks(
        on_epoch=_current.on_epoch,
        earlier=_current.earlier,
        tags=_current.tags,
        draw_plots=False,  # takes longer than all else beyond training; the champion's are drawn on export
        baseline_cache=_baselines,
    )


@dataclass(frozen=True, kw_only=True)
class JobRunner:
    """Runs the jobs of one start of a sweep; sent to each worker with the job."""

    sweep: str  # id of the SweepRun
    directory: Path  # of the sweep
    root: Path  # of the index of earlier runs
    folder: Path  # the one the command was started in
    driver: Mapping[str, str]  # the process that was started

    def __call__(self, context: JobContext, config: DictConfig, task: Task) -> float | None:
        """Run one job and write its job.json; returns its objective."""
        collect_rarely()
        here = process.identity()
        result = JobResult(
            sweep=self.sweep,
            number=context.number,
            overrides=context.overrides,
            directory=str(context.directory),
            metric=str(config.objective.metric),
            mode=str(config.objective.mode),
            began=time.time(),
            attempts=self._attempt(context.directory),
            process=here,
        )
        visible = here == dict(self.driver)  # what this process prints is on the user's screen
        if visible:
            print(result.title, flush=True)
        result.save(context.directory)
        began = time.monotonic()
        failure: Exception | None = None
        with ExitStack() as stack:
            job = _Job(result, runner=self, own=context.directory, stack=stack)
            try:
                if result.attempts > MAX_ATTEMPTS:
                    raise RuntimeError(f"its process died {MAX_ATTEMPTS} times; was there memory enough?")
                if not tuner.in_trial():  # a trial is run in a clean state already
                    stack.enter_context(tuner.clean_state(folder=self.folder))
                with job.current():
                    value = task(config)
                job.finish(value)
            except _InterruptedError:
                job.end("interrupted")
                raise KeyboardInterrupt from None
            except KeyboardInterrupt:
                job.end("interrupted")
                raise
            except StoppedError:
                job.end("pruned")
            except Exception as error:  # noqa: BLE001 - recorded; raised, it would end the other jobs
                job.fail(error, visible=visible)
                failure = error
            finally:
                result.seconds = round(time.monotonic() - began, 3)
                if result.status != "running":  # else the process is being ended, which others will see
                    result.save(context.directory)
        if failure is not None and tuner.in_trial():
            # A search has to learn that a trial failed, and not take it for one without a figure.
            raise tuner.TrialSkipped(result.error) if result.status == "skipped" else failure
        return result.objective if result.status in ("finished", "reused") else None

    def _attempt(self, directory: Path) -> int:
        """One more than before, where a process died while it ran this very job."""
        before = JobResult.load(directory / JOB_FILE)
        died = before is not None and before.sweep == self.sweep and before.status == "running"
        return before.attempts + 1 if died and before is not None else 1


class _Job:
    """The job that this process runs: its hooks into the pipeline, and its record."""

    def __init__(self, result: JobResult, *, runner: JobRunner, own: Path, stack: ExitStack) -> None:
        self.result, self.runner, self.own, self.stack = result, runner, own, stack
        self.history: list[dict[str, float | None]] = []
        self._saved = -SAVE_S

    @contextmanager
    def current(self) -> Iterator[None]:
        """Be what this process runs."""
        global _current
        before, _current = _current, self
        try:
            yield
        finally:
            _current = before

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Record the progress, and ask the tuner whether to go on.

        Raises:
            StoppedError: not to.
        """
        result = self.result
        self.history.append({"epoch": epoch, **{name: _finite(value) for name, value in metrics.items()}})
        result.epochs = len(self.history)
        value = _finite(metrics.get(result.metric))
        if value is not None:
            better = min if result.mode == "min" else max
            result.objective = value if result.objective is None else better(result.objective, value)
        if time.monotonic() - self._saved > SAVE_S:
            result.run_id = _run_id(self.own)
            result.save(self.own)
            self._saved = time.monotonic()
        try:
            tuner.report(dict(metrics))
        except tuner.TrialStopped as stopped:
            raise StoppedError(str(stopped)) from stopped
        except KeyboardInterrupt as interrupt:
            # In a thread other than the main one Lightning's answer to KeyboardInterrupt, a signal handler, fails.
            raise _InterruptedError(str(interrupt)) from interrupt

    def earlier(self, identity: str) -> Path | None:
        """A finished run of the same identity, else the right to run it, until the job ends."""
        index = RunIndex(self.runner.root)
        self.result.identity = identity
        self.stack.enter_context(index.locked(identity))
        found = index.find(identity, own=self.own)
        if found is None:
            index.add(identity, self.own)
            self.result.save(self.own)
        else:
            self.result.status, self.result.directory = "reused", str(found)
        return found

    def tags(self, tracker: Any) -> Mapping[str, str]:
        """That the run is a child of the sweep's own."""
        from forecast.sweep.tracking import parent_tags

        return parent_tags(self.runner.directory, tracker, driver=self.runner.driver)

    def finish(self, value: float | None) -> None:
        """Record that it finished, or took the result of an earlier run."""
        result, directory = self.result, Path(self.result.directory)
        if result.status != "reused":
            result.status = "finished"
        result.objective = _finite(value)
        if bundle.is_finished(directory):
            result.epochs = int(read_json(directory / "metrics.json").get("epochs") or 0)
            result.run_id = _run_id(directory)

    def fail(self, error: Exception, *, visible: bool) -> None:
        """Record why it failed, in full in the log of its directory."""
        result = self.result
        mistake = isinstance(error, UserError)
        text = str(error) if mistake else "".join(traceback.format_exception(error)).rstrip()
        line = str(error) if mistake else f"{type(error).__name__}: {error}"[:500]
        result.user_error, result.error = mistake, " ".join("; ".join(line.splitlines()).split())
        result.run_id = _run_id(self.own)
        self.end("skipped" if isinstance(error, IncompatibleError) else "failed")
        if not bundle.is_finished(self.own):  # else the log is that of an earlier run
            # What a full disk does not take is on the screen.
            with suppress(OSError), (self.own / "run.log").open("a", encoding="utf-8") as file:
                file.write(f"{text}\n")
        if visible and result.status == "failed":
            message = f"{result.title}: {text}" if mistake else f"{result.title}: failed\n{text}"
            print(message, file=sys.stderr, flush=True)

    def end(self, status: Any) -> None:
        """Record the status of a job that did not finish, and keep its learning curve."""
        self.result.status = status
        if status == "interrupted":
            self.result.error = "interrupted"
        path = self.own / "history.json"
        if self.history and not path.exists():
            write_json(path, self.history)


def _run_id(directory: Path) -> str | None:
    """MLflow's id of the run in a directory."""
    record = Record.find(directory)
    return None if record is None else record.run_id


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
