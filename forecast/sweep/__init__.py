"""Sweeps that survive: each job records itself, what has finished is not run again, all jobs are ranked at the end."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forecast.sweep.job import current_job
    from forecast.sweep.session import SweepSession

__all__ = ["SweepSession", "current_job"]

_HOME = {"SweepSession": "session", "current_job": "job"}


def __getattr__(name: str) -> object:
    """Import on first use: a worker needs no session."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
