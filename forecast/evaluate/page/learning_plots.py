"""How the training went, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from forecast.evaluate.evidence import number
from forecast.evaluate.page.plot import Plot, Series

Epoch = Mapping[str, float | None]


def learning_plots(history: Sequence[Epoch], metrics: Epoch) -> list[Plot]:
    """Loss, and RMSE on val beside "tomorrow = today"; none where no epoch was trained.

    Args:
        history: one mapping an epoch: epoch, train_loss, val_loss, val_rmse (price units).
        metrics: of the run: val_naive_rmse and best_epoch are drawn too.
    """
    if not history:
        return []
    if len({entry.get("fold") for entry in history}) > 1:
        return [_by_fold(history)]
    # several fits one after the other are counted through
    epochs = [epoch_of(entry, place) for place, entry in enumerate(history)]
    ascending = all(a < b for a, b in pairwise(epochs))
    x = epochs if ascending else [float(place) for place in range(len(history))]
    best = metrics.get("best_epoch")
    marks = [(best, "kept")] if best is not None and best in x and ascending else []
    train, val, rmse = (
        [number(epoch.get(name)) for epoch in history] for name in ("train_loss", "val_loss", "val_rmse")
    )
    losses = [loss for loss in (*train, *val) if loss is not None]
    plots = []
    if losses:
        loss = Plot(
            title="Loss",
            x=x,
            x_label="epoch",
            whole=True,
            y_label="normalised units",
            y_log=min(losses) > 0 and max(losses) > 20 * min(losses),
            series=[
                Series(name="train", kind="line", role="naive", values=train),
                Series(name="val", kind="line", role="model", values=val),
            ],
            marks=marks,
        )
        plots.append(loss)
    if any(value is not None for value in rmse):
        naive = number(metrics.get("val_naive_rmse"))
        curve = Plot(
            title="RMSE on val",
            x=x,
            x_label="epoch",
            whole=True,
            y_label="price units",
            series=[Series(name="model", kind="line", role="model", values=rmse)],
            levels=[] if naive is None else [(naive, "tomorrow = today", "naive")],
            marks=marks,
        )
        plots.append(curve)
    return plots


def _by_fold(history: Sequence[Epoch]) -> Plot:
    folds = dict.fromkeys(entry.get("fold") for entry in history)
    curves: dict[float | None, dict[float, float | None]] = {
        fold: {
            epoch_of(entry, place): number(entry.get("val_loss"))
            for place, entry in enumerate(entry for entry in history if entry.get("fold") == fold)
        }
        for fold in folds
    }
    epochs = sorted({epoch for curve in curves.values() for epoch in curve})
    return Plot(
        title="Loss on val, a line a fold",
        x=epochs,
        x_label="epoch",
        whole=True,
        y_label="normalised units",
        series=[
            Series(
                name=f"fold {'?' if fold is None else f'{fold:g}'}",
                kind="line",
                role="model",
                values=[curve.get(epoch) for epoch in epochs],
            )
            for fold, curve in curves.items()
        ],
        nearest=True,
        legend=False,
    )


def epoch_of(entry: Epoch, place: int) -> float:
    """The number of an epoch, or its place where it has none."""
    number = entry.get("epoch")
    return float(place if number is None else number)
