"""A walk-forward fold by fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from forecast.evaluate.evidence import number
from forecast.evaluate.markup import grid, plain
from forecast.evaluate.metrics import SPLITS
from forecast.evaluate.page.plot import Plot, Series
from forecast.evaluate.table import ratio_text

HEADS = [
    "fold",
    "trained on",
    "tested on",
    "RMSE",
    "naive RMSE",
    "ratio",
    "direction %",
    "epochs",
    "seconds",
    "fitted",
]


def fold_parts(folds: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table and plots.

    Args:
        folds: each with fold, train, val and test ([first, last] day), refit, epochs, seconds, metrics (flat).
    """
    rows = []
    for fold in folds:
        share = _figure(fold, "test_direction")
        row = [
            str(fold.get("fold", "")),
            _days(fold.get("train")),
            _days(fold.get("test")),
            plain(_figure(fold, "test_rmse")),
            plain(_figure(fold, "test_naive_rmse")),
            ratio_text(_figure(fold, "test_theil_u")),
            "-" if share is None else f"{100 * share:.1f}",
            plain(fold.get("epochs")),
            plain(fold.get("seconds")),
            "anew" if fold.get("refit") else "no",
        ]
        rows.append(row)
    names = [f"{fold.get('fold', '')}: {_days(fold.get('test'))[:7]}" for fold in folds]
    return [
        grid([HEADS, *rows], labels=1, sortable=True),
        *(plot.html() for plot in _plots(folds, names)),
    ]


def _plots(folds: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[Plot]:
    ratios = {split: [_figure(fold, f"{split}_theil_u") for fold in folds] for split in SPLITS}
    errors = {kind: [_figure(fold, f"test_{kind}rmse") for fold in folds] for kind in ("", "naive_")}
    return [
        Plot(
            title="RMSE ratio to tomorrow = today by fold",
            names=names,
            y_label="ratio, below 1 is better",
            series=[
                Series(name="val", kind="line", role="other", values=ratios["val"]),
                Series(name="test", kind="line", role="model", values=ratios["test"]),
            ],
            levels=[(1.0, "tomorrow = today", "naive")],
        ),
        Plot(
            title="RMSE on test by fold",
            names=names,
            y_label="price units",
            y_zero=True,
            series=[
                Series(name="tomorrow = today", kind="line", role="naive", values=errors["naive_"]),
                Series(name="model", kind="line", role="model", values=errors[""]),
            ],
        ),
    ]


def _figure(fold: Mapping[str, Any], name: str) -> float | None:
    return number((fold.get("metrics") or {}).get(name))


def _days(stretch: object) -> str:
    return " to ".join(map(str, stretch)) if isinstance(stretch, list | tuple) and stretch else "-"
