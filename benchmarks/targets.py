"""What can be forecast, and by how much over HAR: python -m benchmarks.targets [ROW ...] [key=value ...]

Each experiment of a target as it is shipped, walked forward over the last 5 x 252 sessions. Rows: volatility,
volatility_week, volume, range, return; all by default. Further words are overrides, such as `source=files
source.path=my_bars data.tickers=[ACME,INIT]`. The table is Markdown, as README.md has it.

Errors are those of forecasts.parquet and baselines.parquet on the same test rows, all tickers pooled; p is the
two-sided one of Diebold and Mariano's test, the tickers of a bar counted as one.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import forecast
from forecast.evaluate.scores import LOSSES
from forecast.evaluate.significance.diebold_mariano import compare

if TYPE_CHECKING:
    from forecast.finished_runs import Run

# Row -> overrides, and the losses in which model and HAR are compared.
ROWS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "volatility": (["experiment=volatility"], ("log", "qlike")),
    "volatility_week": (["experiment=volatility", "target.span=5"], ("log", "qlike")),
    "volume": (["experiment=volume"], ("log",)),
    "range": (["experiment=range"], ("log",)),
    "return": (["target=return", "data=returns_panel", "model=ridge"], ("squared",)),
}
KEYS = ["ticker", "date", "split", "step"]
# Ratios of these are given of the root of their mean.
_ROOTS = ("log", "squared")


def main() -> None:
    """Print a row a target."""
    words = sys.argv[1:]
    names, overrides = [word for word in words if word in ROWS], [word for word in words if word not in ROWS]
    print("| target | RMSE of logs / HAR | QLIKE / HAR | naive / HAR | verdict | seconds |")
    print("|---|---|---|---|---|---|")
    for name in names or ROWS:
        keys, losses = ROWS[name]
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            run = forecast.run(
                *keys, "evaluation=walk_forward", "tracker=none", *overrides, directory=Path(folder) / "run"
            )
            cells = row(run, losses)
        print(f"| {' | '.join([name, *cells, f'{time.monotonic() - began:.0f}'])} |", flush=True)


def row(run: Run, losses: tuple[str, ...]) -> list[str]:
    """The cells of a run: model and naive beside HAR, or beside naive where no HAR belongs to the target."""
    table = test_rows(run)
    tests = run.evaluation["significance"]["against"]["naive"]
    overlap = next(iter(tests.values()))["overall"]["lags"] + 1
    reference = "har" if "har" in table else "naive"
    found = {loss: ratio(table, "forecast", reference, loss, overlap) for loss in losses}
    texts = {loss: f"{value:.4f} (p {p:.2g})" for loss, (value, p) in found.items()}
    first = texts.get("log") or f"{texts['squared']}, RMSE / naive"
    naive, _ = ratio(table, "naive", reference, losses[-1], overlap)
    return [first, texts.get("qlike", "-"), f"{naive:.3f}", run.verdict.sentence]


def test_rows(run: Run) -> pd.DataFrame:
    """Test rows of the model beside those of the baselines."""
    ours, others = run.forecasts, pd.read_parquet(run.directory / "baselines.parquet")
    others = others[others["split"] == "test"].drop(columns=["naive", "fold"])
    return ours[ours["split"] == "test"].merge(others, on=KEYS, validate="one_to_one")


def ratio(table: pd.DataFrame, name: str, reference: str, loss: str, overlap: int) -> tuple[float, float]:
    """The mean loss of a column over that of another one, and the p-value of their difference.

    Args:
        table: rows.
        name: of a column of forecasts.
        reference: of another one.
        loss: in which.
        overlap: origins one after the other whose errors share bars.
    """
    actual = table["actual"].to_numpy()
    one, other = (LOSSES[loss](actual, table[column].to_numpy()) for column in (name, reference))
    value = float(one.mean() / other.mean())
    gain = np.asarray(pd.Series(other - one).groupby(table["date"].to_numpy()).mean(), np.float64)
    p = compare(gain, horizon=overlap).record(horizon=overlap)["p"]
    return value**0.5 if loss in _ROOTS else value, float("nan") if p is None else p


if __name__ == "__main__":
    main()
