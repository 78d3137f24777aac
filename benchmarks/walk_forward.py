"""What a walk-forward costs and what it is worth: python -m benchmarks.walk_forward [cost|skill]

cost: 5 tickers, 20 folds, all baselines but the ARIMA family, one process; wall over the sum of the fits.
skill: every strategy with its defaults over the last five years of the embedded data; pooled RMSE ratio to
"tomorrow = today", and the coverage of adaptive 90 % intervals, ticker by ticker.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import forecast
from benchmarks.skill import STRATEGIES


def cost() -> None:
    """Print the wall time, the sum of the fits and their ratio."""
    import pytorch_lightning  # noqa: F401

    import forecast.pipeline  # imports are no part of it

    keys = [
        "data=range_panel",
        "source=synthetic",
        "data.tickers=null",
        "source.num_tickers=5",
        "tracker=none",
    ]
    walk = ["evaluation=walk_forward", "evaluation.folds=20", "evaluation.step=63", "evaluation.val_days=252"]
    with tempfile.TemporaryDirectory() as folder:
        forecast.run(*keys, "trainer=smoke", "data.period=3y", directory=Path(folder) / "warm")
        began = time.monotonic()
        run = forecast.run(*keys, *walk, directory=Path(folder) / "run")
        wall = time.monotonic() - began
    fits = sum(fold["seconds"] for fold in run.evaluation["folds"])
    print(f"wall {wall:.1f} s, network fits {fits:.1f} s, ratio {wall / fits:.3f}")


def skill() -> None:
    """Print a row a strategy."""
    for strategy in STRATEGIES:
        with tempfile.TemporaryDirectory() as folder:
            run = forecast.run(
                f"data={strategy}",
                "evaluation=walk_forward",
                "intervals=adaptive",
                "tracker=none",
                directory=Path(folder) / "run",
            )
            table = run.forecasts.query("split == 'test'")
        inside = (table["lower"] <= table["actual"]) & (table["actual"] <= table["upper"])
        covered = ", ".join(
            f"{ticker} {100 * share:.1f} %"
            for ticker, share in inside.groupby(table["ticker"]).mean().items()
        )
        print(f"{strategy:24} ratio {run.metrics['test_theil_u']:.4f}; covered: {covered}", flush=True)


if __name__ == "__main__":
    for name in sys.argv[1:] or ["cost", "skill"]:
        {"cost": cost, "skill": skill}[name]()
