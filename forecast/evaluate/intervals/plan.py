"""What a run's intervals are calibrated for: tickers, steps, levels, and how a residual is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from forecast.model.intervals import Pairs, Widths, bounds, quantile_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.rows import Rows


@dataclass(frozen=True)
class Plan:
    """The layout of everything that is kept a ticker and step.

    A stream is one ticker's forecasts of one step, number `series * horizon + step - 1`. Residuals are shares of the
    last Close, so that price levels do not matter. A level whose two quantiles the network answers with has scores of
    its own, max(lower quantile - actual, actual - upper quantile); all others share |actual - forecast|.

    Args:
        names: of the tickers, in the order of Rows.series.
        horizon: steps forecast at once.
        levels: to be told, those of the config first.
        shown: how many of them are the config's; the others only say how reliable the intervals are.
        quantile_levels: of the network; None when it answers with prices alone.

    Source: Vovk, Gammerman and Shafer (2005), Algorithmic Learning in a Random World; for quantiles Romano, Patterson
    and Candes (2019), Conformalized Quantile Regression, https://arxiv.org/abs/1905.03222.
    """

    names: Sequence[str]
    horizon: int
    levels: tuple[float, ...]
    shown: int
    quantile_levels: tuple[float, ...] | None

    @property
    def num_streams(self) -> int:
        """One a ticker and step."""
        return len(self.names) * self.horizon

    @cached_property
    def pairs(self) -> Pairs:
        """Of each level, see quantile_pairs."""
        return quantile_pairs(self.levels, self.quantile_levels)

    @cached_property
    def kinds(self) -> Pairs:
        """The distinct ways in which a residual is measured."""
        return tuple(dict.fromkeys(self.pairs))

    @cached_property
    def kind(self) -> NDArray[np.int64]:
        """(levels,) index into kinds."""
        return np.asarray([self.kinds.index(pair) for pair in self.pairs], dtype=np.int64)

    def streams(self, rows: Rows) -> NDArray[np.int64]:
        """(rows,) number of the stream each row belongs to."""
        return np.asarray(rows.series * self.horizon + rows.step - 1, dtype=np.int64)

    def scores(self, rows: Rows, quantiles: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """(kinds, rows) how far the outcome lay outside, as a share of the last Close; not finite where that is 0."""
        found = np.empty((len(self.kinds), len(rows)))
        with np.errstate(divide="ignore", invalid="ignore"):
            for number, pair in enumerate(self.kinds):
                if pair is None:
                    distance = np.abs(rows.actual - rows.forecast)
                else:
                    assert quantiles is not None, "a quantile network's rows without its quantiles"
                    low, high = quantiles[:, pair[0]], quantiles[:, pair[1]]
                    distance = np.maximum(low - rows.actual, rows.actual - high)
                found[number] = distance / np.abs(rows.naive)
        return found

    def bounds(
        self, widths: NDArray[np.float64], rows: Rows, quantiles: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        """(shown, 2, rows) lower and upper prices from the (levels, rows) widths of all levels."""
        pairs = self.pairs[: self.shown]
        return bounds(widths[: self.shown], rows.forecast, rows.naive, pairs=pairs, quantiles=quantiles)

    def state(
        self, table: NDArray[np.float64], pooled: NDArray[np.float64], *, own: NDArray[np.bool_]
    ) -> Widths:
        """The shown levels as a bundle keeps them.

        Args:
            table: (levels, streams) widths.
            pooled: (levels, horizon) widths.
            own: (series,) which tickers have widths of their own; the others are left to the pooled ones.
        """
        by_series = table[: self.shown].reshape(self.shown, len(self.names), self.horizon)
        return Widths(
            levels=self.levels[: self.shown],
            quantile_levels=self.quantile_levels,
            pooled=pooled[: self.shown],
            own={self.names[number]: by_series[:, number] for number in np.flatnonzero(own).tolist()},
        )


def rank(count: NDArray[np.int64], level: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which of `count` residuals, smallest first and from 1, holds a share `level` of new outcomes.

    It is ceil((count + 1) level); where that is more than there are, the largest stands for it.
    """
    # 100 * 0.9 may come out a hair above 90.
    found = np.ceil((count + 1) * level - 1e-9).astype(np.int64)
    return np.clip(found, 1, np.maximum(count, 1))
