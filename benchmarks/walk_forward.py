"""What a walk-forward costs: python -m benchmarks.walk_forward

5 tickers, 20 folds, all baselines but the ARIMA family, one process; wall over the sum of the fits.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path


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


if __name__ == "__main__":
    cost()
