"""What a server costs while nobody asks: share of a core, and memory."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.serve.bundle import make, questions
from benchmarks.serve.processes import cpu_seconds, megabytes, tree
from benchmarks.serve.servers import INLINE, WORKERS, serving

_MOST = 2.0  # percent of a core


def arguments(parser: argparse.ArgumentParser) -> None:
    """Of this command."""
    parser.add_argument("--seconds", type=float, default=30.0)


def run(folder: Path, asked: argparse.Namespace) -> bool:
    """Print a line an engine; whether the default one is within the limit."""
    directory = make(folder / "run")
    windows = questions(directory)
    percents = []
    for way in (INLINE, WORKERS):
        with serving(way, directory, windows, folder) as server:
            time.sleep(2.0)  # the start is over
            before, began = cpu_seconds(server.pid), time.monotonic()
            time.sleep(asked.seconds)
            percents.append(100 * (cpu_seconds(server.pid) - before) / (time.monotonic() - began))
            print(
                f"{way.name:28}{percents[-1]:6.2f} % of a core, {len(tree(server.pid))} processes, "
                f"{megabytes(server.pid):.0f} MB, first answer after {server.seconds:.1f} s",
                flush=True,
            )
    return percents[0] < _MOST
