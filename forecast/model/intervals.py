"""From half-widths to lower and upper bounds: one rule for evaluation and serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Prices = NDArray[np.float64]

# For each level, which two of the network's quantiles its interval starts from; None: from the forecast.
Pairs = tuple[tuple[int, int] | None, ...]


def suffixes(levels: Sequence[float]) -> list[str]:
    """Of the columns and metrics of each level: nothing for the first, `_50` for a further one of 0.5."""
    return ["", *(f"_{100 * level:g}" for level in levels[1:])]


def columns(levels: Sequence[float]) -> list[str]:
    """`lower`, `upper`, `lower_50`, `upper_50` and so on."""
    return [side + suffix for suffix in suffixes(levels) for side in ("lower", "upper")]


def quantile_pairs(levels: Sequence[float], quantile_levels: Sequence[float] | None) -> Pairs:
    """Where the two quantiles that enclose each level stand among the network's; None where they do not.

    Args:
        levels: in (0, 1); 0.9 is enclosed by the quantiles 0.05 and 0.95.
        quantile_levels: the network's; None when it was not trained with the quantile loss.
    """
    known = np.asarray(quantile_levels or (), dtype=np.float64)

    def place(level: float) -> int | None:
        found = np.flatnonzero(np.isclose(known, level, rtol=0, atol=1e-9))
        return int(found[0]) if len(found) else None

    both = [(place((1 - level) / 2), place((1 + level) / 2)) for level in levels]
    return tuple(None if low is None or high is None else (low, high) for low, high in both)


def bounds(
    widths: Prices, forecast: Prices, last_close: Prices, *, pairs: Pairs, quantiles: Prices | None = None
) -> Prices:
    """Lower and upper prices.

    A lower bound is never above its upper one, and a larger level's interval holds the smaller's. Where the last
    Close is positive no bound is below 0, which no share falls below, so that this loses no coverage.

    Args:
        widths: (levels, rows) what is added on each side, as a share of the last Close.
        forecast: (rows,).
        last_close: (rows,); where it is 0 a share of it says nothing, and the bounds are NaN.
        pairs: of each level.
        quantiles: (rows, quantiles) the network's, where `pairs` names any.

    Returns:
        (levels, 2, rows)
    """
    positive = last_close > 0
    all_positive = bool(positive.all())  # nearly always
    scale = last_close if all_positive else np.where(last_close == 0, np.nan, np.abs(last_close))
    found = np.empty((len(widths), 2, len(forecast)))
    for level, pair in enumerate(pairs):
        reach = widths[level] * scale
        if pair is None:
            low = high = middle = forecast
        else:
            assert quantiles is not None
            low, high = quantiles[:, pair[0]], quantiles[:, pair[1]]
            middle = (low + high) / 2
        # A conformalised quantile interval may be narrower than none.
        np.minimum(low - reach, middle, out=found[level, 0])
        np.maximum(high + reach, middle, out=found[level, 1])
    for wider in range(len(found) - 2, -1, -1):
        np.minimum(found[wider, 0], found[wider + 1, 0], out=found[wider, 0])
        np.maximum(found[wider, 1], found[wider + 1, 1], out=found[wider, 1])
    floored = np.maximum(found, 0.0)
    return floored if all_positive else np.where(positive, floored, found)


@dataclass(frozen=True)
class IntervalState:
    """What a bundle needs to put intervals around new forecasts.

    Args:
        levels: largest first.
        quantile_levels: of the forecaster the half-widths belong to; None when it forecasts values alone.
        pooled: (levels, horizon) half-widths for a ticker the run did not have, as shares of the last Close.
        own: ticker -> (levels, horizon).
    """

    levels: tuple[float, ...]
    quantile_levels: tuple[float, ...] | None
    pooled: Prices
    own: Mapping[str, Prices]

    @cached_property
    def pairs(self) -> Pairs:
        """See quantile_pairs."""
        return quantile_pairs(self.levels, self.quantile_levels)

    @property
    def columns(self) -> list[str]:
        """Names of the bounds, level by level."""
        return columns(self.levels)

    def bounds(
        self,
        tickers: Sequence[str],
        forecast: Prices,
        last_close: Prices,
        quantiles: Prices | None = None,
    ) -> Prices:
        """Bounds of new forecasts.

        Args:
            tickers: of each window; one the run did not have gets the pooled widths.
            forecast: (windows, horizon) prices.
            last_close: (windows,).
            quantiles: (windows, horizon, quantiles) prices, where the network answers with quantiles.

        Returns:
            (levels, 2, windows, horizon)
        """
        count, horizon = forecast.shape
        each = [self.own.get(ticker, self.pooled) for ticker in tickers]  # B of (L, h)
        found = bounds(
            each[0] if count == 1 else np.concatenate(each, axis=1),  # (L, B * h)
            forecast.ravel(),
            last_close if horizon == 1 else np.repeat(last_close, horizon),
            pairs=self.pairs,
            quantiles=None if quantiles is None else quantiles.reshape(count * horizon, -1),
        )
        return found.reshape(len(self.levels), 2, count, horizon)

    def to_json(self) -> dict[str, Any]:
        """Plain values; a width that is not known is null."""
        return {
            "levels": list(self.levels),
            "quantile_levels": None if self.quantile_levels is None else list(self.quantile_levels),
            "pooled": _plain(self.pooled),
            "own": {ticker: _plain(widths) for ticker, widths in self.own.items()},
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> IntervalState:
        """Restore from to_json."""
        levels = state["quantile_levels"]
        return cls(
            levels=tuple(state["levels"]),
            quantile_levels=None if levels is None else tuple(levels),
            pooled=np.asarray(state["pooled"], dtype=np.float64),
            own={ticker: np.asarray(widths, dtype=np.float64) for ticker, widths in state["own"].items()},
        )


def _plain(widths: Prices) -> list[list[float | None]]:
    return [[None if np.isnan(width) else float(width) for width in level] for level in widths]
