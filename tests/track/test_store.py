from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import warm

from forecast.track.connection import artifact_folder, connect

EIGHT_AT_ONCE = """
import os, sys
from pathlib import Path
from forecast.track import MLflowTracker

def record(directory):
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text("seed: 0")
    tracker = MLflowTracker(uri=sys.argv[1], experiment_name="forecast", patience_s=120.0)
    tracker.start(directory=directory, name=directory.name, params={"seed": 0}, tags={})
    for epoch in range(3):
        tracker.log_epoch(epoch, {"val_rmse": 1.0})
    tracker.finish(status="FINISHED", metrics={"val_rmse": 0.5})

import mlflow.store.tracking.sqlalchemy_store

for job in range(8):
    if os.fork() == 0:
        record(Path(sys.argv[2]) / str(job))
        os._exit(0)
sys.exit(max(os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(8)))
"""


@pytest.mark.slow
def test_eight_processes_on_a_fresh_store_are_all_recorded(
    tmp_path: Path, python: Callable[..., warm.Process], runs: Callable[..., list[Any]]
) -> None:
    uri = f"sqlite:///{tmp_path / 'new' / 'folder' / 'mlflow.db'}"
    jobs = python(EIGHT_AT_ONCE, uri, tmp_path / "jobs")
    assert jobs.communicate(timeout=500)[1] == ""
    assert jobs.returncode == 0
    recorded = runs(uri)
    assert sorted(run.info.run_name for run in recorded) == [str(i) for i in range(8)]
    assert {run.info.status for run in recorded} == {"FINISHED"}
    assert {run.data.metrics["val_rmse"] for run in recorded} == {0.5}
    left = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert left == ["mlflow.db", "mlruns"]


@pytest.mark.slow
def test_killed_while_the_store_is_made(tmp_path: Path, python: Callable[..., warm.Process]) -> None:
    database = tmp_path / "mlflow.db"
    script = (
        "import sys; from forecast.track.connection import connect; connect(sys.argv[1], patience_s=60.0)"
    )
    first = python(script, f"sqlite:///{database}")
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".mlflow.db.*.tmp")):
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert not database.exists()
    # What the first one started may still be at work: the second has to wait for it.
    client = connect(f"sqlite:///{database}", patience_s=60.0)
    assert [experiment.name for experiment in client.search_experiments()] == ["Default"]


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    database = tmp_path / "shop.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER)")
    connection.close()
    before = database.read_bytes()
    with pytest.raises(ValueError, match="not an MLflow database"):
        connect(f"sqlite:///{database}", patience_s=5.0)
    assert database.read_bytes() == before


def test_files_stand_beside_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.chdir("/")
    assert artifact_folder(uri, "forecast") == str(tmp_path / "mlruns" / "forecast")
    odd = [artifact_folder(uri, name) for name in ("a/b", "..", "é" * 200, "a b")]
    assert len(set(odd)) == 4
    assert {Path(str(folder)).parent for folder in odd} == {tmp_path / "mlruns"}
    assert artifact_folder("http://host:5000", "forecast") is None
