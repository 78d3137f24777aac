"""The four plots of a run: learning curves, forecast on test, errors, moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from forecast.evaluate import chart, plot_errors, plot_forecast, plot_learning, plot_moves
from forecast.evaluate.days import days_on_test
from forecast.files import write_whole

if TYPE_CHECKING:
    import pandas as pd


def write(
    directory: Path,
    *,
    forecasts: pd.DataFrame,
    history: Sequence[Mapping[str, float | None]],
    ticker: str,
    metrics: Mapping[str, float | None],
) -> list[Path]:
    """Draw learning_curves.png, forecast_test.png, errors.png and moves.png into a folder; their paths.

    Args:
        directory: made where it does not exist.
        forecasts: one ticker's rows of the forecast table, of any length; of several steps, step 1 is drawn.
        history: one mapping an epoch: epoch, train_loss, val_loss, val_rmse; what is missing is left out.
        ticker: its name.
        metrics: the run's; val_naive_rmse stands beside validation RMSE, best_epoch is marked.
    """
    days = days_on_test(forecasts, ticker)
    drawn = {
        "learning_curves.png": plot_learning.draw(history, metrics),
        "forecast_test.png": plot_forecast.draw(days),
        "errors.png": plot_errors.draw(days),
        "moves.png": plot_moves.draw(days),
    }
    return [write_whole(Path(directory) / name, chart.png(figure)) for name, figure in drawn.items()]
