"""RMSE ratio to "tomorrow = today" of every strategy with its defaults: python -m benchmarks.skill [SEED ...]

The embedded data, three seeds; beside them the same network on raw levels (data.anchor=none), as such projects begin.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import forecast

STRATEGIES = [
    f"{features}_{scope}"
    for scope in ("single", "multiple", "panel")
    for features in ("no_processing", "range")
]


def main() -> None:
    """Print a row a strategy."""
    seeds = sys.argv[1:] or ["0", "1", "2"]
    print(f"{'test_theil_u':32}" + "".join(f"{f'seed {seed}':>10}" for seed in seeds))
    for strategy, *keys in [[name] for name in STRATEGIES] + [["no_processing_single", "data.anchor=none"]]:
        ratios = []
        for seed in seeds:
            with tempfile.TemporaryDirectory() as folder:
                run = forecast.run(
                    f"data={strategy}", f"seed={seed}", "tracker=none", *keys, directory=Path(folder) / "run"
                )
            ratios.append(run.metrics["test_theil_u"])
        print(
            f"{' '.join([strategy, *keys]):32}" + "".join(f"{ratio:>10.4f}" for ratio in ratios), flush=True
        )


if __name__ == "__main__":
    main()
