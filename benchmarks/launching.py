"""What handing out jobs costs the process that does: python -m benchmarks.launching [--jobs 1000] [--plain 100]

A task that returns at once, with this project's config, on two cores: processor time of the started process (all its
threads) and wall time a job, through the tuner and through Hydra's official Ray launcher, less those of a sweep of two
jobs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SEEN = os.environ | {"PYTHONPATH": str(ROOT)}  # also by the workers
APP = """
import hydra, json, time

@hydra.main(config_path={conf!r}, config_name="run", version_base="1.3")
def main(config):
    return 1.0

wall, cpu = time.perf_counter(), time.process_time()
main()
import ray
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
"""


def measure(folder: Path, *overrides: str) -> tuple[float, float]:
    """Wall and processor seconds of a sweep."""
    app = folder / "app.py"
    app.write_text(APP.format(conf=str(ROOT / "conf")))
    command = [
        sys.executable,
        str(app),
        "-m",
        f"hydra.sweep.dir={folder / str(time.time_ns())}",
        "cluster.num_cpus=2",
    ]
    done = subprocess.run(
        [*command, *overrides], cwd=folder, env=SEEN, capture_output=True, text=True, check=True
    )
    wall, cpu = json.loads(done.stdout.splitlines()[-1])
    return wall, cpu


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument(
        "--plain", type=int, default=100, help="jobs of the launcher; its cost a job is constant"
    )
    asked = parser.parse_args()
    print(f"{'ms a job':24}{'jobs':>8}{'driver cpu':>14}{'wall':>10}")
    with tempfile.TemporaryDirectory() as name:
        for way, count in (("tuner", asked.jobs), ("launcher", asked.plain)):
            tuned = way == "tuner"
            few, many = (
                measure(
                    Path(name),
                    *(
                        ["tuner=grid", f"++tuner.space={{seed: 'range(0,{n})'}}"]
                        if tuned
                        else [f"seed=range(0,{n})"]
                    ),
                )
                for n in (2, count)
            )
            wall, cpu = (
                (after - before) / (count - 2) * 1000 for before, after in zip(few, many, strict=True)
            )
            print(f"{way:24}{count:>8}{cpu:>14.1f}{wall:>10.1f}", flush=True)


if __name__ == "__main__":
    main()
