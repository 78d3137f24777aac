"""The model's losses beside those of a reference: all tickers together, and one by one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.evaluate.significance.diebold_mariano import Comparison, compare
from forecast.evaluate.significance.moves import per_group, saved

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.significance.moves import Moves

# A baseline that forecast fewer of the rows than this share is not called the best.
_COVERED = 0.9


def best_baseline(moves: Moves) -> str | None:
    """The baseline besides naive with the least mean squared error on these rows: the hardest to beat in hindsight."""
    gains = {}
    for name, told in moves.baselines.items():
        there = np.isfinite(told)
        if len(moves) and there.mean() >= _COVERED:
            # Beside naive on the same rows, so that rows it did not forecast favour nobody.
            actual = moves.actual[there]
            with np.errstate(over="ignore", invalid="ignore"):
                gain = float(saved(actual, told[there], np.zeros(len(actual))).mean())
            gains[name] = gain if math.isfinite(gain) else -math.inf
    return max(gains, key=lambda name: gains[name]) if gains else None


def _differential(
    moves: Moves, reference: str, loss: str, step: int | None
) -> tuple[NDArray[np.float64], NDArray[np.int64] | slice]:
    """Loss of the reference - loss of the model, and the rows that have both."""
    rows = moves.at(step)
    told = moves.reference(reference)
    there = np.isfinite(told[rows])
    if not there.all():
        rows = np.arange(len(moves))[rows][there]
    gain = saved(moves.actual[rows], moves.forecast[rows], told[rows], absolute=loss == "absolute")
    return gain, rows


def pooled(moves: Moves, reference: str, loss: str, step: int | None) -> dict[str, Any]:
    gain, rows = _differential(moves, reference, loss, step)
    # One number an origin: tickers of a day, and the steps of a window, are no independent observations.
    values, _ = per_group(gain, moves.origin[rows], len(moves.origins))
    horizon = moves.horizon if step is None else step
    return compare(values, horizon=horizon).record(horizon=horizon)


def by_ticker(moves: Moves, reference: str, loss: str) -> Comparison:
    gain, rows = _differential(moves, reference, loss, None)
    values, present = per_group(gain, moves.pair[rows], len(moves.pair_series))
    return compare(values, moves.pair_series[present], len(moves.names), horizon=moves.horizon)
