"""What a second machine adds: python -m benchmarks.nodes [--trials 16] [--epochs 10]

Ray nodes of one core each on this machine, each with its processes pinned to a core of its own, joined by
`cluster=ray`: jobs a minute with one node and with two, for the tuner and for the plain launcher. A worker's first
job, with its imports, is left out.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks._jobs import grid, jobs, sweep


@contextmanager
def cluster(nodes: int) -> Iterator[str]:
    """The address of a cluster of so many pinned nodes."""
    from ray.cluster_utils import Cluster

    cores = sorted(os.sched_getaffinity(0))
    made = Cluster()
    try:
        for core in cores[:nodes]:
            os.sched_setaffinity(0, {core})  # what is started now inherits it
            made.add_node(num_cpus=1, object_store_memory=100_000_000, include_dashboard=False)
        os.sched_setaffinity(0, cores)
        yield made.address
    finally:
        os.sched_setaffinity(0, cores)
        made.shutdown()


def rate(done: list[dict[str, Any]]) -> float:
    """Jobs a second, all workers together, once each has run its first."""
    ends: dict[str, list[float]] = defaultdict(list)
    for job in done:
        ends[str(job["process"])].append(job["began"] + job["seconds"])
    return sum((len(times) - 1) / (max(times) - min(times)) for times in ends.values() if len(times) > 1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=10)
    asked = parser.parse_args()
    keys = ["tracker=none", "trainer.patience=null", f"trainer.max_epochs={asked.epochs}", "cluster=ray"]
    seeds = f"range(0,{asked.trials})"
    print(f"{'jobs a minute':14}{'one node':>10}{'two nodes':>11}{'ratio':>7}")
    with tempfile.TemporaryDirectory() as name:
        for way, overrides in (("tuner", grid(seed=seeds)), ("launcher", [f"seed={seeds}"])):
            rates = []
            for nodes in (1, 2):
                folder = Path(name) / f"{way}_{nodes}" / "sweep"
                with cluster(nodes) as address:
                    sweep(folder, *keys, f"cluster.address={address}", *overrides)
                rates.append(60 * rate(jobs(folder)))
            print(f"{way:14}{rates[0]:>10.1f}{rates[1]:>11.1f}{rates[1] / rates[0]:>7.2f}", flush=True)


if __name__ == "__main__":
    main()
