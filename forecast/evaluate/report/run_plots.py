"""The plots of one run: forecasts, errors, moves, learning curves.

`forecast_plots` and `learning_plots` are what the page shows; pictures.py arranges the same descriptions in files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from forecast.evaluate.report.plot import MAX_POINTS, Plot, Series, Words
from forecast.evaluate.summary import number

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Column = NDArray[np.float64]

ROLLING = 60  # bars of the rolling RMSE: a quarter of days
ROLLING_COVERAGE = 125  # bars of the rolling coverage: half a year of days
GROUPS = 10  # of equally many bars
MIN_GROUP = 5  # bars a group, for a mean with a standard error

Epoch = Mapping[str, float | None]


def forecast_plots(forecasts: pd.DataFrame, *, levels: Sequence[float], words: Words) -> list[Plot]:
    """Forecasts, how the intervals held, errors over time and by size, moves; of several steps the error of each.

    Args:
        forecasts: of one ticker: ticker, date, split, step, actual, forecast, naive, and where intervals are on
            lower, upper, lower_50 ... and of a walk-forward fold. Of a long test split the newest rows are shown.
        levels: nominal coverage of the intervals, that of `lower` and `upper` first; may be empty.
        words: how to name what was forecast.
    """
    rows = first_step(forecasts)
    if not len(rows):
        return []
    ticker = str(rows["ticker"].iloc[0])
    name = subject(ticker, forecasts)
    newest = slice(-MAX_POINTS, None)
    shown = rows.iloc[newest]
    left_out = len(rows) > len(shown)
    note = f"The newest {len(shown):,} of {len(rows):,} test {words.bar}s." if left_out else ""
    plots = [replace(forecast_plot(shown, name, levels=levels, words=words), note=note)]
    if "lower" in rows.columns:
        held = coverage_plot(rows, name, newest, level=levels[0] if levels else None, words=words)
        plots.append(replace(held, note=note))
    plots += [replace(plot, note=note) for plot in error_plots(rows, name, newest, words=words)]
    plots.append(sizes_plot(rows, name, words=words))
    scatter = moves_plot(shown, shown, name, words=words)
    plots.append(replace(scatter, note=f"{scatter.note} {note}".strip()))
    test = forecasts[forecasts["split"] == "test"]
    return [*plots, steps_plot(test, ticker, words=words)] if test["step"].max() > 1 else plots


def forecast_plot(rows: pd.DataFrame, name: str, *, levels: Sequence[float] = (), words: Words) -> Plot:
    """Forecast and actual, over the intervals."""
    bands = []
    suffixes = [key.removeprefix("lower") for key in rows.columns if key.startswith("lower")]
    for place, suffix in enumerate(suffixes):
        level = f"{100 * levels[place]:g} % " if place < len(levels) else ""
        ends = {"lower": column(rows, f"lower{suffix}"), "upper": column(rows, f"upper{suffix}")}
        bands.append(Series(name=f"{level}interval", kind="band", role="model", **ends))
    lines = [
        Series(name="actual", kind="line", role="actual", values=column(rows, "actual")),
        Series(name=words.naive, kind="line", role="naive", values=column(rows, "naive")),
        Series(name="model", kind="line", role="model", values=column(rows, "forecast")),
    ]
    return Plot(
        title=f"{name}: forecast and actual on test",
        x=_days(rows),
        x_kind="date",
        y_label=words.target,
        series=[*bands, *lines],
        marks=_fold_marks(rows),
    )


def coverage_plot(rows: pd.DataFrame, name: str, shown: slice, *, level: float | None, words: Words) -> Plot:
    """Share of the outcomes that lay inside the interval, of the bars up to each one."""
    import pandas as pd

    lower, upper, actual = (column(rows, key) for key in ("lower", "upper", "actual"))
    inside = np.where(np.isnan(lower) | np.isnan(upper), np.nan, (lower <= actual) & (actual <= upper))
    window = min(ROLLING_COVERAGE, len(rows))
    share = pd.Series(inside).rolling(window).mean().to_numpy()
    return Plot(
        title=f"{name}: share of the last {words.bars(window)} inside the interval",
        x=_days(rows)[shown],
        x_kind="date",
        y_label="held, %",
        series=[Series(name="held", kind="line", role="model", values=100 * share[shown])],
        levels=[] if level is None else [(100 * level, "promised", "naive")],
        marks=_fold_marks(rows.iloc[shown]),
    )


def error_plots(rows: pd.DataFrame, name: str, shown: slice, *, words: Words) -> list[Plot]:
    """Rolling RMSE beside naive's, and the squared errors saved against it so far."""
    days = _days(rows)[shown]
    errors, naive = _errors(rows)
    window = min(ROLLING, len(rows))
    rolling = []
    for values in (naive, errors):
        sums = np.concatenate([[0.0], np.cumsum(values**2)])
        # clipped: a difference of running sums may end a hair below zero
        rmse = np.sqrt(np.clip(sums[window:] - sums[:-window], 0.0, None) / window)
        rolling.append(np.concatenate([np.full(window - 1, np.nan), rmse])[shown])
    saved = np.cumsum(naive**2 - errors**2)[shown]
    return [
        Plot(
            title=f"{name}: RMSE of the last {words.bars(window)}",
            x=days,
            x_kind="date",
            y_label=words.unit,
            series=[
                Series(name=words.naive, kind="line", role="naive", values=rolling[0]),
                Series(name="model", kind="line", role="model", values=rolling[1]),
            ],
            marks=_fold_marks(rows.iloc[shown]),
        ),
        Plot(
            title=f"{name}: squared errors saved against {words.naive}, summed; rising where the model is better",
            x=days,
            x_kind="date",
            y_label=f"{words.unit} squared",
            y_zero=True,
            series=[Series(name="saved", kind="line", role="model", values=saved)],
            levels=[(0.0, "no better", "naive")],
        ),
    ]


def sizes_plot(rows: pd.DataFrame, name: str, *, words: Words) -> Plot:
    """How many errors there are of each size."""
    errors, naive = _errors(rows)
    # A few crashes would squeeze everything into one bar: the outermost thousandths are left out.
    edge = float(np.quantile(np.abs(np.concatenate([errors, naive])), 0.995)) or 1e-9
    edges = np.linspace(-edge, edge, min(61, max(11, int(len(errors) ** 0.5) * 2 + 1)))
    counts = [np.histogram(values, bins=edges)[0].astype(np.float64) for values in (errors, naive)]
    outside = int((np.abs(errors) > edge).sum())
    return Plot(
        title=f"{name}: errors on test",
        x=(edges[1:] + edges[:-1]) / 2,
        x_label=f"actual - forecast, {words.unit}",
        y_label=f"{words.bar}s",
        y_zero=True,
        marks=[(0.0, "")],
        series=[
            Series(name="model", kind="bars", role="model", values=counts[0]),
            Series(name=words.naive, kind="bars", role="naive", values=counts[1]),
        ],
        note=f"{outside:,} larger errors of the model lie outside." if outside else "",
    )


def moves_plot(dots: pd.DataFrame, rows: pd.DataFrame, name: str, *, words: Words) -> Plot:
    """The move forecast against the realised return: bar by bar, and the means of equal groups.

    Args:
        dots: rows to show each by itself.
        rows: those the groups are made of.
        name: what is shown.
        words: how to name what was forecast.
    """
    if words.relative:
        dots, rows = dots[dots["naive"] != 0], rows[rows["naive"] != 0]
    predicted, realised = _moves(rows, words)
    parts = np.array_split(
        np.argsort(predicted, kind="stable"), max(min(GROUPS, len(predicted) // MIN_GROUP), 1)
    )
    parts = [part for part in parts if len(part) > 1]
    centre = np.array([predicted[part].mean() for part in parts])
    mean = np.array([realised[part].mean() for part in parts])
    error = np.array([realised[part].std(ddof=1) / len(part) ** 0.5 for part in parts])
    predicted, realised = _moves(dots, words)
    x = np.concatenate([predicted, centre])
    order = np.argsort(x, kind="stable")
    no_bar, no_group = np.full(len(parts), np.nan), np.full(len(predicted), np.nan)
    notes = _times(dots)
    notes += [f"mean of {words.bars(len(part))}, ± one standard error" for part in parts]
    result, unit = ("return", "%") if words.relative else ("move", words.unit)
    return Plot(
        title=f"{name}: the moves forecast against the realised {result}s",
        x=x[order],
        x_label=f"move forecast, {unit}",
        y_label=f"realised {result}, {unit}",
        series=[
            Series(
                name=f"a {words.bar}",
                kind="dots",
                role="model",
                values=np.concatenate([realised, no_bar])[order],
            ),
            Series(
                name=f"mean of {len(parts)} equal groups" if len(parts) > 1 else f"mean of all {words.bar}s",
                kind="dots",
                role="naive",
                values=np.concatenate([no_group, mean])[order],
                lower=np.concatenate([no_group, mean - error])[order],
                upper=np.concatenate([no_group, mean + error])[order],
            ),
        ],
        levels=[(0.0, "no move", "faint")],
        diagonal="perfect forecast",
        notes=[notes[place] for place in order],
        nearest=True,
        note="The dashed line is a perfect forecast; each axis has its own scale.",
    )


def steps_plot(test: pd.DataFrame, name: str, *, words: Words) -> Plot:
    """RMSE by step."""
    naive, model = (
        ((test["actual"] - test[kind]) ** 2).groupby(test["step"]).mean() ** 0.5
        for kind in ("naive", "forecast")
    )
    return Plot(
        title=f"{name}: RMSE on test by step",
        x=naive.index.to_numpy(dtype=np.float64),
        x_label=f"{words.bar}s ahead",
        whole=True,
        y_label=words.unit,
        series=[
            Series(name=words.naive, kind="line", role="naive", values=naive.to_numpy()),
            Series(name="model", kind="line", role="model", values=model.to_numpy()),
        ],
    )


def learning_plots(history: Sequence[Epoch], metrics: Epoch, *, words: Words) -> list[Plot]:
    """Loss, and RMSE on val beside naive's; of several folds a line each; none where no epoch was trained.

    Args:
        history: one mapping an epoch: epoch, train_loss, val_loss, val_rmse and, of several folds, fold.
        metrics: of the run: val_naive_rmse and best_epoch are drawn too.
        words: how to name what was forecast.
    """
    if len({entry.get("fold") for entry in history}) > 1:
        return [_fold_losses(history)]
    # several fits one after the other are counted through
    epochs = [epoch_of(entry, place) for place, entry in enumerate(history)]
    ascending = all(a < b for a, b in pairwise(epochs))
    best = metrics.get("best_epoch")
    common = Plot(
        title="Loss",
        x=epochs if ascending else [float(place) for place in range(len(history))],
        x_label="epoch",
        whole=True,
        y_label="normalised units",
        series=[],
        marks=[(best, f"epoch {best:g}, kept")] if best is not None and best in epochs and ascending else [],
    )
    train, val, rmse = (
        [number(epoch.get(name)) for epoch in history] for name in ("train_loss", "val_loss", "val_rmse")
    )
    losses = [loss for loss in (*train, *val) if loss is not None]
    plots = []
    if losses:
        log = min(losses) > 0 and max(losses) > 20 * min(losses)
        both = [
            Series(name="train", kind="line", role="naive", values=train),
            Series(name="val", kind="line", role="model", values=val),
        ]
        plots.append(replace(common, y_log=log, series=both))
    if any(value is not None for value in rmse):
        naive = number(metrics.get("val_naive_rmse"))
        plot = replace(
            common,
            title="RMSE on val",
            y_label=words.unit,
            series=[Series(name="model", kind="line", role="model", values=rmse)],
            levels=[] if naive is None else [(naive, words.naive, "naive")],
        )
        plots.append(plot)
    return plots


def _fold_losses(history: Sequence[Epoch]) -> Plot:
    curves: dict[float | None, dict[float, float | None]] = {}
    for entry in history:
        curve = curves.setdefault(entry.get("fold"), {})
        curve[epoch_of(entry, len(curve))] = number(entry.get("val_loss"))
    epochs = sorted({epoch for curve in curves.values() for epoch in curve})
    series = [
        Series(
            name=f"fold {'?' if fold is None else f'{fold:g}'}",
            kind="line",
            role="model",
            values=[curve.get(epoch) for epoch in epochs],
        )
        for fold, curve in curves.items()
    ]
    return Plot(
        title="Loss on val, a line a fold",
        x=epochs,
        x_label="epoch",
        whole=True,
        y_label="normalised units",
        series=series,
        nearest=True,
        legend=False,
    )


def interval_levels(record: object) -> list[float]:
    """Nominal coverage, that of `lower` and `upper` first, of the record of the intervals."""
    levels = record.get("levels") if isinstance(record, Mapping) else None
    return [float(level) for level in levels] if isinstance(levels, list | tuple) else []


def epoch_of(entry: Epoch, place: int) -> float:
    """The number of an epoch, or its place where it has none."""
    number = entry.get("epoch")
    return float(place if number is None else number)


def first_step(forecasts: pd.DataFrame) -> pd.DataFrame:
    """The test rows of step 1, oldest first."""
    rows = forecasts[(forecasts["split"] == "test") & (forecasts["step"] == 1)]
    return rows.sort_values("date", kind="stable")


def subject(ticker: str, forecasts: pd.DataFrame) -> str:
    """The ticker, and the step that is drawn where there are several."""
    horizon = int(forecasts["step"].max()) if len(forecasts) else 1
    return ticker + (f", step 1 of {horizon}" if horizon > 1 else "")


def column(rows: pd.DataFrame, name: str) -> Column:
    """One column of the table as floats, (rows,)."""
    values: Column = rows[name].to_numpy(dtype="float64")
    return values


def _errors(rows: pd.DataFrame) -> tuple[Column, Column]:
    """Errors of the model and of naive."""
    actual = column(rows, "actual")
    return actual - column(rows, "forecast"), actual - column(rows, "naive")


def _moves(rows: pd.DataFrame, words: Words) -> tuple[Column, Column]:
    """Moves forecast and realised moves, (rows,): in percent of the last value, or in the unit."""
    naive = column(rows, "naive")
    predicted, realised = column(rows, "forecast"), column(rows, "actual")
    return (
        (100 * (predicted / naive - 1), 100 * (realised / naive - 1))
        if words.relative
        else (predicted - naive, realised - naive)
    )


def _days(rows: pd.DataFrame) -> Column:
    """Times as days since 1970-01-01."""
    times = rows["date"].to_numpy(dtype="datetime64[ns]")
    days: Column = (times - np.datetime64(0, "ns")) / np.timedelta64(1, "D")
    return days


def _times(rows: pd.DataFrame) -> list[str]:
    """Dates, with the time of day where there is one."""
    times = rows["date"].to_numpy(dtype="datetime64[ns]")
    whole = bool((times == times.astype("datetime64[D]")).all())
    return [str(np.datetime64(time, "D" if whole else "m")).replace("T", " ") for time in times]


def _fold_marks(rows: pd.DataFrame) -> list[tuple[float, str]]:
    """The first bar of each fold, where there are several."""
    if "fold" not in rows.columns or rows["fold"].nunique() < 2:
        return []
    first = rows.drop_duplicates("fold")
    pairs = zip(_days(first), first["fold"], strict=True)
    return [(float(day), f"fold {int(fold)}") for day, fold in pairs]
