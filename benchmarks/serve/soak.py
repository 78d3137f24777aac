"""Many questions, and what becomes of the server's memory."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.serve.asking import Asking
from benchmarks.serve.bundle import make, questions
from benchmarks.serve.processes import megabytes
from benchmarks.serve.servers import INLINE, WORKERS, serving

_MOST = 5.0  # percent of growth


def arguments(parser: argparse.ArgumentParser) -> None:
    """Of this command."""
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--warm", type=int, default=10_000, help="requests before memory is first looked at")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--engine", choices=("inline", "workers"), default="inline")


def run(folder: Path, asked: argparse.Namespace) -> bool:
    """Print memory as it goes; whether it stayed flat and every answer was right."""
    directory = make(folder / "run")
    windows = questions(directory)
    way = INLINE if asked.engine == "inline" else WORKERS
    with serving(way, directory, windows, folder) as server:
        much = {"connections": asked.connections, "seconds": 24 * 3600.0, "warm_s": 0.0}
        warm = Asking(server.plan(windows, most=asked.warm, **much)).result()
        first = highest = megabytes(server.pid)
        print(f"{way.name}: {first:.0f} MB after {asked.warm:,} requests", flush=True)
        asking = Asking(server.plan(windows, most=asked.requests, **much))
        told = time.monotonic()
        while asking.running:
            time.sleep(1.0)
            highest = max(highest, megabytes(server.pid))
            if time.monotonic() - told > 15:
                told = time.monotonic()
                print(f"  {megabytes(server.pid):.0f} MB", flush=True)
        found = asking.result()
        last = megabytes(server.pid)
    grown = 100 * (last - first) / first
    print(
        f"{len(found.sent):,} requests, {found.per_second:.0f} a second, faults: {found.faults or 'none'}; "
        f"{last:.0f} MB at the end ({grown:+.1f} %), {highest:.0f} MB at most"
    )
    return abs(grown) <= _MOST and not found.faults and not warm.faults
