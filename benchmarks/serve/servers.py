"""Servers as processes of their own: started, awaited, asked, ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.serve.asking import REPOSITORY, Plan
from benchmarks.serve.bundle import Questions
from benchmarks.serve.processes import tree

_START_S, _END_S = 120, 30


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to serve a run directory.

    Args:
        name: in the table.
        module: python -m MODULE DIRECTORY PORT; None: serve.py.
        keys: of serve.py.
        path: asked with POST.
        shape: of the body, see Questions.
        field: of the answer.
        tolerance: relative, of the figure; others than ours run one window at a time, where the last bits differ.
    """

    name: str
    module: str | None = None
    keys: tuple[str, ...] = ()
    path: str = "/infer"
    shape: str = "ours"
    field: str = "prediction"
    tolerance: float = 1e-5


ORIGINAL = Way(name="FastAPI, sync handler, eager torch", module="benchmarks.serve.rivals.original")
INLINE = Way(name="serve.py engine=inline", keys=("engine=inline",), tolerance=0.0)
WORKERS = Way(name="serve.py engine=workers", keys=("engine=workers",), tolerance=0.0)
WAYS = (
    ORIGINAL,
    Way(name="LitServe, stock", module="benchmarks.serve.rivals.litserve_stock"),
    Way(
        name="mlflow models serve", module="benchmarks.serve.rivals.mlflow_serve", path="/invocations",
        shape="mlflow", field="predictions",
    ),
    INLINE,
    WORKERS,
)  # fmt: skip


@dataclass(kw_only=True)
class Server:
    """One that answers.

    Args:
        way: how it serves.
        port: on 127.0.0.1.
        process: the first of its processes.
        seconds: from its start to its first answer.
        log: what it printed.
    """

    way: Way
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    seconds: float = field(default=float("nan"))

    @property
    def pid(self) -> int:
        """Of the first process."""
        return self.process.pid

    def plan(self, questions: Questions, *, connections: int, seconds: float, **more: Any) -> Plan:
        """Questions to this server; whichever version answers must give the recorded forecasts."""
        return Plan(
            **{
                "port": self.port, "bodies": questions.bodies(self.way.shape),
                "expected": {"": questions.forecasts}, "connections": connections, "seconds": seconds,
                "path": self.way.path, "field": self.way.field, "tolerance": self.way.tolerance, **more,
            }
        )  # fmt: skip

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One question of another kind: status and JSON."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")


@contextlib.contextmanager
def serving(way: Way, directory: Path, questions: Questions, folder: Path, *keys: str) -> Iterator[Server]:
    """A server that has given its first answer; ended, with all its processes, on leaving.

    Args:
        way: how.
        directory: of the run.
        questions: the first is asked until it is answered.
        folder: where it runs and its log is left.
        keys: of serve.py, besides the way's own.
    """
    port = free_port()
    if way.module:
        command = [sys.executable, "-m", way.module, str(directory), str(port)]
        threads = {"OMP_NUM_THREADS": "1"}  # in their favour: torch's own default is one for every core
    else:
        threads = {}
        settings = [f"bundle={directory}", f"port={port}", *way.keys, *keys]
        command = [sys.executable, str(REPOSITORY / "serve.py"), *settings]
    log = folder / f"{way.name.replace(' ', '_').replace(',', '')}.log"
    variables = (
        os.environ
        | {
            "PYTHONPATH": str(REPOSITORY),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # mlflow looks for uvicorn there
            "BENCHMARK_FOLDER": str(folder),
        }
        | threads
    )
    with log.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        server = Server(way=way, port=port, process=process, log=log)
        try:
            _await(server, questions)
            server.seconds = time.monotonic() - began
            yield server
        finally:
            _end(process)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _await(server: Server, questions: Questions) -> None:
    patience = time.monotonic() + _START_S
    body = json.loads(questions.bodies(server.way.shape)[0])
    while True:
        with contextlib.suppress(OSError):
            status, _ = server.call("POST", server.way.path, body)
            if status == 200:
                return
        if server.process.poll() is not None or time.monotonic() > patience:
            raise SystemExit(f"{server.way.name} does not answer:\n{server.log.read_text('utf-8')[-4000:]}")
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the first process; whatever is left of its tree after a while is killed."""
    everyone = tree(process.pid)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    for pid in everyone:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
