"""How much of a grid ASHA needs to find its best: python -m benchmarks.early_stopping [--epochs 50] [--seed 0]

A grid of 64 points on the embedded data, each trained to its end; then 32 trials of `tuner=asha` in the same space.
Printed are the best validation objective each found and the epochs each trained.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks._jobs import grid, jobs, sweep

SPACE = {
    "data": "choice(no_processing_single,range_single)",
    "data__seq_len": "choice(10,40)",
    "model__hidden_size": "choice(8,32)",
    "model__num_layers": "choice(1,2)",
    "trainer__learning_rate": "choice(1e-4,1e-3,3e-3,1e-2)",
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    keys = ["tracker=none", f"trainer.max_epochs={asked.epochs}", f"seed={asked.seed}"]
    whole = grid(**SPACE)
    ways = {"grid": whole, "asha": ["tuner=asha", *whole[1:], f"tuner.num_samples={asked.samples}"]}
    print(f"{'':8}{'trials':>8}{'pruned':>8}{'epochs':>8}{'wall s':>9}{'best val_rmse':>15}")
    found: dict[str, tuple[float, int]] = {}
    with tempfile.TemporaryDirectory() as name:
        for way, overrides in ways.items():
            folder = Path(name) / way  # apart: else one would take the other's finished runs for its own
            wall = sweep(folder / "sweep", *keys, *overrides)
            done = jobs(folder / "sweep")
            best = min(job["objective"] for job in done if job["status"] == "finished")
            epochs = sum(job["epochs"] for job in done)
            pruned = sum(job["status"] == "pruned" for job in done)
            found[way] = best, epochs
            print(f"{way:8}{len(done):>8}{pruned:>8}{epochs:>8}{wall:>9.1f}{best:>15.5f}", flush=True)
    (full, all_epochs), (best, epochs) = found["grid"], found["asha"]
    print(f"asha / grid: objective {best / full:.4f}, epochs {epochs / all_epochs:.2f}")


if __name__ == "__main__":
    main()
