"""A Hydra sweeper on Ray Tune: `hydra/sweeper=ray_tune`.

What a task may use: `report` its metrics, and end when `TrialStopped` is raised. Importing this costs nothing:
Ray is imported when a sweep starts.
"""

from __future__ import annotations

from hydra_plugins.ray_tune_sweeper._cluster import connect
from hydra_plugins.ray_tune_sweeper._errors import Failed, SweepError, TrialsFailed
from hydra_plugins.ray_tune_sweeper._keys import key_of
from hydra_plugins.ray_tune_sweeper._reporting import TrialSkipped, TrialStopped, in_trial, report
from hydra_plugins.ray_tune_sweeper._space import planned
from hydra_plugins.ray_tune_sweeper._state import clean_state

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
