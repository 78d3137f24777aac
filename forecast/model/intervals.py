"""From half-widths to lower and upper bounds: one rule for evaluation and serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from forecast.model.spread import Spread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Prices = NDArray[np.float64]

SharesOf = Literal["naive", "forecast", "unit", "chance"]
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
    half_widths: Prices,
    forecast: Prices,
    scale: Prices,
    *,
    pairs: Pairs,
    quantiles: Prices | None = None,
    chances: bool = False,
) -> Prices:
    """Lower and upper values.

    A lower bound is never above its upper one, and a larger level's interval holds the smaller's. Where the scale is
    positive no bound is below 0, which no price falls below, so that this loses no coverage.

    Args:
        half_widths: what is taken off below and added above, as a share of the scale: (levels, rows) the same on both
            sides, or (levels, 2, rows).
        forecast: (rows,).
        scale: (rows,) such as the last Close; where it is 0 a share of it says nothing, and the bounds are NaN.
        pairs: of each level.
        quantiles: (rows, quantiles) the network's, where `pairs` names any.
        chances: whether forecasts are probabilities, whose bounds lie from 0 to 1.

    Returns:
        (levels, 2, rows)
    """
    positive = scale > 0
    all_positive = bool(positive.all())  # nearly always
    size = scale if all_positive else np.where(scale == 0, np.nan, np.abs(scale))
    found = np.empty((len(half_widths), 2, len(forecast)))
    for level, pair in enumerate(pairs):
        reach = half_widths[level] * size
        if reach.ndim > 1:  # quantiles of residuals, which may lie on one side of the forecast
            np.subtract(forecast, reach[0], out=found[level, 0])
            np.add(forecast, reach[1], out=found[level, 1])
            continue
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
    if chances:
        return found.clip(0.0, 1.0)
    floored = np.maximum(found, 0.0)
    return floored if all_positive else np.where(positive, floored, found)


@dataclass(frozen=True)
class IntervalState:
    """What a bundle needs to put intervals around new forecasts.

    Args:
        levels: largest first.
        quantile_levels: of the forecaster the half-widths belong to; None when it forecasts values alone.
        pooled: (levels, horizon) half-widths for a ticker the run did not have, as shares of the scale; of intervals
            that are not symmetric (levels, 2, horizon).
        own: ticker -> the same.
        shares_of: what is the scale: the naive forecast, such as the last Close; the forecast; or the unit itself,
            which is a chance where forecasts are probabilities.
        spread: by whose forecast the scale is multiplied; None = it is not.
    """

    levels: tuple[float, ...]
    quantile_levels: tuple[float, ...] | None
    pooled: Prices
    own: Mapping[str, Prices]
    shares_of: SharesOf = "naive"
    spread: Spread | None = None

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
        naive: Prices,
        quantiles: Prices | None = None,
        *,
        windows: NDArray[np.float32] | None = None,
    ) -> Prices:
        """Bounds of new forecasts.

        Args:
            tickers: of each window; one the run did not have gets the pooled half-widths.
            forecast: (windows, horizon) in the target's unit.
            naive: (windows,).
            quantiles: (windows, horizon, quantiles), where the network answers with quantiles.
            windows: (windows, lookback or more, columns) raw panel rows, which a spread is forecast from.

        Returns:
            (levels, 2, windows, horizon)
        """
        count, horizon = forecast.shape
        each = [self.own.get(ticker, self.pooled) for ticker in tickers]  # B of (L, h) or (L, 2, h)
        scale = scale_of(self.shares_of, forecast, naive[:, None])  # (B, h) or (B, 1)
        if self.spread is not None:
            assert windows is not None, "intervals scaled by a volatility forecast want the windows"
            scale = scale * self.spread(windows)[:, None]
        if scale.shape[1] < horizon:
            scale = np.repeat(scale, horizon, axis=1)
        found = bounds(
            each[0] if count == 1 else np.concatenate(each, axis=-1),  # (L, B * h)
            forecast.ravel(),
            scale.ravel(),
            pairs=self.pairs,
            quantiles=None if quantiles is None else quantiles.reshape(count * horizon, -1),
            chances=self.shares_of == "chance",
        )
        return found.reshape(len(self.levels), 2, count, horizon)

    def to_json(self) -> dict[str, Any]:
        """Plain values; a width that is not known is null."""
        return {
            "levels": list(self.levels),
            "quantile_levels": None if self.quantile_levels is None else list(self.quantile_levels),
            "pooled": _plain(self.pooled),
            "own": {ticker: _plain(half_widths) for ticker, half_widths in self.own.items()},
            "shares_of": self.shares_of,
            "spread": None if self.spread is None else self.spread.to_json(),
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> IntervalState:
        """Restore from to_json."""
        levels = state["quantile_levels"]
        return cls(
            levels=tuple(state["levels"]),
            quantile_levels=None if levels is None else tuple(levels),
            pooled=np.asarray(state["pooled"], dtype=np.float64),
            own={
                ticker: np.asarray(half_widths, dtype=np.float64)
                for ticker, half_widths in state["own"].items()
            },
            shares_of=state.get("shares_of", "naive"),
            spread=None if (spread := state.get("spread")) is None else Spread.from_json(spread),
        )


def scale_of(shares_of: SharesOf, forecast: Prices, naive: Prices) -> Prices:
    """(rows,) what half-widths are shares of; negative where no bound is to be floored at 0."""
    if shares_of == "naive":
        return naive
    return forecast if shares_of == "forecast" else np.full_like(forecast, -1.0)


def _plain(half_widths: Prices) -> list[Any]:
    """Nested lists, null where a width is not known."""
    if half_widths.ndim > 1:
        return [_plain(level) for level in half_widths]
    return [None if np.isnan(width) else float(width) for width in half_widths]
