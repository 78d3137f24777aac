"""A trial that is stopped ends by itself: its task hears of it, writes down what there is, and returns."""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler


class CleanStops(TrialScheduler):
    """A scheduler whose decision to stop reaches the task before Tune takes the worker away from it.

    Tune's own way to stop a class Trainable leaves it some ten seconds and hears nothing of how it went.

    Args:
        scheduler: decides.
        name: of its key.
    """

    def __init__(self, scheduler: TrialScheduler, *, name: str) -> None:
        begin: Any = super().__init__  # untyped
        begin()
        self._scheduler, self._name = scheduler, name
        self.refused: str | None = None  # why the sweep cannot go on with this scheduler

    @property
    def metric(self) -> Any:
        """The scheduler's own."""
        return self._scheduler.metric

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Tell the scheduler."""
        return bool(self._scheduler.set_search_properties(metric, mode, **spec))

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Tell the scheduler."""
        self._scheduler.on_trial_add(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Tell the scheduler."""
        self._scheduler.on_trial_error(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """The scheduler's decision; to stop is passed on to the task, which then ends the trial."""
        decision = str(self._scheduler.on_trial_result(tune_controller, trial, result))
        if decision == self.PAUSE:
            self.refused = pauses(self._name, self._scheduler)
            raise RuntimeError(self.refused)
        if decision == self.STOP:
            worker: Any = trial.temporary_state.ray_actor
            worker.halt.remote()  # an actor's calls keep their order: before the next step
            return str(self.CONTINUE)
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Tell the scheduler."""
        self._scheduler.on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Tell the scheduler."""
        self._scheduler.on_trial_remove(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The scheduler's choice."""
        return self._scheduler.choose_trial_to_run(tune_controller)

    def debug_string(self) -> str:
        """The scheduler's own."""
        return str(self._scheduler.debug_string())


def pauses(name: str, scheduler: TrialScheduler) -> str:
    """What to say about a scheduler that pauses trials."""
    return (
        f"{name}: {type(scheduler).__name__} pauses trials to go on with them elsewhere, and a half-finished job "
        "cannot be moved; choose one that only stops them, such as AsyncHyperBandScheduler"
    )
