"""Learning curves: loss on train and val, and RMSE on val beside "tomorrow = today"."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from forecast.evaluate import chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Epoch = Mapping[str, float | None]
Curve = dict[float, float]  # epoch -> figure


def draw(history: Sequence[Epoch], metrics: Epoch) -> Figure:
    """Two charts side by side; figures that an epoch lacks are left out.

    Args:
        history: one mapping an epoch with epoch, train_loss, val_loss, val_rmse (price units).
        metrics: of the run; val_naive_rmse is drawn beside val_rmse, and best_epoch is marked.
    """
    curves = {name: _curve(history, name) for name in ("train_loss", "val_loss", "val_rmse")}
    if not any(curves.values()):
        return chart.empty("no epochs were trained")
    drawn = chart.figure(3.6)
    left, right = drawn.subplots(1, 2)
    _loss(left, curves["train_loss"], curves["val_loss"])
    _rmse(right, curves["val_rmse"], metrics)
    return drawn


def _loss(axes: Axes, train: Curve, validation: Curve) -> None:
    from matplotlib.ticker import MaxNLocator

    _line(axes, train, "train", chart.MUTED)
    _line(axes, validation, "val", chart.MODEL)
    losses = [*train.values(), *validation.values()]
    if losses and min(losses) > 0 and max(losses) > 20 * min(losses):
        axes.set_yscale("log")
    chart.dress(axes, title="Loss", x="epoch")
    chart.legend(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))


def _rmse(axes: Axes, curve: Curve, metrics: Epoch) -> None:
    from matplotlib.ticker import MaxNLocator

    _line(axes, curve, "model", chart.MODEL)
    kept, naive = metrics.get("best_epoch"), metrics.get("val_naive_rmse")
    levels = [*curve.values(), *([] if naive is None else [naive])]
    if kept in curve:
        axes.plot(kept, curve[kept], "o", color=chart.MODEL, markersize=9, fillstyle="none")
        axes.annotate(
            f"epoch {kept:.0f}, kept",
            (kept, curve[kept]),
            xytext=(0, -18 if 2 * curve[kept] > min(levels) + max(levels) else 10),  # inwards
            textcoords="offset points",
            ha="right" if 2 * kept > min(curve) + max(curve) else "left",
            fontsize=8.5,
            color=chart.MODEL,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0},  # over the curve
        )
    if naive is not None:
        axes.axhline(naive, color=chart.NAIVE, linestyle="--", linewidth=1.4, label="tomorrow = today")
    chart.dress(axes, title="RMSE on val", x="epoch", y="price units")
    chart.legend(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))


def _curve(history: Sequence[Epoch], name: str) -> Curve:
    curve = {}
    for place, epoch in enumerate(history):
        value, number = epoch.get(name), epoch.get("epoch")
        if value is not None and math.isfinite(value):
            curve[float(place if number is None else number)] = float(value)
    return curve


def _line(axes: Axes, curve: Curve, label: str, colour: str) -> None:
    if not curve:
        return
    dots = "o" if len(curve) <= 30 else ""  # a single epoch is a dot, many are a line
    epochs, values = list(curve), list(curve.values())
    axes.plot(epochs, values, marker=dots, markersize=3.5, color=colour, linewidth=1.6, label=label)
    if len(epochs) == 1:
        axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
