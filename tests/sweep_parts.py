"""Finished runs and jobs of a sweep, made without training anything."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
import yaml

from forecast import bundle
from forecast.bundle import manifest
from forecast.sweep.record import JobResult

METRICS = {
    "val_rmse": 1.0,
    "val_rows": 100,
    "val_naive_rmse": 1.25,
    "val_naive_mae": 1.0,
    "val_theil_u": 0.8,
    "test_theil_u": 1.1,
    "epochs": 3,
}


def write_run(
    directory: Path, *, identity: str = "1" * 16, tickers: tuple[str, ...] = ("AAPL",), **changes: Any
) -> Path:
    """A directory that looks like a finished run, with a manifest and an identity."""
    (directory / "plots").mkdir(parents=True, exist_ok=True)
    for name in manifest.REQUIRED:
        (directory / name).write_text("", "utf-8")
    data = {
        "tickers": list(tickers),
        "splits": {"val": {"first_day": "2010-01-04", "last_day": "2011-01-04"}},
    }
    scaler = {"scope": "single", "output_size": 1, "tickers": list(tickers)}
    given = {"metrics": METRICS | changes, "data": data, "scaler": scaler, "history": [{"epoch": 0}]}
    for name, content in given.items():
        (directory / f"{name}.json").write_text(json.dumps(content), "utf-8")
    config = {"seed": 0, "provenance": {"identity": identity}}
    (directory / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    bundle.finish(directory, version="0")
    return directory


class Fatal(torch.nn.Module):
    """A layer that kills the process it is built in, once the run has its directory."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Unchanged, where it is only looked at how it changes shapes."""
        if len(x) > 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return x


class Patient(torch.nn.Module):
    """A layer that takes its time in training, so that a job can be caught at it.

    Args:
        seed: that of the run; the first, 1, is never slow, nor is any where the folder it was started in holds `hurry`.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.slow = seed != 1 and not Path("hurry").exists()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Unchanged."""
        if self.training and self.slow and len(x) > 2:
            time.sleep(0.15)
        return x


def job(number: int, directory: Path, *overrides: str, **changes: Any) -> JobResult:
    """A job that has finished."""
    given = {
        "status": "finished",
        "objective": 1.0,
        "metric": "val_rmse",
        "mode": "min",
        "sweep": "s",
    } | changes
    return JobResult(number=number, overrides=list(overrides), directory=str(directory), **given)
