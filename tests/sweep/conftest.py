"""Jobs, run as a worker would."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from forecast.config.multirun import JobContext
from forecast.sweep.job import JobRunner, current_job
from forecast.sweep.record import JobResult
from forecast.track import process


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> str:
    """The address of a store of the test's own."""
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def config() -> DictConfig:
    return OmegaConf.create({"objective": {"metric": "val_rmse", "mode": "min"}})


RunJob = Callable[..., tuple[float | None, JobResult]]


@pytest.fixture
def run_job(tmp_path: Path, config: DictConfig) -> RunJob:
    """Run a job in tmp_path/sweep/NUMBER, as a worker would; what it gave, and its job.json."""

    def run_job(task: Callable[..., float | None], *, number: int = 0, **changes: Any) -> Any:
        given = {
            "sweep": "s",
            "directory": tmp_path / "sweep",
            "root": tmp_path,
            "folder": tmp_path,
            "driver": process.identity() | {process.PID: "1"},
        }
        directory = tmp_path / "sweep" / str(number)
        directory.mkdir(parents=True, exist_ok=True)
        context = JobContext(number=number, overrides=["seed=1"], directory=directory)
        value = JobRunner(**given | changes)(context, config, lambda config: task(config, current_job()))
        return value, JobResult.load(directory / "job.json")

    return run_job
