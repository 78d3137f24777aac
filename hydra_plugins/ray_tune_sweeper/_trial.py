"""A trial as Ray Tune sees it: steps are the reports of a task that runs in a thread of the worker."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple

from ray.tune import Trainable

from hydra_plugins.ray_tune_sweeper._job import Job, Jobs, TrialSkipped, TrialStopped, listen

# What a metric that is None or NaN counts as: searches and schedulers need finite numbers.
WORST = 1e30
FINISHED, STOPPED, SKIPPED, FAILED = "finished", "stopped", "skipped", "failed"


class Ended(NamedTuple):
    """How a task ended."""

    status: str
    value: float | str | None  # of the metric; where none is needed, what the task returned
    error: str | None  # one line
    details: str | None  # with its traceback


class Goal(NamedTuple):
    """What every trial of a sweep is run for."""

    metric: str  # reported or returned
    mode: str
    needed: bool  # a trial without it failed
    deadline: float | None  # time.time() after which a report stops the trial


# To a report: None is to go on, else what to raise in the task.
Answer = type[BaseException] | None


class RunningTask:
    """A task in a thread: one answer to each of its reports."""

    def __init__(self, *, jobs: Jobs, job: Job, goal: Goal) -> None:
        self._jobs, self._job, self._goal = jobs, job, goal
        self._reports: queue.SimpleQueue[float | Ended] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._over: type[BaseException] | None = None  # what every further report raises
        self._waiting = False  # for an answer
        self._last: float | None = None
        self._others: set[str] = set()  # metrics reported without the goal
        self._thread = threading.Thread(target=self._work, name=f"job {job.number}", daemon=True)
        self._thread.start()

    def next(self, answer: Answer) -> float | Ended:
        """Answer the last report, and wait for the next or for the end."""
        if self._waiting:
            self._waiting = False
            self._answers.put(answer)
        message = self._reports.get()
        self._waiting = not isinstance(message, Ended)
        if isinstance(message, Ended):
            self._thread.join()
        return message

    def interrupt(self) -> None:
        """End a task that nobody waits for any more, at its next report, as Ctrl-C would."""
        while self._thread.is_alive() and not isinstance(self.next(KeyboardInterrupt), Ended):
            pass

    def _work(self) -> None:
        listen(self._on_report)
        try:
            value = self._jobs.run(self._job)
            self._reports.put(self._finished(value))
        except TrialStopped:
            self._reports.put(Ended(STOPPED, self._last, None, None))
        except TrialSkipped as reason:
            self._reports.put(Ended(SKIPPED, None, str(reason), None))
        except BaseException as error:  # noqa: BLE001  recorded; the sweep goes on
            text = traceback.format_exception_only(error)[-1].strip().splitlines()
            details = traceback.format_exc()
            self._reports.put(Ended(FAILED, None, text[0] if text else type(error).__name__, details))
        finally:
            listen(None)

    def _finished(self, value: Any) -> Ended:
        value = self._last if value is None else value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return Ended(STOPPED if self._over else FINISHED, float(value), None, None)
        if not self._goal.needed:
            return Ended(FINISHED, value if isinstance(value, str) else None, None, None)
        if value is not None:
            error = f"returned a {type(value).__name__}; a sweep needs a number, or reports of {self._goal.metric}"
        elif self._others:
            error = f"reported {', '.join(sorted(self._others))}, never {self._goal.metric}"
        else:
            error = f"neither reported {self._goal.metric} nor returned a number"
        return Ended(FAILED, None, error, None)

    def _on_report(self, metrics: Mapping[str, float | None]) -> None:
        goal = self._goal
        if self._over is None:
            if goal.metric in metrics:
                self._last = _worst_if_undefined(metrics[goal.metric], goal.mode)
                self._reports.put(self._last)
                self._over = self._answers.get()
            else:
                self._others |= set(metrics)
            if self._over is None and goal.deadline is not None and time.time() > goal.deadline:
                self._over = TrialStopped
        if self._over is not None:
            raise self._over("the sweep ends this trial")


class HydraTrial(Trainable):
    """Runs one job after another in the same process, a report a step."""

    def setup(self, config: dict[str, Any], jobs: Jobs, goal: Goal) -> None:  # type: ignore[override]
        """Called once a process."""
        del config
        jobs.install()
        self._jobs, self._goal = jobs, goal
        self._task: RunningTask | None = None
        self._stop_requested = False

    def step(self) -> dict[str, Any]:
        """Wait for the next report, or for the end of the task."""
        goal = self._goal
        if self._task is None:
            if goal.deadline is not None and time.time() > goal.deadline:
                return self._end(Ended(SKIPPED, None, "the time budget was used up", None))
            job = Job(self.config["number"], tuple(self.config["overrides"]), self.trial_id)
            self._task = RunningTask(jobs=self._jobs, job=job, goal=goal)
        message = self._task.next(TrialStopped if self._stop_requested else None)
        return self._end(message) if isinstance(message, Ended) else {goal.metric: message}

    def _end(self, ended: Ended) -> dict[str, Any]:
        self._task = None
        value = {}
        if isinstance(ended.value, float):
            value = {self._goal.metric: _worst_if_undefined(ended.value, self._goal.mode)}
        # The end is about the step before it, not one more.
        return {**value, "done": True, "training_iteration": self.iteration, "ended": ended._asdict()}

    def request_stop(self) -> None:
        """Have the next step end the task."""
        self._stop_requested = True

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Prepare this process for another trial."""
        del new_config
        self.cleanup()
        self._stop_requested = False
        return True

    def cleanup(self) -> None:
        """End a task that is still at work."""
        if self._task is not None:
            self._task.interrupt()
            self._task = None


def _worst_if_undefined(value: float | None, mode: str) -> float:
    number = float("nan") if value is None else float(value)
    worst = WORST if mode == "min" else -WORST
    return min(max(number, -WORST), WORST) if number == number else worst
