"""Many tests at once: what remains of a p-value when others were tried beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.evaluate.findings import figure, p_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[np.float64]


def holm(p: Column) -> Column:
    """P-values corrected so that the chance of even one false alarm among all stays below the level.

    Valid however the tests hang together. The smallest is multiplied by the number of tests, the next by one less,
    and so on, never falling below the one before.

    Args:
        p: (tests,); NaN = no test, not counted, NaN again.

    Source: Holm (1979), Scandinavian Journal of Statistics 6.
    """
    adjusted = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted


def expected_best(trials: int) -> float:
    """The largest of that many independent standard normal draws, on average: what luck alone makes of the best.

    Args:
        trials: >= 1.

    Source: Bailey and Lopez de Prado (2014), The deflated Sharpe ratio, Journal of Portfolio Management 40.
    """
    if trials <= 1:
        return 0.0
    from scipy.special import ndtri

    return float(
        (1 - np.euler_gamma) * ndtri(1 - 1 / trials) + np.euler_gamma * ndtri(1 - 1 / (trials * math.e))
    )


def after_trials(p_values: Sequence[float | None], *, chosen: int) -> dict[str, Any]:
    """What the p-value of a sweep's winner is worth, given all that was tried.

    Args:
        p_values: one a trial, of one and the same test (`val_dm_p_better`, say); None, a trial that has none, counts
            as 1: it was tried all the same.
        chosen: the winner's place.

    Returns:
        trials: their number. p, p_holm: the winner's, before and after Holm's correction. luck: the z-score that the
        best of that many trials reaches without any skill. line: all of it in one sentence. why: a reason where p is
        None.
    """
    counted = np.array([1.0 if p is None else p for p in p_values])
    p, adjusted = p_values[chosen], figure(holm(counted)[chosen])
    trials, luck = len(counted), expected_best(len(counted))
    if p is None:
        line, why = f"best of {trials:,} trials; its test is undefined", "the winner's test is undefined"
        return {"trials": trials, "p": None, "p_holm": None, "luck": luck, "line": line, "why": why}
    line = (
        f"best of {trials:,} trials: {p_text(p)}, {p_text(adjusted or 0.0)} after Holm's correction for their number; "
        f"without any skill the best of {trials:,} lies {luck:.1f} standard errors up"
    )
    return {"trials": trials, "p": p, "p_holm": adjusted, "luck": luck, "line": line, "why": None}
