"""Rows of a split as relative moves, in the order that the tests want."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forecast.evaluate.significance.hac import sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.rows import Rows

    Column = NDArray[np.float64]
    Index = NDArray[np.int64]

# Prices carry 16 digits: moves that differ by less differ by rounding alone.
_ROUNDING = 1e-14


@dataclass(frozen=True)
class Moves:
    """Moves from the last close, as a share of it: the units in which tickers can be pooled.

    Series by series, oldest origin first, steps side by side. Rows whose last close is 0 are left out.
    """

    names: Sequence[str]
    horizon: int
    left_out: int  # rows whose last close is 0
    origins: NDArray[np.int32]  # (origins,) days since 1970-01-01, ascending
    pair_series: Index  # (pairs,) whose window it is
    series: Index  # (rows,) index into names
    origin: Index  # (rows,) index into origins
    pair: Index  # (rows,) the window, index into pair_series
    step: NDArray[np.int32]  # (rows,) 1 .. horizon
    actual: Column  # (rows,) (price that came - last close) / last close
    forecast: Column  # (rows,)
    baselines: Mapping[str, Column]  # (rows,) each; NaN where a baseline gave no forecast

    @classmethod
    def of(cls, rows: Rows, *, names: Sequence[str], baselines: Mapping[str, Column] | None = None) -> Moves:
        """Order the rows and divide by the last close.

        A step of a window that stands there twice, as where the validation days of folds overlap, counts once, as it
        was forecast last.

        Args:
            rows: of one split, in any order.
            names: tickers, in the order that rows.series counts.
            baselines: name -> (rows,) prices forecast, NaN where there are none; `naive` is left out, being
                in the rows already.
        """
        priced = rows.naive != 0
        order: Index | slice = slice(None) if priced.all() else np.flatnonzero(priced)
        if not _in_order(rows.series[order], rows.origin[order], rows.step[order]):
            kept = np.flatnonzero(priced)
            order = kept[np.lexsort((rows.step[kept], rows.origin[kept], rows.series[kept]))]
            keys = (rows.series[order], rows.origin[order], rows.step[order])
            again = np.logical_and.reduce([key[1:] == key[:-1] for key in keys])
            order = order[np.append(~again, True)] if len(order) else order
        series, day, step = rows.series[order].astype(np.int64), rows.origin[order], rows.step[order]
        opens = np.ones(len(series), dtype=bool)  # whether a row begins a window
        opens[1:] = (np.diff(series) != 0) | (np.diff(day) != 0)
        naive = rows.naive[order]
        size = np.abs(naive)

        def move(prices: Column) -> Column:
            with np.errstate(over="ignore"):
                told: Column = (prices[order] - naive) / size
            return told

        origins, origin = _numbered(day)
        return cls(
            names=list(names),
            horizon=int(step.max(initial=1)),
            left_out=int(len(priced) - priced.sum()),
            origins=origins,
            pair_series=series[opens],
            series=series,
            origin=origin,
            pair=np.cumsum(opens) - 1,
            step=step,
            actual=move(rows.actual),
            forecast=move(rows.forecast),
            baselines={name: move(told) for name, told in (baselines or {}).items() if name != "naive"},
        )

    def __len__(self) -> int:
        return len(self.actual)

    def at(self, step: int | None) -> Index | slice:
        """The rows of a step, None = of all steps."""
        return slice(None) if step is None or self.horizon == 1 else np.flatnonzero(self.step == step)

    def reference(self, name: str) -> Column:
        """The moves that a baseline says, or `naive`: none."""
        return np.zeros(len(self)) if name == "naive" else self.baselines[name]


def saved(actual: Column, forecast: Column, reference: Column, *, absolute: bool = False) -> Column:
    """Loss of the reference - loss of the forecast, (rows,): positive where the forecast errs less.

    Args:
        actual, forecast, reference: moves, (rows,).
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
    told: Column = gain
    return told


def per_group(values: Column, group: Index, groups: int) -> tuple[Column, Index]:
    """Mean of each group that has rows, and which groups these are."""
    count = np.bincount(group, minlength=groups)
    present = np.flatnonzero(count)
    return sums(values, group, groups)[present] / count[present], present


def _in_order(series: Index, day: NDArray[np.int32], step: NDArray[np.int32]) -> bool:
    """Whether each row comes after the one before it, and none is there twice."""
    by_series, by_day, by_step = np.diff(series), np.diff(day), np.diff(step)
    later = (by_series > 0) | (by_series == 0) & ((by_day > 0) | (by_day == 0) & (by_step > 0))
    return bool(later.all())


def _numbered(days: NDArray[np.int32]) -> tuple[NDArray[np.int32], Index]:
    """The days there are, and each row's place among them; no sort, as days lie close together."""
    if not len(days):
        return np.empty(0, np.int32), np.empty(0, np.int64)
    first = int(days.min())
    offset = days.astype(np.int64) - first
    there = np.zeros(int(offset.max()) + 1, dtype=bool)
    there[offset] = True
    return (np.flatnonzero(there) + first).astype(np.int32), (np.cumsum(there) - 1)[offset]
