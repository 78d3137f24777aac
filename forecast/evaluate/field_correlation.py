"""How forecasts and outcomes agree across the tickers of one date: information coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forecast.evaluate.findings import figure
from forecast.evaluate.significance.hac import enough, means, sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.significance.moves import Moves

    Column = NDArray[np.float64]
    Index = NDArray[np.int64]

FEWEST = 3  # tickers a date: two always correlate at 1 or -1
_STEADY = 1e-20  # variance / mean square, and
_ROUNDING = 1e-28  # variance, below which only the rounding of prices varies


def correlations(left: Column, right: Column, group: Index, groups: int) -> Column:
    """Pearson's correlation within each group, NaN where it is undefined.

    Args:
        left, right: (rows,).
        group: (rows,) 0 .. groups - 1.
        groups: their number.
    """
    n = np.bincount(group, minlength=groups)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        spreads, sides = [], []
        for values in (left, right):
            centred = values - (sums(values, group, groups) / n)[group]
            spread = sums(centred * centred, group, groups)
            level = sums(values * values, group, groups)
            spread[spread <= np.maximum(_STEADY * level, _ROUNDING * n)] = np.nan
            spreads.append(spread)
            sides.append(centred)
        found: Column = sums(sides[0] * sides[1], group, groups)
        found = found / np.sqrt(spreads[0] * spreads[1])
    found[n < FEWEST] = np.nan
    return np.clip(found, -1.0, 1.0)


def ranks(values: Column, group: Index, groups: int) -> Column:
    """Rank within the group from 0, equal values sharing the mean of their ranks.

    Args:
        values: (rows,).
        group: (rows,) 0 .. groups - 1.
        groups: their number.
    """
    if not len(values):
        return np.empty(0)
    # By value, then by (group, place in that order) as one integer: far quicker than a sort by two keys.
    by_value = np.argsort(values)
    key = group[by_value] * len(values) + np.arange(len(values))
    key.sort()
    order = by_value[key % len(values)]
    group_then, then = group[order], values[order]
    opens = np.ones(len(order), dtype=bool)
    opens[1:] = (np.diff(group_then) != 0) | (then[1:] != then[:-1])
    starts = np.flatnonzero(opens)
    middles = starts + (np.diff(np.append(starts, len(order))) - 1) / 2
    before = np.cumsum(np.bincount(group, minlength=groups)) - np.bincount(group, minlength=groups)
    found = np.empty(len(order))
    found[order] = middles[np.cumsum(opens) - 1] - before[group_then]
    return found


def by_date(moves: Moves) -> dict[str, Column]:
    """Correlations by origin date and step, (origins, horizon); NaN where undefined."""
    groups = len(moves.origins) * moves.horizon
    group = moves.origin * moves.horizon + moves.step - 1
    shape = (len(moves.origins), moves.horizon)
    plain = correlations(moves.forecast, moves.actual, group, groups)
    told, came = ranks(moves.forecast, group, groups), ranks(moves.actual, group, groups)
    ranked = correlations(told, came, group, groups)
    # Ranks of equal numbers that differ by rounding vary; the numbers themselves do not.
    ranked[np.isnan(plain)] = np.nan
    return {"ic": plain.reshape(shape), "rank_ic": ranked.reshape(shape)}


def summary(dates: Column, horizon: int) -> dict[str, float | int | None]:
    """Mean over dates, its standard error, mean / standard deviation, and the number of dates that have a value."""
    there = ~np.isnan(dates)
    count = there.sum(axis=1)
    values = np.where(there, dates, 0.0).sum(axis=1)[count > 0] / count[count > 0]
    if not len(values):
        return {"": None, "_se": None, "ir": None, "_dates": 0}
    found = means(values, np.zeros(len(values), np.int64), 1, lags=horizon - 1)
    deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return {
        "": figure(found.mean[0]),
        "_se": figure(np.sqrt(found.variance[0])) if enough(len(values), horizon) else None,
        "ir": figure(found.mean[0] / deviation) if deviation > 1e-10 else None,
        "_dates": len(values),
    }
