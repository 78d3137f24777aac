"""What a run costs besides training: python -m benchmarks.fixed_cost [--rounds 3]

Whole processes, medians: a smoke run without and with a tracker, a data check, the imports alone; and, inside one
process with everything imported, composition with its check, data, forecasts with plots and report, and the tracker on
a store that exists.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

IMPORTS = "import torch, pandas, pytorch_lightning, pyarrow.parquet, matplotlib.figure, exchange_calendars"


def wall(command: list[str]) -> float:
    """Seconds of a whole process."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def clock(work: Callable[[], object]) -> float:
    """Seconds of a call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def inside(store: str, folder: Path) -> dict[str, float]:
    """Parts of a run in a process that has imported everything."""
    import forecast
    from forecast.config import build, check, compose
    from forecast.track import MLflowTracker

    keys = ["trainer=smoke", "tracker=none"]
    run = forecast.run(*keys, directory=folder / "warm")
    parts = {"compose and check": clock(lambda: check(compose(*keys)))}
    config = compose(*keys)
    data = build(config.data, source=build(config.source), target=build(config.get("target")))
    parts["fetch, check, window"] = clock(data.prepare)
    whole = clock(lambda: forecast.run(*keys, directory=folder / "again"))
    parts["smoke run, all of it"] = whole
    epochs = [{key: value for key, value in epoch.items() if key != "epoch"} for epoch in run.history]

    def track() -> None:
        tracker = MLflowTracker(uri=store, experiment_name="forecast")
        tracker.start(
            directory=run.directory, name="benchmark", params={"model": {"hidden_size": 32}}, tags={}
        )
        for number in range(50):
            tracker.log_epoch(number, epochs[number % len(epochs)])
        tracker.finish(status="FINISHED", metrics=run.metrics)

    parts["tracker, first run of a process"] = clock(track)
    parts["tracker, each further run"] = clock(track)
    return parts


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = f"sqlite:///{folder / 'mlflow.db'}"
        run = [sys.executable, "run.py", f"hydra.run.dir={folder / 'run'}"]
        ways = {
            "imports alone": [sys.executable, "-c", IMPORTS],
            "imports and mlflow": [
                sys.executable,
                "-c",
                f"{IMPORTS}, mlflow, mlflow.store.tracking.sqlalchemy_store",
            ],
            "trainer=none": [*run, "trainer=none", "tracker=none"],
            "trainer=smoke tracker=none": [*run, "trainer=smoke", "tracker=none"],
            "trainer=smoke": [*run, "trainer=smoke", f"tracker.uri={store}"],
        }
        print("creating the MLflow store:", f"{wall(ways['trainer=smoke']):.1f} s for the first run of all")
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, command in ways.items():
                seconds[name].append(wall(command))
        print("\nwhole process, s (median)")
        for name, values in seconds.items():
            print(f"  {name:32}{statistics.median(values):8.2f}")
        print("\ninside a process that has imported everything, s")
        for name, value in inside(store, folder).items():
            print(f"  {name:32}{value:8.2f}")


if __name__ == "__main__":
    main()
