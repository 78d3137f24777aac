"""Answers while the champion is retrained behind the server, and when that process is killed."""

from __future__ import annotations

import argparse
import os
import signal
import time
from pathlib import Path

from benchmarks.serve.asking import Asking, ask
from benchmarks.serve.bundle import make, questions
from benchmarks.serve.processes import command, tree
from benchmarks.serve.servers import INLINE, Server, serving

_START_S = 90  # until the first epoch is over


def arguments(parser: argparse.ArgumentParser) -> None:
    """Of this command."""
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)


def run(folder: Path, asked: argparse.Namespace) -> bool:
    """Print a row each; whether no question was lost."""
    directory = make(folder / "run-long", also=("trainer.max_epochs=30", "trainer.patience=null"))
    windows = questions(directory)
    with serving(INLINE, directory, windows, folder) as server:
        plan = server.plan(windows, connections=asked.connections, seconds=asked.seconds)
        rows = {"alone": ask(plan)}
        url = _train(server)
        _await_first_epoch(server, url)
        rows["while training"] = ask(plan)
        told = server.call("GET", url)[1]
        asking = Asking(plan)
        time.sleep(plan.warm_s + asked.seconds / 3)
        victims = [pid for pid in tree(server.pid) if "forecast.serve.training_process" in command(pid)]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        rows["training killed -9"] = asking.result()
        after = server.call("GET", url)[1]
    for name, found in rows.items():
        print(
            f"{name:20}{found.per_second:>7.0f} answers/s, p50 {found.ms(50):.2f} ms, p99 {found.ms(99):.2f} ms, "
            f"faults: {found.faults or 'none'}"
        )
    alone, beside = rows["alone"], rows["while training"]
    print(
        f"while training (then {told['state']}, {told.get('progress')}): "
        f"{beside.per_second / alone.per_second:.2f} times the answers, "
        f"{beside.ms(99) / alone.ms(99):.2f} times the p99"
    )
    print(
        f"{len(victims)} training processes killed; the job is told as {after['state']}: {after.get('error')}"
    )
    return not any(found.faults for found in rows.values()) and bool(victims)


def _train(server: Server) -> str:
    """Start a training; where its state is told."""
    status, answer = server.call("POST", "/train?wait=false")
    if status != 202:
        raise SystemExit(f"POST /train answered {status}: {answer}")
    return str(answer["status_url"])


def _await_first_epoch(server: Server, url: str) -> None:
    patience = time.monotonic() + _START_S
    while not (told := server.call("GET", url)[1])["progress"]:
        if told["state"] != "running" or time.monotonic() > patience:
            raise SystemExit(f"the training does not train: {told}")
        time.sleep(0.2)
