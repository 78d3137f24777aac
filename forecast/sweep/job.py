"""One job of a sweep, wherever it runs: it records itself, and no exception of its own gets out."""

from __future__ import annotations

import json
import logging
import math
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast import bundle
from forecast.errors import IncompatibleError, StoppedError, UserError
from forecast.sweep.clean import clean
from forecast.sweep.earlier import EarlierRuns
from forecast.sweep.job_state import FILE, JobState
from forecast.track import process

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from forecast.config.multirun import JobContext, Task
    from forecast.evaluate.baselines import Fits

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 3  # of a job whose process died: a fourth would most likely die of the same
SAVE_S = 1.0  # seconds between two notes of how far it got


class _InterruptedError(StoppedError):
    """The sweep is being given up."""


class Part:
    """What a run has to do with the sweep it belongs to; nothing outside of one."""

    draw = True  # whether plots are drawn as files

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Told each epoch's metrics."""

    def earlier(self, identity: str) -> Path | None:  # noqa: ARG002
        """The directory of a finished run of that identity, whose result is taken instead."""
        return None

    def tags(self, tracker: Any) -> dict[str, str]:  # noqa: ARG002
        """What else the tracker is to note of the run."""
        return {}

    @property
    def fits(self) -> Any:
        """The baselines of the runs of this process; None where there is one run."""
        return None


_current = Part()


def current_job() -> Part:
    """What the run that this process is busy with has to do with a sweep."""
    return _current


@contextmanager
def _busy(with_: Part) -> Iterator[None]:
    global _current
    before, _current = _current, with_
    try:
        yield
    finally:
        _current = before


@dataclass(frozen=True, kw_only=True)
class Conductor:
    """Conducts the jobs of one issue of a sweep; goes to each worker with the job.

    Args:
        sweep: names the issue.
        directory: of the sweep.
        root: where earlier runs are looked for.
        folder: the one the command was started in.
        driver: the process that was started.
    """

    sweep: str
    directory: Path
    root: Path
    folder: Path
    driver: Mapping[str, str]

    def __call__(self, facts: JobContext, config: DictConfig, task: Task) -> float | None:
        """Run one job and say in its job.json what became of it; returns its objective."""
        here = process.identity()
        shown = here == dict(self.driver)  # what this process prints, someone reads
        state = JobState(
            sweep=self.sweep,
            number=facts.number,
            overrides=facts.overrides,
            directory=str(facts.directory),
            metric=str(config.objective.metric),
            mode=str(config.objective.mode),
            began=time.time(),
            attempts=self._attempt(facts.directory),
            process=here,
        )
        if shown:
            print(state.title, flush=True)
        state.save(facts.directory)
        began = time.monotonic()
        failure: Exception | None = None
        with ExitStack() as stack:
            job = _Job(state=state, conductor=self, own=facts.directory, stack=stack)
            try:
                if state.attempts > MOST_ATTEMPTS:
                    raise RuntimeError(f"its process died {MOST_ATTEMPTS} times; was there memory enough?")
                stack.enter_context(clean(self.folder))
                with _busy(job):
                    value = task(config)
                job.finished(value)
            except _InterruptedError:
                state.status, state.error = "interrupted", "interrupted"
                job.keep_history()
                raise KeyboardInterrupt from None
            except StoppedError:
                state.status = "pruned"
                job.keep_history()
            except Exception as error:  # noqa: BLE001 - recorded; out of here it would end the others
                job.failed(error, shown=shown)
                failure = error
            except KeyboardInterrupt:
                state.status, state.error = "interrupted", "interrupted"
                job.keep_history()
                raise
            finally:
                state.seconds = round(time.monotonic() - began, 3)
                if (
                    state.status != "running"
                ):  # else the process is being ended: whoever looks will see it dead
                    state.save(facts.directory)
        if failure is not None:
            _tell_tuner(state, failure)
        return state.objective if state.status in ("finished", "reused") else None

    def _attempt(self, directory: Path) -> int:
        """One more than before, where a process died over this very job."""
        before = JobState.load(directory / FILE)
        died = before is not None and before.sweep == self.sweep and before.status == "running"
        return before.attempts + 1 if died and before is not None else 1


class _Job(Part):
    """The job that this process is busy with."""

    draw = (
        False  # it takes longer than all else beyond training; the champion's are drawn when it is exported
    )

    def __init__(self, *, state: JobState, conductor: Conductor, own: Path, stack: ExitStack) -> None:
        self.state = state
        self.conductor = conductor
        self.own = own
        self.stack = stack
        self.history: list[dict[str, float | None]] = []
        self._saved = -SAVE_S

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Note how far it got, and ask whoever conducts the sweep whether to go on.

        Raises:
            StoppedError: not to.
        """
        state = self.state
        self.history.append({"epoch": epoch, **{name: _finite(value) for name, value in metrics.items()}})
        state.epochs = len(self.history)
        value = _finite(metrics.get(state.metric))
        if value is not None:
            better = min if state.mode == "min" else max
            state.objective = value if state.objective is None else better(state.objective, value)
        if time.monotonic() - self._saved > SAVE_S:
            state.run_id = _run_id(self.own)
            state.save(self.own)
            self._saved = time.monotonic()
        _report(metrics)

    def earlier(self, identity: str) -> Path | None:
        """A finished run of the same identity, else the right to run it, until the job ends."""
        runs = EarlierRuns(self.conductor.root)
        self.state.identity = identity
        self.stack.enter_context(runs.claimed(identity))
        found = runs.find(identity, own=self.own)
        if found is None:
            runs.note(identity, self.own)
            self.state.save(self.own)
        else:
            self.state.status, self.state.directory = "reused", str(found)
        return found

    def tags(self, tracker: Any) -> dict[str, str]:
        """The run is a child of the sweep's own."""
        from forecast.sweep.parent import parent_of

        return parent_of(self.conductor.directory, tracker, driver=self.conductor.driver)

    @property
    def fits(self) -> Any:
        """Of all jobs this process is busy with, one after the other."""
        return _fits()

    def finished(self, value: float | None) -> None:
        """It came to its end, or took the result of an earlier run."""
        state, directory = self.state, Path(self.state.directory)
        if state.status != "reused":
            state.status = "finished"
        state.objective = _finite(value)
        if bundle.is_finished(directory):
            metrics = json.loads((directory / "metrics.json").read_text("utf-8"))
            state.epochs = int(metrics.get("epochs") or 0)
            state.run_id = _run_id(directory)

    def failed(self, error: Exception, *, shown: bool) -> None:
        """It did not; the log in its directory says why in full."""
        state = self.state
        mistake = isinstance(error, UserError)
        state.status = "left out" if isinstance(error, IncompatibleError) else "failed"
        state.mistake = mistake
        state.error = " ".join(str(error).split()) if mistake else _one_line(error)
        state.run_id = _run_id(self.own)
        self.keep_history()
        text = str(error) if mistake else "".join(traceback.format_exception(error)).rstrip()
        if not bundle.is_finished(self.own):  # else the log is that of an earlier run
            with (self.own / "run.log").open("a", encoding="utf-8") as file:
                file.write(f"{text}\n")
        if shown and state.status == "failed":
            told = f"{state.title}: {text}" if mistake else f"{state.title}: failed\n{text}"
            print(told, file=sys.stderr, flush=True)

    def keep_history(self) -> None:
        """The learning curve of a run that did not come to its end."""
        path = self.own / "history.json"
        if self.history and not path.exists():
            bundle.write_json(path, self.history)


@cache
def _fits() -> Fits:
    from forecast.evaluate.baselines import Fits

    return Fits()


def _tuner() -> Any:
    """The plugin, where this process conducts a trial of it."""
    plugin: Any = sys.modules.get("hydra_plugins.ray_tune_sweeper")
    return plugin if plugin is not None and plugin.in_trial() else None


def _tell_tuner(state: JobState, failure: Exception) -> None:
    """A search must not take a trial that came to nothing for one without a figure; it asks that it be raised."""
    plugin = _tuner()
    if plugin is not None:
        raise plugin.TrialSkipped(state.error) if state.status == "left out" else failure


def _report(metrics: Mapping[str, float]) -> None:
    plugin = _tuner()
    if plugin is None:
        return
    try:
        plugin.report(dict(metrics))
    except plugin.TrialStopped as stopped:
        raise StoppedError(str(stopped)) from stopped
    except KeyboardInterrupt as interrupt:
        # A trial's thread is not the main one: Lightning answers KeyboardInterrupt with a signal handler, and fails.
        raise _InterruptedError(str(interrupt)) from interrupt


def _run_id(directory: Path) -> str | None:
    """MLflow's id of the run in a directory."""
    try:
        read: Any = json.loads((directory / "mlflow.json").read_text("utf-8"))
        return read["run_id"] if read["run_id"] is None else str(read["run_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]
