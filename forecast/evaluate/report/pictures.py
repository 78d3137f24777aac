"""The files of plots/: the plots of a run, arranged for paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.evaluate.report.plot import MAX_POINTS, Picture, Words
from forecast.evaluate.report.png import png
from forecast.evaluate.report.run_plots import (
    Epoch,
    column,
    error_plots,
    first_step,
    forecast_plot,
    interval_levels,
    learning_plots,
    moves_plot,
    sizes_plot,
    subject,
)
from forecast.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

ZOOM = 120  # bars of the close-up, in which the lag of a copy can be seen by eye


def write_plots(
    directory: Path,
    *,
    forecasts: pd.DataFrame,
    history: Sequence[Epoch],
    ticker: str,
    metrics: Epoch,
    evaluation: Mapping[str, Any] | None = None,
    health: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Draw learning_curves.png, forecast_test.png, errors.png and moves.png into a folder; their paths.

    Args:
        directory: made where it does not exist.
        forecasts: one ticker's rows of the forecast table, of any length; of several steps, step 1 is drawn.
        history: one mapping an epoch: epoch, train_loss, val_loss, val_rmse and, of several folds, fold.
        ticker: its name.
        metrics: the run's; val_naive_rmse stands beside validation RMSE, best_epoch is marked.
        evaluation: the content of evaluation.json, which names the levels of the intervals.
        health: the content of data.json, which names what was forecast.
    """
    drawn = pictures(
        forecasts,
        history,
        ticker=ticker,
        metrics=metrics,
        levels=interval_levels((evaluation or {}).get("intervals")),
        words=Words.of(health or {}),
    )
    return [write_whole(Path(directory) / f"{name}.png", png(picture)) for name, picture in drawn.items()]


def pictures(
    forecasts: pd.DataFrame,
    history: Sequence[Epoch],
    *,
    ticker: str,
    metrics: Epoch,
    levels: Sequence[float],
    words: Words,
) -> dict[str, Picture]:
    """The PNG files of a run by name; see `write_plots`. Of a long test split, evenly spaced rows."""
    last_fold = history[-1].get("fold") if history else None
    fold = [epoch for epoch in history if epoch.get("fold") == last_fold]
    if len(fold) < len(history):  # metrics have the naive error of all folds together
        metrics = {**metrics, "val_naive_rmse": fold[-1].get("val_naive_rmse")}
    learning = learning_plots(fold, metrics, words=words)
    trained = Picture([learning]) if learning else Picture([], "no epochs were trained")
    rows = first_step(forecasts)
    name = subject(ticker, forecasts)
    if not len(rows):
        empty = Picture([], f"{name}: no test rows")
        return {"learning_curves": trained, "forecast_test": empty, "errors": empty, "moves": empty}
    stride = max(-(-len(rows) // MAX_POINTS), 1)
    shown = slice((len(rows) - 1) % stride, None, stride)  # the newest among them
    newest = rows.tail(ZOOM)
    whole = forecast_plot(rows.iloc[shown], name, levels=levels, words=words)
    whole = replace(whole, title=f"{name}: the test split, {words.bars(len(rows))}")
    close = forecast_plot(newest, name, levels=levels, words=words)
    close = replace(close, title=f"Its last {words.bars(len(newest))}")
    rolling, saved = error_plots(rows, name, shown, words=words)
    rolling = replace(rolling, title=rolling.title.removeprefix(f"{name}: "))
    saved = replace(saved, title="S" + saved.title.removeprefix(f"{name}: s"), legend=False)
    scatter = moves_plot(rows.iloc[shown], rows, name, words=words)
    dots, means = scatter.series
    every = replace(scatter, series=[dots], title="Both axes alike", square=True)
    along = [x for x in scatter.positions if x is not None]
    same = len(along) > 1 and min(along) == max(along)
    groups = replace(
        scatter,
        series=[replace(means, role="model")],
        title="The forecast move is always the same" if same else f"{means.name.capitalize()}, ± one s.e.",
        y_label=f"mean {scatter.y_label}",
        legend=False,
    )
    return {
        "learning_curves": trained,
        "forecast_test": Picture([[whole], [close]]),
        "errors": Picture([[sizes_plot(rows, name, words=words)], [rolling], [saved]]),
        "moves": Picture([[every, groups]], f"{name}: {_right_signs(rows, words)}"),
    }


def _right_signs(rows: pd.DataFrame, words: Words) -> str:
    """Share of right signs of move, with its standard error, where the value moved."""
    actual, forecast, naive = (column(rows, key) for key in ("actual", "forecast", "naive"))
    moved = actual != naive
    count = int(moved.sum())
    if not count:
        return f"the {words.target} never moved on test"
    share = float(((actual > naive) == (forecast > naive))[moved & (forecast != naive)].sum()) / count
    error = (share * (1 - share) / count) ** 0.5
    return f"right sign on {100 * share:.1f} +/- {100 * error:.1f} % of test {words.bar}s"
