"""Whether a forecast knows the direction: Wilson's interval, and Pesaran and Timmermann's test."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.evaluate.returns import Returns, group_means, group_sums, sums_by_origin
from forecast.evaluate.significance.diebold_mariano import (
    DEFINED as COMPARED,
    FEW as TOO_FEW,
    NONE as NO_ROWS,
    compare,
    ratios,
)
from forecast.evaluate.summary import figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.returns import Selected
    from forecast.evaluate.table import ForecastTable

    Column = NDArray[np.float64]
    Index = NDArray[np.integer[Any]]
    Flags = NDArray[np.bool_]

RARER = 5  # ups or downs, below which a normal approximation is a guess (Cochran's rule for expected counts)
DEFINED, NONE, FEW, PRICE, FORECAST = range(5)
REASONS: tuple[str | None, ...] = (
    None,
    "the value never moved, or the forecast never did",
    "too few origins: at least 10, and twice the horizon, are wanted",
    "the value moved in one direction on all but a few bars",
    "the forecast says the same direction on all but a few bars",
)

NO_MOVE = ("the value never moved", "the forecast never moves")  # without and with moves of the value


@dataclass(frozen=True)
class Directions:
    """Of each group: the share of right signs, its interval, and the test for more than chance."""

    moved: Index  # (groups,) rows whose value moved
    share: Column  # (groups,) of these, right sign; a forecast of no move is wrong; NaN: none moved, or forecast to
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
            "why": None if np.isfinite(self.share[place]) else NO_MOVE[bool(self.moved[place])],
            "pt_stat": figure(self.stat[place]),
            "pt_p": figure(self.p[place]),
            "pt_why": REASONS[self.reason[place]],
        }


# Rows that did not move are left out. The interval is Wilson's, of as many independent observations as give the
# variance that the share has when rows of one origin, and of overlapping windows, are not taken for independent (the
# effective sample size of survey statistics).
#
# The test is Pesaran and Timmermann's of 1992 where a group is one ticker, one step ahead. Elsewhere its numerator, the
# covariance of the two signs within a ticker and step, is averaged over the rows of an origin and tested as a mean that
# overlaps in time: 1992's variance would take the tickers of one origin, and windows that share bars, for independent.
# Rows that forecast no move say no direction and are left out of the test.


def pooled_directions(table: ForecastTable, *, alpha: float) -> list[Directions]:
    """All tickers as one group: of all steps together, and then of each step.

    Args:
        table: usable rows.
        alpha: 1 - level of the interval.
    """
    sums = sums_by_origin(table, {"right": _right, "agree": _agreement, "up": _up, "said": _said})
    one_ticker = sum(len(np.unique(block.series)) for block in table.blocks()) <= 1
    found = []
    for step in (None, *range(1, table.horizon + 1)):
        horizon = table.overlap(step)
        hits, count = sums.totals("right", step, everywhere=True)
        one = np.zeros(len(hits), np.int64)
        share, error = ratios(hits, count, one, 1, lags=horizon - 1)
        total = np.asarray([count.sum()])
        effective = _effective(share, error, total, np.asarray([(count > 0).sum() / horizon]))
        rises, said = sums.totals("up", step), sums.totals("said", step)
        share[said[1].sum() == 0] = np.nan
        low, high = wilson(share, effective, alpha=alpha)
        count_all, ups, calls = (np.asarray([value.sum()]) for value in (said[1], rises[0], said[0]))
        if table.overlap() == 1 and one_ticker:
            up, called = _signs(Returns(table))
            stat, p, reason = _by_signs(up, called, np.zeros(len(up), np.int64), 1)
        else:
            agreed = compare(sums.means("agree", step), horizon=horizon)
            stat, p, reason = _by_agreement(agreed, (count_all, ups, calls))
        found.append(Directions(total.astype(np.int64), share, low, high, effective, stat, p, reason))
    return found


def ticker_directions(table: ForecastTable, *, alpha: float) -> Directions:
    """The direction test of each ticker, all steps together.

    Args:
        table: usable rows.
        alpha: 1 - level of the interval.
    """
    whole = _of_tickers(table.take(slice(0, 0)), alpha=alpha)
    for block in table.blocks():
        some, mine = _of_tickers(block, alpha=alpha), np.unique(block.series)
        for item in fields(Directions):
            getattr(whole, item.name)[mine] = getattr(some, item.name)[mine]
    return whole


def _of_tickers(block: ForecastTable, *, alpha: float) -> Directions:
    returns, groups, horizon = Returns(block), len(block.names), block.overlap()
    series, windows = returns.window_series, len(returns.window_series)
    hits, known = _right(returns)
    window = returns.window[known]
    count, right = np.bincount(window, minlength=windows), group_sums(hits, window, windows)
    share, error = ratios(right, count.astype(np.float64), series, groups, lags=horizon - 1)
    total = group_sums(count, series, groups)
    effective = _effective(share, error, total, group_sums(count > 0, series, groups) / horizon)
    up, called = _signs(returns)
    telling = _telling(returns)
    group = np.asarray(block.series)[telling]
    share[np.bincount(group, minlength=groups) == 0] = np.nan
    low, high = wilson(share, effective, alpha=alpha)
    if horizon == 1:
        stat, p, reason = _by_signs(up, called, group, groups)
    else:
        product, _ = _agreement(returns)
        values, present = group_means(product, returns.window[telling], windows)
        agreed = compare(values, series[present], groups, horizon=horizon)
        counts = (
            group_sums(np.ones(len(group)), group, groups),
            group_sums(up, group, groups),
            group_sums(called, group, groups),
        )
        stat, p, reason = _by_agreement(agreed, counts)
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


def pesaran_timmermann(up: Flags, called: Flags, group: Index, groups: int) -> tuple[Column, Index]:
    """The statistic of each group, standard normal where signs are independent, and the reasons where it is NaN.

    Args:
        up: (rows,) whether the value rose; no row without a move.
        called: (rows,) whether the forecast says it rises.
        group: (rows,) 0 .. groups - 1.
        groups: their number.

    Source: Pesaran and Timmermann (1992), Journal of Business and Economic Statistics 10, equations 4 to 6.
    """
    count = np.bincount(group, minlength=groups)
    ups, calls = group_sums(up, group, groups), group_sums(called, group, groups)
    reason = _sides(count, ups, calls, few=count < 2 * RARER)
    with np.errstate(divide="ignore", invalid="ignore"):
        n = count.astype(np.float64)
        rises, said, right = ups / n, calls / n, group_sums(up == called, group, groups) / n
        chance = rises * said + (1 - rises) * (1 - said)
        spread = chance * (1 - chance) / n
        of_chance = (
            (2 * rises - 1) ** 2 * said * (1 - said) / n
            + (2 * said - 1) ** 2 * rises * (1 - rises) / n
            + 4 * rises * said * (1 - rises) * (1 - said) / n**2
        )
        stat = (right - chance) / np.sqrt(spread - of_chance)
    stat[reason != DEFINED] = np.nan
    return stat, reason


def _by_signs(up: Flags, called: Flags, group: Index, groups: int) -> tuple[Column, Column, Index]:
    from scipy.special import ndtr

    stat, reason = pesaran_timmermann(up, called, group, groups)
    return stat, ndtr(-stat), reason


def _by_agreement(agreed: Any, counts: tuple[Column, Column, Column]) -> tuple[Column, Column, Index]:
    reason = _sides(*counts, few=np.isin(agreed.reason, (TOO_FEW, NO_ROWS)))
    # All that is left: forecasts that say both directions, but never both of one ticker and step.
    reason[(reason == DEFINED) & (agreed.reason != COMPARED)] = FORECAST
    stat, p = (np.where(reason == DEFINED, values, np.nan) for values in (agreed.stat, agreed.p_better))
    return stat, p, reason


def _right(returns: Returns) -> Selected:
    """Whether the sign is right, of rows that moved."""
    moved = returns.actual != 0
    right = np.sign(returns.actual[moved]) == np.sign(returns.forecast[moved])
    return right.astype(np.float64), moved


def _telling(returns: Returns) -> Flags:
    """Rows that moved and forecast a move."""
    telling: Flags = (returns.actual != 0) & (returns.forecast != 0)
    return telling


def _signs(returns: Returns) -> tuple[Flags, Flags]:
    telling = _telling(returns)
    return returns.actual[telling] > 0, returns.forecast[telling] > 0


def _up(returns: Returns) -> Selected:
    return _signs(returns)[0].astype(np.float64), _telling(returns)


def _said(returns: Returns) -> Selected:
    return _signs(returns)[1].astype(np.float64), _telling(returns)


def _agreement(returns: Returns) -> Selected:
    """Product of the two signs, each as the distance from its mean of the ticker and step."""
    telling, (up, called) = _telling(returns), _signs(returns)
    table = returns.table
    cell = np.asarray(table.series, np.int64)[telling] * table.horizon + table.step[telling] - 1
    cells = int(cell.max(initial=0)) + 1
    n = np.maximum(np.bincount(cell, minlength=cells), 1)
    rises, calls = (group_sums(x, cell, cells) / n for x in (up, called))
    return (up - rises[cell]) * (called - calls[cell]), telling


def _effective(share: Column, error: Column, moved: Column, origins: Column) -> Column:
    with np.errstate(divide="ignore", invalid="ignore"):
        worth = share * (1 - share) / error**2
    # All right or all wrong: nothing varies that could be measured, so an origin counts once.
    worth = np.where(error > 0, worth, origins)
    effective: Column = np.where(moved > 0, np.clip(worth, 1.0, np.maximum(moved, 1.0)), np.nan)
    return effective


def _sides(count: Any, rises: Column, calls: Column, *, few: Flags) -> Index:
    conditions = [
        count == 0,
        few,
        np.minimum(rises, count - rises) < RARER,
        np.minimum(calls, count - calls) < RARER,
    ]
    reason: Index = np.select(conditions, [NONE, FEW, PRICE, FORECAST], DEFINED).astype(np.int64)
    return reason
