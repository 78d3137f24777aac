"""A Hydra sweeper on Ray Tune: `hydra/sweeper=ray_tune`.

What a task may use: `report` its metrics, and return when `TrialStopped` is raised. Importing this costs nothing:
Ray is imported when a sweep starts.
"""

from __future__ import annotations

from hydra_plugins.ray_tune_sweeper._cluster import connect
from hydra_plugins.ray_tune_sweeper._job import TrialSkipped, TrialStopped, clean_state, in_trial, report
from hydra_plugins.ray_tune_sweeper._settings import Failed, SweepError, TrialsFailed, key_of, planned

__all__ = [
    "Failed",
    "SweepError",
    "TrialSkipped",
    "TrialStopped",
    "TrialsFailed",
    "clean_state",
    "connect",
    "in_trial",
    "key_of",
    "planned",
    "report",
]
