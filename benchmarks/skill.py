"""RMSE ratio to "tomorrow = today" of every strategy with its defaults: python -m benchmarks.skill [--seeds 0 1 2]

The embedded data; beside them the same network on raw levels (data.anchor=none), as such projects begin. With
`--evaluation walk_forward` no strategy may be worse than 1.005 with any seed: nothing can be forecast there, and a
default must not lose by trying. Exits with 1 where one is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import forecast

STRATEGIES = [
    f"{features}_{scope}"
    for features in ("no_processing", "range", "returns", "technical")
    for scope in ("single", "multiple", "panel")
]
_LIMIT = 1.005


def main() -> int:
    """Print a row a strategy."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.skill", description=__doc__)
    parser.add_argument("--seeds", nargs="+", default=["0", "1", "2"])
    parser.add_argument("--evaluation", default="holdout", choices=("holdout", "walk_forward"))
    options = parser.parse_args()
    print("| strategy | " + " | ".join(f"seed {seed}" for seed in options.seeds) + " |")
    print("|---" * (1 + len(options.seeds)) + "|")
    worst = 0.0
    for strategy in STRATEGIES:
        ratios = [_ratio(f"data={strategy}", seed, options.evaluation) for seed in options.seeds]
        worst = max(worst, *ratios)
        _print_row(strategy, ratios)
    if options.evaluation == "walk_forward":
        print(f"worst {worst:.4f} (limit {_LIMIT})", file=sys.stderr)
        return 1 if worst > _LIMIT else 0
    raw = [_ratio("data.anchor=none", seed, options.evaluation) for seed in options.seeds]
    _print_row("no_processing_single data.anchor=none", raw)
    return 0


def _print_row(name: str, ratios: list[float]) -> None:
    print(f"| `{name}` | " + " | ".join(f"{ratio:.4f}" for ratio in ratios) + " |", flush=True)


def _ratio(override: str, seed: str, evaluation: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        run = forecast.run(
            override,
            f"seed={seed}",
            f"evaluation={evaluation}",
            "tracker=none",
            "baselines=none",
            directory=Path(folder) / "run",
        )
    return float(run.metrics["test_theil_u"])


if __name__ == "__main__":
    sys.exit(main())
