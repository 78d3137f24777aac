"""What the hour of day brings hourly ranges of a currency: python -m benchmarks.hours [--strength 0.5] [--seeds 3]

The same model with and without the hour of the bar that is forecast, which is known ahead, on synthetic bars of 24/5
whose volatility follows the two humps of a currency's day (`source.seasonality`). Errors are those of forecasts.parquet
on the test rows of a holdout, all seeds pooled; the first is the RMSE that the report leads with, in the target's unit.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pandas as pd

import forecast
from forecast.evaluate.scores import LOSSES
from forecast.evaluate.significance.diebold_mariano import compare

_BARS = (
    *("source=synthetic", "source.calendar=24/5", "source.num_bars=12000", "data=returns_single"),
    *("data.tickers=[EURUSD=X]", "data.interval=1h", "data.calendar_features=false", "target=range"),
    *(
        "tracker=none",
        "baselines=none",
        "intervals=none",
        "evaluation.significance=null",
        "trainer.progress=off",
    ),
)
_HOUR = ("covariates=calendar", "data.covariates.calendar.fields=[hour]")
_MODELS = ("har", "ridge", "trees")
_ERRORS = {"RMSE": "squared", "RMSE of logs": "log"}


def forecasts(*words: str) -> pd.DataFrame:
    """Test rows of a run."""
    with tempfile.TemporaryDirectory() as folder:
        table = forecast.run(*_BARS, *words, directory=Path(folder) / "run").forecasts
    return table[table["split"] == "test"].set_index("date")


def main() -> None:
    """Print a row a model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--strength", type=float, default=0.5)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"| model | {' | '.join(f'{name}, with / without' for name in _ERRORS)} | p of the first |")
    print("|---|---|---|---|")
    for model in _MODELS:
        pairs = []
        for seed in range(arguments.seeds):
            words = (f"model={model}", f"source.seasonality={arguments.strength}", f"source.seed={seed}")
            pairs.append((forecasts(*words, *_HOUR), forecasts(*words)))
        cells, gains = [], {}
        for loss in _ERRORS.values():
            means = []
            for tables in zip(*pairs, strict=True):
                table = pd.concat(tables)
                means.append(LOSSES[loss](table["actual"].to_numpy(), table["forecast"].to_numpy()))
            cells.append(f"{(means[0].mean() / means[1].mean()) ** 0.5:.3f}")
            gains[loss] = means[1] - means[0]
        print(
            f"| {model} | {' | '.join(cells)} | {compare(gains['squared'], horizon=1).record(horizon=1)['p']:.1g} |"
        )


if __name__ == "__main__":
    main()
