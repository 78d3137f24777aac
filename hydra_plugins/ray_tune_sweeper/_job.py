"""One job of a sweep, composed and run in the process it was sent to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobStatus, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from hydra_plugins.ray_tune_sweeper._composing import Composer
from hydra_plugins.ray_tune_sweeper._state import clean_state


@dataclass(frozen=True)
class Job:
    """What tells one job of a sweep from another."""

    number: int
    overrides: tuple[str, ...]
    trial_id: str


@dataclass(frozen=True)
class Jobs:
    """What all jobs of a sweep share; sent to each worker once."""

    hydra_context: HydraContext
    task_function: TaskFunction
    config: DictConfig  # composed without the space
    composer: Composer
    singletons: Any  # Hydra's process-wide state
    folder: str  # the sweep was started in
    seed: int

    def install(self) -> None:
        """Make this process one in which Hydra is at home; to be called once."""
        setup_globals()
        Singleton.set_state(self.singletons)

    def compose(self, job: Job) -> DictConfig:
        """The config of a job, with Hydra's own node."""
        config = self.composer.compose(job.overrides)
        with open_dict(config):
            config.hydra.job.id = job.trial_id
            config.hydra.job.num = job.number
        return config

    def run(self, job: Job) -> Any:
        """Run the task; what it returns or raises.

        Hydra's globals, the working directory and the generators are set for this job, and set back after it.
        """
        with clean_state(self.seed + job.number):
            os.chdir(self.folder)
            config = self.compose(job)
            done = run_job(
                hydra_context=self.hydra_context,
                task_function=self.task_function,
                config=config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
            if done.status == JobStatus.FAILED:
                raise done._return_value  # done.return_value would write to stderr first
            return done.return_value
