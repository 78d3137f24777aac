"""A Hydra sweeper on Ray Tune: `hydra/sweeper=ray_tune`.

What a task may use: `report` its metrics, and return when `TrialStopped` is raised. Importing this costs nothing:
Ray is imported when a sweep starts.
"""

from __future__ import annotations

from hydra_plugins.ray_tune_sweeper._cluster import connect
from hydra_plugins.ray_tune_sweeper._job import clean_state
from hydra_plugins.ray_tune_sweeper._messages import (
    Failed,
    SweepError,
    TrialsFailed,
    TrialSkipped,
    TrialStopped,
    in_trial,
    key_of,
    report,
)
from hydra_plugins.ray_tune_sweeper._space import planned

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
