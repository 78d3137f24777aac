"""Whether a forecast knows the direction: Wilson's interval, and Pesaran and Timmermann's test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.evaluate.findings import figure
from forecast.evaluate.significance.diebold_mariano import DEFINED as COMPARED
from forecast.evaluate.significance.diebold_mariano import FEW as TOO_FEW
from forecast.evaluate.significance.diebold_mariano import NONE as NO_ROWS
from forecast.evaluate.significance.diebold_mariano import compare
from forecast.evaluate.significance.hac import ratios, sums
from forecast.evaluate.significance.moves import per_group

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.significance.moves import Moves

    Column = NDArray[np.float64]
    Index = NDArray[np.int64]
    Flags = NDArray[np.bool_]

RARER = 5  # ups or downs, below which a normal approximation is a guess (Cochran's rule for expected counts)
DEFINED, NONE, FEW, PRICE, FORECAST = range(5)
REASONS: tuple[str | None, ...] = (
    None,
    "the price never moved, or the forecast never did",
    "too few origins: at least 10, and twice the horizon, are wanted",
    "the price moved in one direction on all but a few days",
    "the forecast says the same direction on all but a few days",
)


@dataclass(frozen=True)
class Directions:
    """Of each group: the share of right signs, its interval, and the test for more than chance."""

    moved: Index  # (groups,) rows whose price moved
    share: Column  # (groups,) of these, with the right sign; a forecast of no move is wrong; NaN: none moved
    low: Column  # (groups,)
    high: Column  # (groups,)
    effective: Column  # (groups,) independent observations that the rows are worth
    stat: Column  # (groups,) Pesaran and Timmermann's; NaN where undefined
    p: Column  # (groups,) one-sided: small where signs agree more often than by chance
    reason: Index  # (groups,) into REASONS, of the test

    def record(self, *, place: int = 0) -> dict[str, Any]:
        """One group as JSON has it."""
        return {
            "share": figure(self.share[place]),
            "low": figure(self.low[place]),
            "high": figure(self.high[place]),
            "moved": int(self.moved[place]),
            "effective": figure(self.effective[place]),
            "why": None if self.moved[place] else "the price never moved",
            "pt_stat": figure(self.stat[place]),
            "pt_p": figure(self.p[place]),
            "pt_why": REASONS[self.reason[place]],
        }


def directions(moves: Moves, *, step: int | None, pooled: bool, alpha: float) -> Directions:
    """Judge the directions of all rows together, or ticker by ticker.

    Rows whose price did not move are left out. The interval is Wilson's, of as many independent observations as
    give the variance that the share has when rows of one day, and of overlapping windows, are not taken for
    independent (the effective sample size of survey statistics).

    The test is Pesaran and Timmermann's of 1992 where a group is one ticker, one step ahead. Elsewhere its numerator,
    the covariance of the two signs within a ticker and step, is averaged over the rows of an origin and tested
    as a mean that overlaps in time: 1992's variance would take the tickers of a day, and windows that share bars,
    for independent. Rows that forecast no move say no direction and are left out of the test.

    Args:
        moves: of a split.
        step: 1 .. horizon, None = all.
        pooled: all tickers as one group, else a group a ticker.
        alpha: 1 - level of the interval.
    """
    rows = moves.at(step)
    horizon = moves.horizon if step is None else step
    actual, forecast = moves.actual[rows], moves.forecast[rows]
    series, origin, pair = moves.series[rows], moves.origin[rows], moves.pair[rows]
    groups = 1 if pooled else len(moves.names)
    when, whens = (origin, len(moves.origins)) if pooled else (pair, len(moves.pair_series))
    place = np.zeros(whens, np.int64) if pooled else moves.pair_series

    moved = actual != 0
    right = moved & (np.sign(actual) == np.sign(forecast))
    count = sums(moved, when, whens)
    hits = sums(right, when, whens)
    share, error = ratios(hits, count, place, groups, lags=horizon - 1)
    total = sums(count, place, groups)
    days = sums(count > 0, place, groups)
    effective = _effective(share, error, total, days / horizon)
    low, high = wilson(share, effective, alpha=alpha)

    telling = np.flatnonzero(moved & (forecast != 0))
    up, told = actual[telling] > 0, forecast[telling] > 0
    group = np.zeros(len(telling), np.int64) if pooled else series[telling]
    one_each = not pooled or len(np.unique(moves.pair_series)) <= 1
    if horizon == 1 and one_each:
        stat, reason = pesaran_timmermann(up, told, group, groups)
        from scipy.special import ndtr

        p = ndtr(-stat)
    else:
        cell = series[telling] * moves.horizon + moves.step[rows][telling] - 1
        product = _agreement(up, told, cell)
        values, present = per_group(product, when[telling], whens)
        found = compare(values, place[present], groups, horizon=horizon)
        stat, p = found.stat, found.p_better
        few = np.isin(found.reason, (TOO_FEW, NO_ROWS))
        reason = _sides(up, told, group, groups, few=few)
        # All that is left: forecasts that say both directions, but never both of one ticker and step.
        reason[(reason == DEFINED) & (found.reason != COMPARED)] = FORECAST
        stat, p = (np.where(reason == DEFINED, values, np.nan) for values in (stat, p))
    return Directions(total.astype(np.int64), share, low, high, effective, stat, p, reason)


def wilson(share: Column, count: Column, *, alpha: float) -> tuple[Column, Column]:
    """The interval of a share that holds with confidence 1 - alpha.

    Args:
        share: (groups,) 0 to 1.
        count: (groups,) independent observations, need not be whole.
        alpha: above 0, below 1.

    Source: Wilson (1927), Journal of the American Statistical Association 22.
    """
    from scipy.special import ndtri

    z = ndtri(1 - alpha / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
        half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
        # Rounding would leave the ends of "all wrong" and "all right" a little beside 0 and 1.
        low = np.where(share == 0, 0.0, np.clip(middle - half, 0.0, 1.0))
        high = np.where(share == 1, 1.0, np.clip(middle + half, 0.0, 1.0))
    return low, high


def pesaran_timmermann(up: Flags, told: Flags, group: Index, groups: int) -> tuple[Column, Index]:
    """The statistic of each group, standard normal where signs are independent, and the reasons where it is NaN.

    Args:
        up: (rows,) whether the price rose; no row without a move.
        told: (rows,) whether the forecast said so.
        group: (rows,) 0 .. groups - 1.
        groups: their number.

    Source: Pesaran and Timmermann (1992), Journal of Business and Economic Statistics 10, equations 4 to 6.
    """
    reason = _sides(up, told, group, groups, few=np.bincount(group, minlength=groups) < 2 * RARER)
    with np.errstate(divide="ignore", invalid="ignore"):
        n = np.bincount(group, minlength=groups).astype(np.float64)
        rises, calls, right = (sums(x, group, groups) / n for x in (up, told, up == told))
        chance = rises * calls + (1 - rises) * (1 - calls)
        spread = chance * (1 - chance) / n
        of_chance = (
            (2 * rises - 1) ** 2 * calls * (1 - calls) / n
            + (2 * calls - 1) ** 2 * rises * (1 - rises) / n
            + 4 * rises * calls * (1 - rises) * (1 - calls) / n**2
        )
        stat = (right - chance) / np.sqrt(spread - of_chance)
    stat[reason != DEFINED] = np.nan
    return stat, reason


def _agreement(up: Flags, told: Flags, cell: Index) -> Column:
    """(rows,) product of the two signs, each as the distance from its mean in the cell."""
    cells = int(cell.max(initial=0)) + 1
    n = np.maximum(np.bincount(cell, minlength=cells), 1)
    rises, calls = (sums(x, cell, cells) / n for x in (up, told))
    product: Column = (up - rises[cell]) * (told - calls[cell])
    return product


def _effective(share: Column, error: Column, moved: Column, days: Column) -> Column:
    with np.errstate(divide="ignore", invalid="ignore"):
        worth = share * (1 - share) / error**2
    # All right or all wrong: nothing varies that could be measured, so a day counts once.
    worth = np.where(error > 0, worth, days)
    effective: Column = np.where(moved > 0, np.clip(worth, 1.0, np.maximum(moved, 1.0)), np.nan)
    return effective


def _sides(up: Flags, told: Flags, group: Index, groups: int, *, few: Flags) -> Index:
    n, rises, calls = (sums(x, group, groups) for x in (np.ones(len(group)), up, told))
    conditions = [
        n == 0,
        few,
        np.minimum(rises, n - rises) < RARER,
        np.minimum(calls, n - calls) < RARER,
    ]
    reason: Index = np.select(conditions, [NONE, FEW, PRICE, FORECAST], DEFINED).astype(np.int64)
    return reason
