"""What routes are given: made once, before the processes that answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forecast.serve.api import ForecastAPI
    from forecast.serve.engines import Engine
    from forecast.serve.models import Models
    from forecast.serve.server import Server
    from forecast.serve.training_jobs import TrainingJobs
    from forecast.serve.watch import Watch


@dataclass(frozen=True, kw_only=True)
class Context:
    """The rooms behind the routes.

    Args:
        server: its settings.
        models: what is served.
        engine: what computes.
        api: LitServe's four methods.
        watch: what is counted and noted.
        training: the jobs.
    """

    server: Server
    models: Models
    engine: Engine
    api: ForecastAPI
    watch: Watch
    training: TrainingJobs
