"""A real MLflow store (made once, copied for each test), run directories, and a real MLflow server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import commands
import pytest
import warm

from forecast.track.connection import connect

ROOT = Path(__file__).parents[2]
SERVER_READY_S = 120.0


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> str:
    """The address of a store that exists and is empty."""
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def make_directory(tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        directory = tmp_path / "outputs" / name
        (directory / "plots").mkdir(parents=True)
        (directory / "config.yaml").write_text("seed: 0\n")
        (directory / "metrics.json").write_text(json.dumps({"val_rmse": 1.5, "test_r2_oos": None}))
        (directory / "plots" / "errors.png").write_bytes(b"not really a picture")
        return directory

    return make


@pytest.fixture
def directory(make_directory: Callable[[str], Path]) -> Path:
    return make_directory("run")


@pytest.fixture
def runs() -> Callable[..., list[Any]]:
    """All runs of an experiment, whatever became of them, oldest first."""

    def of(uri: str, experiment_name: str = "forecast") -> list[Any]:
        client = connect(uri, patience_s=60.0)
        experiment = client.get_experiment_by_name(experiment_name)
        return list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"]))

    return of


@pytest.fixture
def free_port() -> int:
    return commands.free_port()


@contextmanager
def _server(database: str, port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", database, "--artifacts-destination", str(folder)]
    environment = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with (folder.parent / "server.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + SERVER_READY_S
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
            except OSError:
                assert process.poll() is None, (folder.parent / "server.log").read_text()
                assert time.monotonic() < deadline, "the server did not come up"
                time.sleep(0.1)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str, int], subprocess.Popen[bytes]]]:
    """Start a server over a store; it leads a process group of its own and is killed at the end."""
    with ExitStack() as stack:
        yield lambda store, port: stack.enter_context(_server(store, port, tmp_path / "files"))


@pytest.fixture
def python() -> Callable[..., warm.Process]:
    """Start a script in a process of its own that can import the package."""

    # As pyproject.toml has it for this process: warnings are errors, but for what MLflow does itself.
    filters = ["-W", "error", "-W", "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"]

    def start(script: str, *arguments: object) -> warm.Process:
        command = [sys.executable, *filters, "-c", script, *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        pipe = warm.PIPE
        return warm.Process(command, env=environment, text=True, stdin=pipe, stdout=pipe, stderr=pipe)

    return start
