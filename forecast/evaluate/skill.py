"""How much is forecast of what can be: R2 of returns out of sample, and for panels IC, RankIC and ICIR."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.evaluate.returns import (
    OriginSums,
    Returns,
    group_sums,
    origin_range,
    sums_by_origin,
    usable,
)
from forecast.evaluate.significance.diebold_mariano import enough, means, ratios
from forecast.evaluate.summary import Summary, column, figure, prefixed
from forecast.evaluate.table import BLOCK_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from forecast.evaluate.table import ForecastTable

    Column = NDArray[np.float64]
    Index = NDArray[np.integer[Any]]

IC_CEILING = 0.10  # daily data: published information coefficients stay below
MEANS = ("historical_mean", "drift")  # baselines that forecast the mean move of the past
FEWEST = 3  # tickers an origin: two always correlate at 1 or -1
_STEADY = 1e-20  # variance / mean square, and
_ROUNDING = 1e-28  # variance, below which only the rounding of values varies
_FEW = "a correlation across tickers wants at least 3 of them"
_NO_SPREAD = "on no date do both the forecasts and the moves vary across 3 tickers or more"


def skill(table: ForecastTable, *, mean: str | None = None) -> Summary:
    """R2 of returns against no move and against the mean move, and correlations across tickers.

    Args:
        table: of a split, with the baselines' forecasts.
        mean: the baseline that forecasts the mean move of the past; None = the first of MEANS that ran.

    Source: R2, Campbell and Thompson (2008), Review of Financial Studies 21; IC and ICIR, Grinold and Kahn (1999),
    Active Portfolio Management.
    """
    table, _ = usable(table)
    mean = mean or next((name for name in MEANS if name in table.baselines), None)
    if mean not in table.baselines:
        mean = None
    references = {"r2_zero": "naive"} | ({} if mean is None else {"r2_mean": mean})
    columns = {
        f"{name} {part}": partial(function, name=reference)
        for name, reference in references.items()
        for part, function in (("gain", Returns.gain), ("error", Returns.squared_error))
    }
    sums = sums_by_origin(table, columns)
    correlated = information_coefficients(table)
    overall, *steps = (
        _figures(table, sums, references, correlated, step) for step in (None, *range(1, table.horizon + 1))
    )
    record = {
        "split": table.split,
        "units": table.units,
        "mean": mean,
        "overall": overall,
        "steps": [{"step": step, **found} for step, found in enumerate(steps, start=1)],
        "tickers": _ticker_r2(table, references),
        "lines": _lines(overall, mean, many=len(table.names) > 1),
    }
    names = (
        "r2_zero", "r2_zero_se", "r2_mean", "r2_mean_se",
        "ic", "ic_se", "icir", "rank_ic", "rank_ic_se", "rank_icir",
    )  # fmt: skip
    figures = {name: overall[name] for name in names}
    return Summary(record=record, metrics=prefixed(table.split, figures))


def information_coefficients(table: ForecastTable) -> dict[str, Column]:
    """Correlations of forecasts and outcomes across the tickers of an origin, (positions, horizon); NaN if undefined.

    Args:
        table: usable rows.

    Returns:
        `ic`: Pearson's. `rank_ic`: Spearman's.
    """
    first, size = origin_range(table)
    found = {name: np.full((size, table.horizon), np.nan) for name in ("ic", "rank_ic")}
    for start, stop, some in _by_origin(table, first, size):
        returns = Returns(some)
        groups = (stop - start) * table.horizon
        group = (some.origin.astype(np.int64) - first - start) * table.horizon + some.step - 1
        plain = correlations(returns.forecast, returns.actual, group, groups)
        ranked = correlations(
            ranks(returns.forecast, group, groups), ranks(returns.actual, group, groups), group, groups
        )
        # Ranks of equal numbers that differ by rounding vary; the numbers themselves do not.
        ranked[np.isnan(plain)] = np.nan
        found["ic"][start:stop] = plain.reshape(-1, table.horizon)
        found["rank_ic"][start:stop] = ranked.reshape(-1, table.horizon)
    return found


def _by_origin(table: ForecastTable, first: int, size: int) -> Iterator[tuple[int, int, ForecastTable]]:
    """All rows of some origins at a time."""
    if len(table) <= BLOCK_ROWS:
        yield 0, size, table
        return
    place = np.concatenate([block.origin for block in table.blocks()])
    place -= first
    ends = np.cumsum(np.bincount(place, minlength=size))
    start = 0
    while start < size:
        done = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, done + BLOCK_ROWS, side="right")), start + 1)
        yield start, stop, table.take(np.flatnonzero((place >= start) & (place < stop)))
        start = stop


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
            centred = values - (group_sums(values, group, groups) / n)[group]
            spread = group_sums(centred * centred, group, groups)
            level = group_sums(values * values, group, groups)
            spread[spread <= np.maximum(_STEADY * level, _ROUNDING * n)] = np.nan
            spreads.append(spread)
            sides.append(centred)
        found: Column = group_sums(sides[0] * sides[1], group, groups)
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


def suspicions(
    metrics: Mapping[str, float | None], *, split: str = "test", ceiling: float = IC_CEILING
) -> list[str]:
    """Information coefficients that the bars do not allow, each with its noise; part of the leak warning.

    R2 and direction have their ceilings in verdict.py.

    Args:
        metrics: flat, as metrics.json has them.
        split: whose.
        ceiling: of such bars.
    """
    found = []
    for name, label in (("ic", "IC"), ("rank_ic", "RankIC")):
        value, error = metrics.get(f"{split}_{name}"), metrics.get(f"{split}_{name}_se")
        # Without an error there are too few dates to suspect anything; an error of 0 is a perfect forecast.
        if value is not None and error is not None and value - ceiling > 2 * error:
            found.append(f"{split} {label} {value:.3f} +/- {error:.3f} (ceiling {ceiling:.2f})")
    return found


def _figures(
    table: ForecastTable,
    sums: OriginSums,
    references: Mapping[str, str],
    correlated: Mapping[str, Column],
    step: int | None,
) -> dict[str, Any]:
    horizon = table.overlap(step)
    why: dict[str, str] = {}
    figures: dict[str, Any] = {}
    for name in ("r2_zero", "r2_mean"):
        figures[name], figures[f"{name}_se"], reason = (
            _r2(sums, name, references[name], step, horizon)
            if name in references
            else (None, None, "no baseline of the mean move ran")
        )
        if reason:
            why[name] = reason
    for name, by_origin in correlated.items():
        found = _over_time(by_origin if step is None else by_origin[:, step - 1 : step], horizon)
        figures |= {f"{name}{suffix}": value for suffix, value in found.items()}
        if found[""] is None:
            why[name] = why[f"{name}ir"] = _FEW if len(table.names) < FEWEST else _NO_SPREAD
    for name, value in figures.items():
        if value is None and name not in why:
            why[name] = why.get(name.removesuffix("_se"), "too few dates, or it never varies")
    return figures | {"why": why or None}


def _r2(
    sums: OriginSums, name: str, reference: str, step: int | None, horizon: int
) -> tuple[float | None, float | None, str | None]:
    """1 - squared error of the model / of the reference, its standard error, and a reason where there is none."""
    part, count = sums.totals(f"{name} gain", step)
    whole, _ = sums.totals(f"{name} error", step)
    if not len(count):
        return None, None, "no rows"
    ratio, spread = ratios(part, whole, np.zeros(len(part), np.int64), 1, lags=horizon - 1)
    if not np.isfinite(ratio[0]):
        return None, None, "errors too large to be squared" if whole.any() else f"{reference} is never wrong"
    return figure(ratio[0]), figure(spread[0]) if enough(len(part), horizon) else None, None


def _over_time(by_origin: Column, horizon: int) -> dict[str, float | int | None]:
    """Mean over origins, its standard error, mean / standard deviation, and the number that have a value."""
    there = ~np.isnan(by_origin)
    count = there.sum(axis=1)
    values = np.where(there, by_origin, 0.0).sum(axis=1)[count > 0] / count[count > 0]
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


def _ticker_r2(table: ForecastTable, references: Mapping[str, str]) -> dict[str, Any]:
    """R2 ticker by ticker, one column a figure."""
    count = len(table.names)
    sums = {name: np.zeros((2, count)) for name in references}  # of gains, of the reference's errors
    rows = np.zeros(count)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for block in table.blocks():
            returns = Returns(block)
            rows += np.bincount(block.series, minlength=count)
            for name, reference in references.items():
                for place, part in enumerate((Returns.gain, Returns.squared_error)):
                    values, known = part(returns, reference)
                    series = block.series if known is None else block.series[known]
                    sums[name][place] += group_sums(values, series, count)
        shares = {name: column(gain / error) for name, (gain, error) in sums.items()}
    columns: dict[str, Any] = {"ticker": list(table.names)}
    columns |= {name: shares.get(name, [None] * count) for name in ("r2_zero", "r2_mean")}
    columns["why"] = [
        "no rows in this split" if not number else "the value never moved" if zero is None else None
        for number, zero in zip(rows, columns["r2_zero"], strict=True)
    ]
    return columns


def _lines(overall: dict[str, Any], mean: str | None, *, many: bool) -> list[str]:
    def noise(name: str, form: str, by: float = 1) -> str:
        error = overall[f"{name}_se"]
        return "" if error is None else f" +/- {by * error:{form}}"

    lines = []
    zero, beside = overall["r2_zero"], overall["r2_mean"]
    if zero is not None:
        line = f"R2 of returns: {100 * zero:+.2f} %{noise('r2_zero', '.2f', 100)} against no move"
        if beside is not None:
            line += f", {100 * beside:+.2f} %{noise('r2_mean', '.2f', 100)} against the mean move ({mean})"
        lines.append(line)
    if many and overall["ic"] is None:
        lines.append(f"IC: undefined, {overall['why']['ic']}")
    elif many:
        line = f"IC {overall['ic']:+.3f}{noise('ic', '.3f')}, RankIC {overall['rank_ic']:+.3f}"
        line += noise("rank_ic", ".3f")
        if overall["icir"] is not None:
            line += f", ICIR {overall['icir']:+.2f}"
        lines.append(f"{line} ({overall['ic_dates']:,} dates)")
    return lines
