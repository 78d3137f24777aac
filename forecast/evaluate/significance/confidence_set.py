"""Which of several forecasts may be the best: Hansen, Lunde and Nason's model confidence set, through `arch`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.evaluate.returns import loss_of, sums_by_origin
from forecast.evaluate.summary import figure

if TYPE_CHECKING:
    from forecast.evaluate.table import ForecastTable

FEWEST = 50  # origins, below which a bootstrap tells nothing
REPLICATIONS = 1000
MODEL, NAIVE = "model", "naive"


def confidence_set(table: ForecastTable, *, size: float) -> dict[str, Any]:
    """The forecasts that no test tells from the best one, on rows that all of them forecast.

    Losses are the table's main ones, the rows of an origin averaged; time is resampled in blocks.

    Args:
        table: usable rows.
        size: share of cases in which the best may be missing, in (0, 1).

    Returns:
        size, origins, block; forecaster, loss and p of each, the least loss first, and which are in the set; why: a
        reason where there is none.

    Source: Hansen, Lunde and Nason (2011), The model confidence set, Econometrica 79.
    """
    names = [MODEL, NAIVE, *(name for name, values in table.baselines.items() if np.isfinite(values).all())]
    record: dict[str, Any] = {"size": size, "origins": 0, "why": None}
    sums = sums_by_origin(table, {name: partial(loss_of, name=name) for name in names})
    losses = np.stack([sums.means(name, None) for name in names], axis=1)  # (origins, forecasters)
    record["origins"] = len(losses)
    distinct, same_as = _distinct(losses)
    if len(losses) < FEWEST:
        return record | {"why": f"too few origins: at least {FEWEST} are wanted"}
    if not np.isfinite(losses).all():
        return record | {"why": "losses too large"}
    if len(distinct) < 2:
        return record | {"why": "all forecasts err alike"}
    from arch.bootstrap import MCS

    # Blocks at least as long as neighbouring origins share bars.
    block = max(table.overlap(), int(np.ceil(len(losses) ** (1 / 3))))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = MCS(losses[:, distinct], size=size, reps=REPLICATIONS, block_size=block, method="max", seed=0)
        found.compute()
    by_place = found.pvalues["Pvalue"].to_dict()
    p = np.asarray([by_place[place] for place in same_as])
    mean = losses.mean(axis=0)
    order = np.argsort(mean, kind="stable")
    return record | {
        "block": block,
        "forecasters": {
            "forecaster": [names[place] for place in order],
            "loss": [figure(mean[place]) for place in order],
            "p": [figure(p[place]) for place in order],
            "in_set": [bool(p[place] > size) for place in order],
        },
    }


def line_of(record: dict[str, Any]) -> str:
    """The set in one sentence."""
    if record.get("why"):
        return f"model confidence set: none, {record['why']}"
    columns = record["forecasters"]
    names = [name for name, inside in zip(columns["forecaster"], columns["in_set"], strict=True) if inside]
    kept = "holds the model, and" if MODEL in names else "does not hold the model, but"
    others = [name for name in names if name != MODEL]
    beside = (
        f"{len(others) or 'none'} of {len(columns['p']) - 1} others" + ": " * bool(others) + ", ".join(others)
    )
    return f"{100 * (1 - record['size']):g} % model confidence set: {kept} {beside}"


def _distinct(losses: Any) -> tuple[list[int], list[int]]:
    """Columns of which none is the same as an earlier one, and for each column its place among them: two forecasts
    that err alike on every bar would have no variance."""
    kept: list[int] = []
    same_as = []
    for number, column in enumerate(losses.T):
        twins = [
            n for n, other in enumerate(kept) if np.allclose(column, losses[:, other], rtol=1e-9, atol=0.0)
        ]
        if not twins:
            twins = [len(kept)]
            kept.append(number)
        same_as.append(twins[0])
    return kept, same_as
