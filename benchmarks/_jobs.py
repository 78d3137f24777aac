"""Start a sweep as a process of its own, and read what its jobs wrote down."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RUN = Path(__file__).parents[1] / "run.py"
QUIET = ("champion=none", "trainer.progress=off")


def sweep(folder: Path, *overrides: str) -> float:
    """Wall seconds of `python run.py -m OVERRIDES` in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    command = [sys.executable, str(RUN), "-m", f"hydra.sweep.dir={folder}", *QUIET, *overrides]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return time.perf_counter() - began


def jobs(folder: Path) -> list[dict[str, Any]]:
    """What became of each job of a sweep, by number."""
    return sorted(
        (json.loads(path.read_text("utf-8")) for path in folder.glob("*/job.json")),
        key=lambda job: job["number"],
    )


def grid(**axes: str) -> list[str]:
    """Overrides of a sweep that tries exactly these: `__` stands for a dot."""
    space = ", ".join(f'{key.replace("__", ".")}: "{values}"' for key, values in axes.items())
    return ["tuner=grid", f"++tuner.space={{{space}}}"]
