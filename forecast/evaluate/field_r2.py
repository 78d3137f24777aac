"""R2 out of sample, of relative moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.evaluate.findings import column, figure
from forecast.evaluate.significance.hac import enough, ratios, sums
from forecast.evaluate.significance.moves import saved

if TYPE_CHECKING:
    from forecast.evaluate.significance.moves import Moves


def r2(
    moves: Moves, reference: str, step: int | None, horizon: int
) -> tuple[float | None, float | None, str | None]:
    """1 - squared error of the model / of the reference, its standard error, and a reason where there is none."""
    rows = moves.at(step)
    told = moves.reference(reference)[rows]
    there = np.isfinite(told)
    if not there.any():
        return None, None, "no rows"
    actual, told, origin = moves.actual[rows][there], told[there], moves.origin[rows][there]
    with np.errstate(over="ignore", invalid="ignore"):
        error = (actual - told) ** 2
    gain = saved(actual, moves.forecast[rows][there], told)
    groups = len(moves.origins)
    days = np.flatnonzero(np.bincount(origin, minlength=groups))
    part, whole = (sums(side, origin, groups)[days] for side in (gain, error))
    ratio, spread = ratios(part, whole, np.zeros(len(days), np.int64), 1, lags=horizon - 1)
    if not np.isfinite(ratio[0]):
        reason = "errors too large to be squared" if error.any() else f"{reference} is never wrong"
        return None, None, reason
    return figure(ratio[0]), figure(spread[0]) if enough(len(days), horizon) else None, None


def ticker_columns(moves: Moves, mean: str | None) -> dict[str, Any]:
    """R2 ticker by ticker, one column a figure."""
    columns: dict[str, Any] = {"ticker": list(moves.names)}
    for name, reference in (("r2_zero", "naive"), ("r2_mean", mean)):
        if reference is None:
            columns[name] = [None] * len(moves.names)
            continue
        told = moves.reference(reference)
        there = np.isfinite(told)
        actual, series = moves.actual[there], moves.series[there]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            error = np.bincount(series, (actual - told[there]) ** 2, minlength=len(moves.names))
            gain = np.bincount(
                series, saved(actual, moves.forecast[there], told[there]), minlength=len(moves.names)
            )
            columns[name] = column(gain / error)
    rows = np.bincount(moves.series, minlength=len(moves.names))
    columns["why"] = [
        "no rows in this split" if not count else "the price never moved" if zero is None else None
        for count, zero in zip(rows, columns["r2_zero"], strict=True)
    ]
    return columns
