"""What the command line costs before there is a run: python benchmarks/startup.py [pairs]

Starts run.py and an empty Hydra app in turn, so that a busy machine slows both, and compares medians.
`--help`, the composed config, an unknown key and an unknown option must answer within 1.5 times the empty
app's time.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUN = Path(__file__).parents[1] / "run.py"
LIMIT = 1.5
EMPTY = """
import hydra

@hydra.main(config_path=None, version_base="1.3")
def main(config):
    pass

main()
"""
# What run.py is asked, and the same kind of question to an app that has no keys and no options.
QUESTIONS = {
    "--help": (["--help"], ["--help"]),
    "--cfg job": (["--cfg", "job"], ["--cfg", "job"]),
    "unknown key": (["model.hiden_size=64"], ["hiden_size=64"]),
    "unknown option": (["model=lsmt"], ["model=lsmt"]),
}


def seconds(script: Path, arguments: list[str], folder: str) -> float:
    """Wall time of one start."""
    began = time.perf_counter()
    subprocess.run([sys.executable, str(script), *arguments], cwd=folder, capture_output=True, check=False)
    return time.perf_counter() - began


def main(pairs: int) -> int:
    """Print the table; 1 when a ratio is above the limit."""
    slow = False
    print(f"{'question':<16}{'run.py':>9}{'empty app':>11}{'ratio':>7}   (median of {pairs} pairs, seconds)")
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.py"
        empty.write_text(EMPTY)
        for name, (ours, theirs) in QUESTIONS.items():
            times = [(seconds(RUN, ours, folder), seconds(empty, theirs, folder)) for _ in range(pairs + 1)]
            run_s, empty_s = (statistics.median(column) for column in zip(*times[1:], strict=True))
            slow |= run_s > LIMIT * empty_s
            print(f"{name:<16}{run_s:>9.2f}{empty_s:>11.2f}{run_s / empty_s:>7.2f}")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9))
