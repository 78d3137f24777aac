"""Jobs, conducted as a worker would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from forecast.config.multirun import JobContext
from forecast.sweep.job import Conductor
from forecast.sweep.job_state import JobState
from forecast.track import process


@pytest.fixture
def config() -> DictConfig:
    return OmegaConf.create({"objective": {"metric": "val_rmse", "mode": "min"}})


Conduct = Callable[..., tuple[float | None, JobState]]


@pytest.fixture
def conduct(tmp_path: Path, config: DictConfig) -> Conduct:
    """Conduct a job in tmp_path/sweep/NUMBER, as a worker would; what it gave, and its job.json."""

    def conduct(task: Callable[[DictConfig], float | None], *, number: int = 0, **changes: Any) -> Any:
        given = {
            "sweep": "s",
            "directory": tmp_path / "sweep",
            "root": tmp_path,
            "folder": tmp_path,
            "driver": process.identity() | {process.PID: "1"},
        }
        directory = tmp_path / "sweep" / str(number)
        directory.mkdir(parents=True, exist_ok=True)
        facts = JobContext(number=number, overrides=["seed=1"], directory=directory)
        value = Conductor(**given | changes)(facts, config, task)
        return value, JobState.load(directory / "job.json")

    return conduct
