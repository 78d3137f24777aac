"""What became of each trial: noted as it ends, told when all have."""

from __future__ import annotations

import copy
import logging
import math
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra import version
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, open_dict, read_write
from ray.tune import Callback

from hydra_plugins.ray_tune_sweeper._errors import Failed, TrialsFailed
from hydra_plugins.ray_tune_sweeper._job import Job, Jobs
from hydra_plugins.ray_tune_sweeper._trial import FAILED, FINISHED, SKIPPED, STOPPED

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How one trial ended."""

    job: Job
    status: str  # finished, stopped, skipped or failed
    value: float | str | None  # of the metric, None where undefined; or what the task returned
    error: str | None  # one line


class Outcomes(Callback):
    """Hears of every trial that ends."""

    def __init__(self) -> None:
        self.by_number: dict[int, Outcome] = {}

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """It ended by itself, one way or another."""
        del iteration, trials, info
        ended = trial.last_result.get("ended")
        if ended is None:
            return  # interrupted
        if ended["details"]:
            log.error("trial %s failed\n%s", trial.config["number"], ended["details"])
        self._note(trial, ended["status"], ended["value"], ended["error"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Its worker died, or never came to life, and retries are used up."""
        del iteration, trials, info
        self._note(trial, FAILED, None, _why_lost(trial))

    def _note(self, trial: Any, status: str, value: float | str | None, error: str | None) -> None:
        number = int(trial.config["number"])
        job = Job(number, tuple(trial.config["overrides"]), trial.trial_id)
        undefined = isinstance(value, float) and not math.isfinite(value)
        self.by_number[number] = Outcome(job, status, None if undefined else value, error)

    def all(self) -> list[Outcome]:
        """By number."""
        return [outcome for _, outcome in sorted(self.by_number.items())]

    def check(self, *, metric: str) -> None:
        """Speak up about failures.

        Raises:
            TrialsFailed: a trial failed, or none gave a value.
        """
        outcomes = self.all()
        failed = [
            Failed(outcome.job.number, outcome.job.overrides, str(outcome.error))
            for outcome in outcomes
            if outcome.status == FAILED
        ]
        if failed:
            summary = f"{len(failed)} of {len(outcomes)} trials failed:"
            reasons = {trial.error for trial in failed}
            if len(failed) == len(outcomes) and len(reasons) == 1:
                summary = f"every trial failed ({len(failed)} of them; {metric} is what they were asked for):"
            raise TrialsFailed(failed, total=len(outcomes), summary=summary)
        if not outcomes:
            raise TrialsFailed(
                [], total=0, summary="no trial was run: the time budget was used up before the first"
            )
        if not any(outcome.status in (FINISHED, STOPPED) for outcome in outcomes):
            reasons = {str(outcome.error) for outcome in outcomes if outcome.status == SKIPPED}
            why = f": {'; '.join(sorted(reasons)[:3])}" if reasons else ""
            raise TrialsFailed(
                [], total=len(outcomes), summary=f"none of {len(outcomes)} trials was run{why}"
            )


def _why_lost(trial: Any) -> str:
    written = Path(trial.error_file or os.devnull).read_text("utf-8")
    lines = [line.strip() for line in written.splitlines() if line.strip()]
    if any("creation task" in line for line in lines):
        return f"its worker could not be started: {lines[-1]}"
    return f"its worker died {trial.num_failures} times; out of memory or killed?"


class TrialReturn(JobReturn):
    """Hydra's record of a job; its configs are composed when somebody asks for them."""

    def __init__(self, outcome: Outcome, jobs: Jobs) -> None:
        self.overrides = list(outcome.job.overrides)
        self.status = JobStatus.FAILED if outcome.status == FAILED else JobStatus.COMPLETED
        self.return_value = outcome.value
        self.task_name = jobs.config.hydra.job.name
        self.outcome = outcome
        self._jobs = jobs

    @cached_property
    def hydra_cfg(self) -> DictConfig:  # type: ignore[override]
        """The whole config of the job."""
        config = self._jobs.compose(self.outcome.job)
        HydraConfig.instance().set_config(config)  # the folder may be named after the job
        folder = Path(self._jobs.folder, config.hydra.sweep.dir, config.hydra.sweep.subdir)
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = str(folder)
        return config

    @cached_property
    def cfg(self) -> DictConfig:  # type: ignore[override]
        """The task's own config."""
        config = copy.deepcopy(self.hydra_cfg)
        with read_write(config), open_dict(config):
            del config["hydra"]
        return config

    @cached_property
    def working_dir(self) -> str:  # type: ignore[override]
        """Where the task was at work."""
        node = self.hydra_cfg.hydra
        changed = node.job.chdir
        if changed is None:
            changed = not version.base_at_least("1.2")
        return str(node.runtime.output_dir if changed else self._jobs.folder)
