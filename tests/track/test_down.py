"""A store that cannot be used costs a warning and little time, never the run."""

from __future__ import annotations

import http.server
import logging
import os
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from forecast.track import MLflowTracker, tracker
from forecast.track.__main__ import main
from forecast.track.connection import connect
from forecast.track.delivery import Record


def _whole_run(uri: str, directory: Path, patience_s: float) -> float:
    """Record a run and return the seconds it took, besides the import of MLflow."""
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    begun = time.monotonic()
    one = MLflowTracker(uri=uri, experiment_name="forecast", patience_s=patience_s)
    one.start(directory=directory, name="run", params={"seed": 0}, tags={"strategy": "range_single"})
    assert one.run_id is None
    for epoch in range(3):
        one.log_epoch(epoch, {"val_rmse": 3.0 - epoch})
    one.finish(status="FINISHED", metrics={"val_rmse": 1.5})
    return time.monotonic() - begun


def _one_warning(caplog: pytest.LogCaptureFixture) -> str:
    said = [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert len(said) == 1
    assert "\n" not in said[0]
    return said[0]


class _Fault(http.server.BaseHTTPRequestHandler):
    def _answer(self) -> None:
        self.send_response(500)
        self.end_headers()
        self.wfile.write(b"<html>oops</html>")

    do_GET = do_POST = _answer  # noqa: N815 - the names http.server looks for

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def broken_server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Fault) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_nobody_listens(directory: Path, free_port: int, caplog: pytest.LogCaptureFixture) -> None:
    assert _whole_run(f"http://127.0.0.1:{free_port}", directory, 10.0) < 9.0
    said = _one_warning(caplog)
    assert said.startswith(f"tracking is down (http://127.0.0.1:{free_port}: [Errno 111] Connection refused)")
    assert said.endswith(f"the run goes on; send it later with: python -m forecast.track sync {directory}")
    record = Record.load(directory)
    assert (record.state, record.status, record.run_id) == ("pending", "FINISHED", None)
    assert [epoch.metrics["val_rmse"] for epoch in record.epochs] == [3.0, 2.0, 1.0]
    assert record.metrics == {"val_rmse": 1.5}


def test_a_name_nobody_knows(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert _whole_run("http://no-such-host.invalid:5000", directory, 5.0) < 9.0
    assert _one_warning(caplog).startswith("tracking is down (http://no-such-host.invalid:5000: ")


def test_a_server_that_fails(directory: Path, broken_server: str, caplog: pytest.LogCaptureFixture) -> None:
    assert _whole_run(broken_server, directory, 10.0) < 9.0
    assert "500" in _one_warning(caplog)


def test_a_server_that_never_answers_is_waited_for_once(
    directory: Path, silent_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    took = _whole_run(silent_server, directory, 1.0)
    assert 1.0 <= took < 9.0
    assert "no answer within 1 s" in _one_warning(caplog)
    assert Record.load(directory).state == "pending"


def test_a_locked_database(store: str, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    holder = sqlite3.connect(store.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    took = _whole_run(store, directory, 1.0)
    holder.close()
    assert 1.0 <= took < 9.0
    assert "database is locked" in _one_warning(caplog)
    assert main(["sync", str(directory)]) == 0


def test_a_database_locked_while_the_run_goes_on(
    store: str, directory: Path, caplog: pytest.LogCaptureFixture, runs: Callable[..., list[Any]]
) -> None:
    one = MLflowTracker(uri=store, experiment_name="forecast", patience_s=60.0)
    one.start(directory=directory, name="run", params={}, tags={})
    one.log_epoch(0, {"loss": 1.0})
    one.patience_s = 1.0
    holder = sqlite3.connect(store.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    begun = time.monotonic()
    one.finish(status="FINISHED", metrics={"m": 2.0})
    assert time.monotonic() - begun < 9.0
    assert "no answer within 1 s" in _one_warning(caplog)
    holder.close()
    # What was given up may still come through now and then: what is sent twice must not stand there twice.
    assert main(["sync", str(directory)]) == 0
    (run,) = runs(store)
    assert run.info.status == "FINISHED"
    client = connect(store, patience_s=60.0)
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 1
    assert len(client.get_metric_history(run.info.run_id, "m")) == 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_bytes(b"garbage" * 1000), "file is not a database"),
        (lambda path: path.mkdir(), "unable to open database file"),
        (
            lambda path: sqlite3.connect(path).execute("CREATE TABLE t (x)").connection.close(),
            "not an MLflow",
        ),
    ],
    ids=["garbage", "folder", "other tables"],
)
def test_a_file_that_is_no_store(
    tmp_path: Path,
    directory: Path,
    caplog: pytest.LogCaptureFixture,
    make: Callable[[Path], object],
    said: str,
) -> None:
    make(tmp_path / "mlflow.db")
    assert _whole_run(f"sqlite:///{tmp_path / 'mlflow.db'}", directory, 10.0) < 9.0
    assert said in _one_warning(caplog)


def test_a_place_where_no_database_can_be(
    tmp_path: Path, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    _whole_run(f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}", directory, 10.0)
    assert "file" in _one_warning(caplog)
    assert Record.load(directory).state == "pending"


def test_an_experiment_whose_files_only_a_server_can_write(
    store: str, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    connect(store, patience_s=60.0).create_experiment("forecast", artifact_location="mlflow-artifacts:/1")
    _whole_run(store, directory, 60.0)
    assert "keeps its files behind it; give that server as tracker.uri" in _one_warning(caplog)


def test_an_experiment_that_was_deleted(
    store: str, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(store, patience_s=60.0)
    client.delete_experiment(client.create_experiment("forecast"))
    _whole_run(store, directory, 60.0)
    assert "'forecast' was deleted there" in _one_warning(caplog)


def test_a_run_directory_that_cannot_be_written(
    store: str, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _whole_run(store, directory / "missing", 60.0)
    assert "it cannot be sent later either" in _one_warning(caplog)


@pytest.mark.slow
def test_a_server_that_dies_while_the_run_goes_on(
    store: str,
    directory: Path,
    free_port: int,
    serve: Callable[[str, int], subprocess.Popen[bytes]],
    runs: Callable[..., list[Any]],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracker, "FLUSH_S", 0.0)
    monkeypatch.setattr(tracker, "FLUSH_SHARE", 0)
    uri = f"http://127.0.0.1:{free_port}"
    server = serve(store, free_port)
    one = MLflowTracker(uri=uri, experiment_name="forecast")
    one.start(directory=directory, name="run", params={"seed": 0}, tags={})
    one.log_epoch(0, {"loss": 3.0})
    assert one.run_id is not None
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    begun = time.monotonic()
    one.log_epoch(1, {"loss": 2.0})
    one.log_epoch(2, {"loss": 1.0})
    one.finish(status="FINISHED", metrics={"val_rmse": 1.5})
    assert time.monotonic() - begun < 9.0
    assert _one_warning(caplog).startswith(f"tracking is down ({uri}: ")
    assert [run.info.status for run in runs(store)] == ["RUNNING"]
    assert main(["sync", str(directory)]) == 1

    serve(store, free_port)
    assert main(["sync", str(directory)]) == 0
    (run,) = runs(store)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"loss": 1.0, "val_rmse": 1.5})
    client = connect(uri, patience_s=60.0)
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(0, 3.0), (1, 2.0), (2, 1.0)]
    assert sorted(file.path for file in client.list_artifacts(run.info.run_id)) == [
        "config.yaml",
        "metrics.json",
        "plots",
    ]
