"""Runs that are stopped from outside: recorded as what they are, never mistaken for finished."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import warm
from commands import RUN, SMALL, environment, run

import forecast
from forecast.errors import UserError
from forecast.track.connection import connect

# Would train for days.
ENDLESS = ("trainer.max_epochs=1000000", "trainer.patience=null")
GONE_S = 120

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a store that exists."""
    return f"sqlite:///{shutil.copy(empty_store, tmp_path_factory.mktemp('store'))}"


def arguments_of(directory: Path, store: str) -> list[str]:
    # An experiment a test, so that each finds its own runs.
    tracker = [f"tracker.uri={store}", f"tracker.experiment_name={directory.parent.name}"]
    return [*SMALL, *tracker, f"hydra.run.dir={directory}"]


@contextmanager
def training(directory: Path, store: str, *, cold: bool = False) -> Iterator[Any]:
    """A run in a process of its own, some epochs old."""
    start: Any = subprocess.Popen if cold else warm.Process
    process = start(
        [sys.executable, str(RUN), *arguments_of(directory, store), *ENDLESS],
        cwd=directory.parent,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch 2:"):
                break
        assert process.poll() is None, "it ended before it trained"
        yield process
    finally:
        process.kill()
        process.communicate()


def statuses(directory: Path, store: str) -> list[str]:
    """Of the runs that were recorded for a directory, oldest first."""
    client = connect(store, patience_s=60.0)
    experiment = client.get_experiment_by_name(directory.parent.name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    assert {run.data.tags["forecast.directory"] for run in runs} == {str(directory)}
    return [run.info.status for run in runs]


def looks_unfinished(directory: Path) -> None:
    assert not (directory / "manifest.json").exists()
    with pytest.raises(UserError, match="no finished run here"):
        forecast.load(directory)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_a_run_that_is_asked_to_stop(tmp_path, store, how):
    directory = tmp_path / "run"
    with training(directory, store, cold=how == signal.SIGINT) as process:
        process.send_signal(how)
        out, err = process.communicate(timeout=GONE_S)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted"
    assert err.count("interrupted") == 1
    assert "Traceback" not in err
    assert statuses(directory, store) == ["KILLED"]
    assert "interrupted" in (directory / "run.log").read_text()
    looks_unfinished(directory)


def test_a_run_that_dies_at_once_and_is_run_again(tmp_path, store):
    directory = tmp_path / "run"
    with training(directory, store) as process:
        process.kill()
        process.communicate(timeout=GONE_S)
        assert statuses(directory, store) == ["RUNNING"]  # nobody could say more
        looks_unfinished(directory)
    done = run(tmp_path, *arguments_of(directory, store))
    assert (done.code, done.out.splitlines()[-1]) == (0, str(directory))
    assert statuses(directory, store) == ["KILLED", "FINISHED"]
    assert forecast.load(directory).tickers == ["AAPL"]
