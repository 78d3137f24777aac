"""Rows of a split as returns, the unit in which tickers can be pooled, and sums of them by origin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.evaluate.scores import LOSSES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.table import ForecastTable

    Column = NDArray[np.float64]
    Index = NDArray[np.integer[Any]]
    # Some rows of a block and their values; None: of all rows.
    Selected = tuple[Column, NDArray[np.bool_] | None]

# Values carry 16 digits: returns that differ by less differ by rounding alone.
_ROUNDING = 1e-14


@dataclass(frozen=True)
class Returns:
    """Columns of a block of rows as moves from the naive forecast.

    Of a price they are shares of it, of a target that is compared in logs differences of logs, else differences.
    """

    table: ForecastTable

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def actual(self) -> Column:
        """(rows,) (actual - naive) / |naive|."""
        return self._share(self.table.actual)

    @cached_property
    def forecast(self) -> Column:
        """(rows,)."""
        return self._share(self.table.forecast)

    def reference(self, name: str) -> Column:
        """(rows,) what a baseline forecasts, NaN where it forecast nothing; of `naive` no move."""
        return np.zeros(len(self)) if name == "naive" else self._share(self.table.baselines[name])

    def gain(self, name: str, *, loss: str | None = None) -> Selected:
        """Loss of a reference - loss of the forecast on the rows that have both, see loss_differential.

        Args:
            name: of the reference.
            loss: of LOSSES; None = the table's main one. Those of errors are of moves.
        """
        of_moves = ("absolute", "log" if self.table.logs else "squared")
        reference = self.reference(name)
        known = np.isfinite(reference)
        every = bool(known.all())
        loss = loss or self.table.losses[0]
        if loss in of_moves:
            columns = (self.actual, self.forecast, reference)
            actual, forecast, beside = columns if every else [column[known] for column in columns]
            gain = loss_differential(actual, forecast, beside, absolute=loss == "absolute")
        else:
            given = self.table.naive if name == "naive" else self.table.baselines[name]
            columns = (self.table.actual, self.table.forecast, given)
            actual, forecast, beside = columns if every else [column[known] for column in columns]
            gain = LOSSES[loss](actual, beside) - LOSSES[loss](actual, forecast)
        return gain, None if every else known

    def squared_error(self, name: str) -> Selected:
        """Of the moves that a reference forecasts, on the rows that it forecast."""
        moves = self.reference(name)
        known = np.isfinite(moves)
        with np.errstate(over="ignore", invalid="ignore"):
            error: Column = (self.actual - moves) ** 2
        return (error, None) if known.all() else (error[known], known)

    @cached_property
    def window(self) -> Index:
        """(rows,) number of the window within the block."""
        if self.table.horizon == 1:
            return np.arange(len(self))
        series, origin = self.table.series, self.table.origin
        opens = np.ones(len(self), dtype=bool)
        opens[1:] = (np.diff(series) != 0) | (np.diff(origin) != 0)
        return np.cumsum(opens) - 1

    @cached_property
    def window_series(self) -> Index:
        """(windows,) place of each one's ticker among the names."""
        first = np.ones(len(self), dtype=bool)
        first[1:] = np.diff(self.window) != 0
        return self.table.series[first]

    def _share(self, values: Column) -> Column:
        naive = self.table.naive
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if self.table.logs:
                return np.log(values) - np.log(naive)
            moved: Column = values - naive
            return moved / np.abs(naive) if self.table.relative else moved


def usable(table: ForecastTable) -> tuple[ForecastTable, int]:
    """The rows, in order, from which a move can be measured, and how many have none: a naive forecast of 0, no log."""
    table = table.ordered()
    if table.logs:
        kept = [(block.naive > 0) & (block.actual > 0) for block in table.blocks()]
    elif table.relative:
        kept = [block.naive != 0 for block in table.blocks()]
    else:
        return table, 0
    left_out = sum(int(len(some) - some.sum()) for some in kept)
    return (table.take(np.concatenate(kept)), left_out) if left_out else (table, 0)


def loss_differential(
    actual: Column, forecast: Column, reference: Column, *, absolute: bool = False
) -> Column:
    """Loss of the reference - loss of the forecast, (rows,): positive where the forecast errs less.

    Args:
        actual, forecast, reference: returns, (rows,).
        absolute: of absolute errors, else of squared ones.
    """
    ahead = forecast - reference
    with np.errstate(over="ignore", invalid="ignore"):
        if absolute:
            gain = np.abs(actual - reference) - np.abs(actual - forecast)
        else:
            # A product: two nearly equal squares, subtracted, would keep no digit of a small gain.
            gain = ahead * ((actual - reference) + (actual - forecast))
    gain[np.abs(ahead) < _ROUNDING] = 0.0
    differential: Column = gain
    return differential


def loss_of(returns: Returns, name: str) -> Selected:
    """The table's main loss of the model, of `naive` or of a baseline, of all rows.

    Args:
        returns: of a block.
        name: `model` is what stands in the place of the forecasts.
    """
    table, loss = returns.table, returns.table.losses[0]
    with np.errstate(over="ignore", invalid="ignore"):
        if loss == ("log" if table.logs else "squared"):
            moves = returns.forecast if name == "model" else returns.reference(name)
            return np.asarray((returns.actual - moves) ** 2), None
        given = {"model": table.forecast, "naive": table.naive, **table.baselines}
        return LOSSES[loss](table.actual, given[name]), None


@dataclass(frozen=True)
class OriginSums:
    """Sums and counts of some columns by origin and step."""

    sums: dict[str, Column]  # (positions of the calendar from the first origin to the last, horizon)
    counts: dict[str, Column]
    present: NDArray[np.bool_]  # (positions,) whether any row was forecast there

    def means(self, name: str, step: int | None) -> Column:
        """Mean of each origin that has rows: tickers of one bar, and steps of a window, count as one observation."""
        total, count = self.totals(name, step)
        return total / count

    def totals(self, name: str, step: int | None, *, everywhere: bool = False) -> tuple[Column, Column]:
        """Sum and count of each origin, in order of time.

        Args:
            name: of the column.
            step: None = all of them together.
            everywhere: of all origins of the table; else of those that have a value in this column.
        """
        picked = slice(None) if step is None else slice(step - 1, step)
        count = self.counts[name][:, picked].sum(axis=1)
        seen = self.present if everywhere else count > 0
        with np.errstate(over="ignore", invalid="ignore"):
            return self.sums[name][seen, picked].sum(axis=1), count[seen]


def sums_by_origin(table: ForecastTable, columns: Mapping[str, Callable[[Returns], Selected]]) -> OriginSums:
    """Add up columns by origin and step, a block of series at a time.

    Args:
        table: usable rows.
        columns: name -> function of a block that gives values and which rows they belong to.
    """
    first, size = origin_range(table)
    shape = (size, table.horizon)
    sums = {name: np.zeros(shape) for name in columns}
    counts = {name: np.zeros(shape) for name in columns}
    present = np.zeros(size, dtype=bool)
    for block in table.blocks():
        returns = Returns(block)
        cell = (block.origin - first) * table.horizon + (block.step - 1)
        rows = np.bincount(cell, minlength=size * table.horizon).reshape(shape)
        present |= rows.any(axis=1)
        for name, column in columns.items():
            values, known = column(returns)
            where = cell if known is None else cell[known]
            with np.errstate(over="ignore", invalid="ignore"):
                sums[name] += group_sums(values, where, sums[name].size).reshape(shape)
            counts[name] += rows if known is None else np.bincount(where, minlength=rows.size).reshape(shape)
    return OriginSums(sums, counts, present)


def origin_range(table: ForecastTable) -> tuple[int, int]:
    """The first origin, and how many positions of the calendar lie from it to the last."""
    if not len(table):
        return 0, 0
    ends = [(int(block.origin.min()), int(block.origin.max())) for block in table.blocks() if len(block)]
    first, last = min(low for low, _ in ends), max(high for _, high in ends)
    return first, last - first + 1


def origins(table: ForecastTable) -> int:
    """How many bars there are of which any ticker is forecast."""
    first, size = origin_range(table)
    seen = np.zeros(size, dtype=bool)
    for block in table.blocks():
        seen[block.origin - first] = True
    return int(seen.sum())


def group_sums(values: NDArray[Any], group: Index, groups: int) -> Column:
    """The sum of each group, (groups,); of a flag, how often it is set."""
    total: Column = np.asarray(np.bincount(group, values, minlength=groups), dtype=np.float64)
    return total


def group_means(values: Column, group: Index, groups: int) -> tuple[Column, Index]:
    """Mean of each group that has rows, and which groups these are."""
    count = np.bincount(group, minlength=groups)
    present = np.flatnonzero(count)
    return group_sums(values, group, groups)[present] / count[present], present
