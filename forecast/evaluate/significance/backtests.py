"""Whether outcomes fall outside as often as they should, and independently: the tests of intervals and of risk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.evaluate.summary import figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[np.float64]


@dataclass(frozen=True)
class LikelihoodRatio:
    """Of each group: a statistic and its p-value by the chi-squared distribution; NaN where undefined."""

    stat: Column
    p: Column

    def record(self, place: int = 0) -> dict[str, Any]:
        """One group as JSON has it."""
        return {"stat": figure(self.stat[place]), "p": figure(self.p[place])}


def kupiec(violations: Column, rows: Column, rate: float) -> LikelihoodRatio:
    """Is the share of violations the one that was asked for (unconditional coverage)?

    Args:
        violations: (groups,).
        rows: (groups,); without any the test is undefined.
        rate: in (0, 1).

    Source: Kupiec (1995), Techniques for verifying the accuracy of risk measurement models, Journal of Derivatives 3.
    """
    hits, n = np.asarray(violations, np.float64), np.asarray(rows, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = hits / n
    stat = 2 * (_likelihood(hits, n - hits, share) - _likelihood(hits, n - hits, np.full(len(n), rate)))
    return _tested(np.where(n > 0, stat, np.nan), 1)


def christoffersen(transitions: Column) -> LikelihoodRatio:
    """Does a violation make another one on the next bar more or less likely (independence)?

    Args:
        transitions: (groups, 2, 2) how often a bar without (0) or with (1) a violation was followed by one without or
            with; where one of the two never came first, the test is undefined.

    Source: Christoffersen (1998), Evaluating interval forecasts, International Economic Review 39.
    """
    counts = np.asarray(transitions, np.float64)
    before = counts.sum(axis=2)  # (groups, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = counts[:, :, 1] / before
        together = counts[:, :, 1].sum(axis=1) / before.sum(axis=1)
    apart = sum(_likelihood(counts[:, state, 1], counts[:, state, 0], shares[:, state]) for state in (0, 1))
    alike = _likelihood(counts[:, :, 1].sum(axis=1), counts[:, :, 0].sum(axis=1), together)
    return _tested(np.where((before > 0).all(axis=1), 2 * (apart - alike), np.nan), 1)


def conditional_coverage(coverage: LikelihoodRatio, independence: LikelihoodRatio) -> LikelihoodRatio:
    """Both at once: the right share, and independent. Source: Christoffersen (1998)."""
    return _tested(coverage.stat + independence.stat, 2)


def transitions(
    violated: NDArray[np.bool_], group: NDArray[np.integer], groups: int, latest: NDArray[np.integer]
) -> Column:
    """(groups, 2, 2) how often each state was followed by each.

    Args:
        violated: (rows,) of a group side by side, oldest first.
        group: (rows,) 0 .. groups - 1.
        groups: their number.
        latest: (groups,) state of the row before a group's first, -1 where there is none; afterwards that of its last.
    """
    opens = np.append(True, group[1:] != group[:-1])[: len(group)]
    before = np.where(opens, latest[group], np.append(0, violated[:-1])[: len(group)])
    cell = (group * 4 + 2 * before + violated)[before >= 0]
    latest[group] = violated  # of several rows of a group the last one stays
    found: Column = np.bincount(cell, minlength=4 * groups).astype(np.float64).reshape(groups, 2, 2)
    return found


def _likelihood(hits: Column, misses: Column, share: Column) -> Column:
    """Log-likelihood of a binomial sample; 0 log 0 = 0."""
    from scipy.special import xlogy

    return np.asarray(xlogy(hits, share) + xlogy(misses, 1 - share))


def _tested(stat: Column, degrees: int) -> LikelihoodRatio:
    from scipy.special import chdtrc

    kept = np.where(np.isnan(stat), np.nan, np.maximum(stat, 0.0))  # rounding
    return LikelihoodRatio(kept, np.asarray(chdtrc(degrees, kept)))
