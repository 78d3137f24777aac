"""Sweeps that survive: each job records itself, what has finished is not run again, all jobs are ranked at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.lazy import lazy

if TYPE_CHECKING:
    from forecast.sweep.job import current_job as current_job
    from forecast.sweep.session import SweepSession as SweepSession

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "job": ["current_job"],
        "session": ["SweepSession"],
    },
)
