"""kill -9 under load of the process that computes: who is hurt, and for how long."""

from __future__ import annotations

import argparse
import os
import signal
import time
from pathlib import Path

from benchmarks.serve.asking import Asking
from benchmarks.serve.bundle import make, questions
from benchmarks.serve.processes import command, cpu_seconds, name, tree
from benchmarks.serve.servers import INLINE, WORKERS, serving

_BACK_S = 5.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Of this command."""
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="of load; the process is killed after six"
    )
    parser.add_argument("--engine", choices=("inline", "workers"), nargs="+", default=["workers", "inline"])


def run(folder: Path, asked: argparse.Namespace) -> bool:
    """Print a paragraph an engine; whether both were back in time, with no question left hanging."""
    directory = make(folder / "run")
    windows = questions(directory)
    good = True
    for way in (WORKERS, INLINE):
        if way.name.rpartition("=")[2] not in asked.engine:
            continue
        with serving(way, directory, windows, folder) as server:
            asking = Asking(server.plan(windows, connections=asked.connections, seconds=asked.seconds))
            time.sleep(6.0)
            victim = _busiest(server.pid)
            killed = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            found = asking.result()
        right = found.answered
        hurt = ~right
        back = found.taken[right & (found.sent > killed)]
        seconds = float(back.min() - killed) if len(back) else float("inf")
        open_then = (found.sent <= killed) & (found.taken >= killed)
        longest = float((found.taken - found.sent).max())
        print(
            f"{way.name}: killed {victim}; first answer to a later question after {seconds:.2f} s; "
            f"{int((hurt & open_then).sum())} of {int(open_then.sum())} in flight failed, "
            f"{int((hurt & ~open_then).sum())} others; faults: {found.faults or 'none'}; "
            f"longest wait {longest:.2f} s",
            flush=True,
        )
        good &= seconds <= _BACK_S and "no answer" not in found.faults and "wrong figure" not in found.faults
    return good


def _busiest(pid: int) -> int:
    """The process below the first that computes most: a worker of the engine, or of HTTP."""
    below = tree(pid)[1:]
    before = {one: cpu_seconds(one) for one in below}
    time.sleep(1.0)
    spent = {one: cpu_seconds(one) - before[one] for one in below if "resource_tracker" not in command(one)}
    workers = {one: used for one, used in spent.items() if name(one) == "infer"}
    return max(workers or spent, key=lambda one: spent[one])
