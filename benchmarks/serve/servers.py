"""The run directory that is served, the servers as processes of their own, and what they take of the machine."""

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

from benchmarks.serve.load import REPOSITORY, Plan

# The network of every figure here: LSTM 4 -> 128 x 2 -> 1 on 20 bars. What it has learnt is beside the point.
KEYS = (
    "model=lstm", "model.hidden_size=128", "model.num_layers=2", "data=no_processing_single", "data.seq_len=20",
    "trainer=smoke", "trainer.progress=off", "baselines=none", "tracker=none",
)  # fmt: skip
_QUESTIONS = 256


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Windows of the run's test split.

    Args:
        sequences: (windows, lookback, columns) as they are sent.
        forecasts: (windows,) what the run recorded for each.
    """

    sequences: list[list[list[float]]]
    forecasts: list[float]

    def bodies(self, shape: str) -> list[str]:
        """JSON texts: `ours` as /infer takes them, `mlflow` as its scoring server does."""
        if shape == "mlflow":
            return [json.dumps({"inputs": [sequence]}) for sequence in self.sequences]
        return [json.dumps({"sequence": sequence}) for sequence in self.sequences]


def make(directory: Path, *, seed: int = 0, also: tuple[str, ...] = ()) -> Path:
    """The run directory, made unless it is there already."""
    import forecast
    from forecast.bundle import is_finished

    if not is_finished(directory):
        forecast.run(*KEYS, f"seed={seed}", *also, directory=directory)
    return directory


def questions(directory: Path) -> Questions:
    """The first windows that the run kept, with the forecasts it recorded."""
    from safetensors.numpy import load_file

    kept = load_file(directory / "golden.safetensors")
    # Each number as short as it can be and still be the same float32: 25.94, as a caller would write it.
    sequences = [
        [[float(str(number)) for number in row] for row in window] for window in kept["windows"][:_QUESTIONS]
    ]
    return Questions(sequences=sequences, forecasts=kept["forecast"][:_QUESTIONS, 0].tolist())


_START_S, _END_S = 120, 30


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to serve a run directory.

    Args:
        name: in the table.
        module: python -m MODULE [NAME] DIRECTORY PORT; None: serve.py.
        keys: of serve.py.
        path: asked with POST.
        shape: of the body, see Questions.
        field: of the answer.
        tolerance: relative, of the figure: whoever runs windows in other batches sums in another order.
    """

    name: str
    module: str | None = None
    keys: tuple[str, ...] = ()
    path: str = "/infer"
    shape: str = "ours"
    field: str = "prediction"
    tolerance: float = 1e-5


ORIGINAL = Way(name="FastAPI, sync handler, eager torch", module="benchmarks.serve.rivals original")
INLINE = Way(name="serve.py engine=inline", keys=("engine=inline",))
WORKERS = Way(name="serve.py engine=workers", keys=("engine=workers",))
WAYS = (
    ORIGINAL,
    Way(name="LitServe, stock", module="benchmarks.serve.rivals litserve"),
    Way(
        name="mlflow models serve", module="benchmarks.serve.rivals_mlflow", path="/invocations",
        shape="mlflow", field="predictions",
    ),
    INLINE,
    WORKERS,
    Way(name="Starlette, the network alone", module="benchmarks.serve.rivals starlette"),
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
        command = [sys.executable, "-m", *way.module.split(), str(directory), str(port)]
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


_TICK = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and its children's children, oldest first."""
    return [pid, *(below for child in _children(pid) for below in tree(child))]


def _children(pid: int) -> Iterator[int]:
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            yield from map(int, listed.read_text().split())
        except OSError:  # the thread has ended
            continue


def cpu_seconds(pid: int) -> float:
    """Spent so far by the process and its children, those included that have ended and were waited for."""
    return sum(map(_cpu_seconds, tree(pid)))


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICK  # utime, stime, and both of children waited for


def megabytes(pid: int) -> float:
    """Resident memory of the process and its children; pages they share are counted once."""
    return sum(map(_megabytes, tree(pid)))


def _megabytes(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def command(pid: int) -> str:
    """The command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
