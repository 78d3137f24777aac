"""How far the next bar may move: a volatility forecast made of a window alone, by which intervals are scaled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.layout import Layout
    from forecast.data.market import MarketData
    from forecast.data.target import Target

    Column = NDArray[np.float64]

Move = Literal["range", "share", "difference", "level"]

# Windows that are looked at, evenly spaced over training, and at once.
_MOST, _AT_ONCE = 65_536, 8_192
_WEEK = 5
# No forecast is below this share of the window's mean move, nor of the usual one: a flat window may be followed by
# anything.
_LEAST = 0.2
_LEAST_USUAL = 0.02
# The quantile of the next size that is forecast, the windows it takes, and how often and how finely it is solved for.
_QUANTILE, _FEWEST, _ROUNDS, _SMALL = 0.9, 500, 60, 1e-3
_MOST_TRADED = 5.0  # times the usual Volume that a bar counts at most
# Which way each part of a move goes: fall and rise of the value, reach of the High above and of the Low below the Close
# before. What they add up to, (kinds, parts): sizes, falls and, where there are ranges, |changes|.
_WAYS = np.array([[-1.0], [1.0], [1.0], [-1.0]])
_OF_RANGES = np.array([[0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]])
_OF_VALUES = np.array([[1.0, 1.0], [1.0, 0.0]])


class Spread:
    """A HAR regression of a large next move on the sizes of the last bar's, week's and window's, falls by themselves.

    Fitted is the 90 % quantile of the size, not its mean: bounds and values at risk lie where moves are large, and
    there the last bars count otherwise than in the middle.

    How a move is measured (`move`), in the unit in which residuals are scaled:

        share         of a price: the change, as a share of the Close before
        range         of a price whose High and Low are known: the same; what it is regressed on holds the true ranges
                      too (Wilder 1978), which tell more than changes do and hold the night, and where Volume is known
                      that of the last bar and week beside the window's: much traded, much moved
        difference    of values that are logs: the change
        level         of values whose naive forecast is a constant: the value less that

    All are divided by the window's mean move, so that one regression holds for all tickers and times.

    Args:
        move: see above.
        columns: of a window: the values; of `range` the High and the Low behind it, and the Volume if there is any.
        centre: naive forecast of `level`.
        lookback: bars looked at, the newest of a window.
        coefficients: of the regressors, see `_used`; what is missing behind the last is 0.
        usual: median move of the training windows.

    Source: Corsi (2009), A simple approximate long-memory model of realized volatility, Journal of Financial
    Econometrics 7; of absolute returns Forsberg and Ghysels (2007), of falls Corsi and Reno (2012), both in journals of
    econometrics; of quantiles Koenker and Bassett (1978), Regression quantiles, Econometrica 46.
    """

    def __init__(
        self,
        *,
        move: Move,
        columns: Sequence[int],
        centre: float,
        lookback: int,
        coefficients: Sequence[float],
        usual: float,
    ) -> None:
        self.move = move
        self.columns = tuple(columns)
        self.centre = centre
        self.lookback = lookback
        self.coefficients = tuple(float(value) for value in coefficients)
        self.usual = usual

    @classmethod
    def fit(cls, data: MarketData) -> Spread:
        """Learn from the training windows; of windows too short, or that never move, every spread is the same.

        Args:
            data: split.
        """
        move, columns = _measure(data.layout, data.target)
        made = cls(
            move=move,
            columns=columns,
            centre=data.target.naive_value or 0.0,
            lookback=data.seq_len,
            coefficients=(1.0,),
            usual=1.0,
        )
        if data.seq_len < 2:
            return made
        windows = data.windows_["train"]
        index = windows.spread(_MOST)
        regressors, outcomes = [], []
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for start in range(0, len(index), _AT_ONCE):
                batch = windows.take(index[start : start + _AT_ONCE])
                regressors.append(made._means(batch.windows)[:, made._used])
                both = np.concatenate((batch.windows[:, -1:], batch.future[:, :1]), axis=1)
                outcomes.append(made._parts(both)[:, :2, 0].sum(axis=1))
        x, y = np.concatenate(regressors), np.concatenate(outcomes)
        size = x[:, 0]
        good = np.isfinite(x).all(axis=1) & np.isfinite(y) & (size > 0)
        if good.sum() > x.shape[1]:
            share = x[good] / size[good, None]
            coefficients = _upper_quantile(share, y[good] / size[good]).tolist()
            state = {"coefficients": coefficients, "usual": float(np.median(size[good]))}
            return cls.from_json(made.to_json() | state)
        return made

    def __call__(self, windows: NDArray[np.float32]) -> Column:
        """How far the next bar of each window may move; positive, and NaN where its values say nothing.

        Args:
            windows: (batch, lookback or more, columns) raw panel rows.
        """
        if self.lookback < 2:
            return np.ones(len(windows))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            means = self._means(windows[:, -self.lookback :])
            found = means.reshape(len(means), -1) @ self._weights
        least = np.maximum(_LEAST * means[:, 0, 0], _LEAST_USUAL * self.usual)
        spread: Column = np.maximum(found, least)
        return spread

    @cached_property
    def _used(self) -> NDArray[np.bool_]:
        """(kinds, 3) the regressors: the mean over the window of sizes alone, for the others say the same again."""
        used = np.ones((2 + (self.move == "range") + (len(self.columns) > 3), 3), np.bool_)
        used[1:, 0] = False
        return used

    @cached_property
    def _weights(self) -> Column:
        """(kinds * 3,) of the means."""
        weights = np.zeros(self._used.shape)
        weights[self._used] = np.pad(self.coefficients, (0, self._used.sum() - len(self.coefficients)))
        return weights.ravel()

    def _means(self, windows: NDArray[np.float32]) -> Column:
        """(batch, kinds, 3) mean over the window, last bar, mean over the week: of sizes; of falls; of a price with
        ranges, whose sizes are true ranges, of |changes|; and, times the mean size, of Volumes in shares of the
        window's."""
        parts = self._parts(windows)
        over = _of_bars(parts.shape[2])
        means: Column = (_OF_RANGES if self.move == "range" else _OF_VALUES) @ parts @ over
        if len(self.columns) < 4:
            return means
        volume = windows[:, 1:, self.columns[3]].astype(np.float64)
        usual = volume.sum(axis=1, keepdims=True) / volume.shape[1]
        traded = np.minimum(np.where(usual > 0, volume / usual, 1.0), _MOST_TRADED) @ over
        return np.concatenate((means, (traded * means[:, 0, :1])[:, None]), axis=1)

    def _parts(self, windows: NDArray[np.float32]) -> Column:
        """(batch, 2 or 4, bars - 1) of each move, those of `_WAYS`; 0 where it goes the other way."""
        places = (self.columns[0], *self.columns[:3])
        values = windows.transpose(0, 2, 1).take(places, axis=1).astype(np.float64)
        before = values[:, :1, :-1]
        parts = (values[..., 1:] - (self.centre if self.move == "level" else before)) * _WAYS[: len(places)]
        if self.move in ("range", "share"):
            parts /= before
        upwards: Column = np.maximum(parts, 0.0)
        return upwards

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "move": self.move,
            "columns": list(self.columns),
            "centre": self.centre,
            "lookback": self.lookback,
            "coefficients": list(self.coefficients),
            "usual": self.usual,
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Spread:
        """Restore from to_json."""
        return cls(**state)


def _upper_quantile(x: Column, y: Column) -> Column:
    """Coefficients of the `_QUANTILE` of y; of few rows those of its mean, which less is needed for.

    Solved by weighted least squares, again and again (Hunter and Lange 2000, Quantile regression via an MM algorithm,
    Journal of Computational and Graphical Statistics 9).

    Args:
        x: (rows, columns).
        y: (rows,).
    """
    found: Column = np.linalg.lstsq(x, y, rcond=None)[0].astype(np.float64)
    if len(y) < _FEWEST:
        return found
    for _ in range(_ROUNDS):
        errors = y - x @ found
        weights = np.where(errors >= 0, _QUANTILE, 1.0 - _QUANTILE) / np.maximum(np.abs(errors), _SMALL)
        weighted = x * weights[:, None]
        found = np.linalg.lstsq(weighted.T @ x, weighted.T @ y, rcond=None)[0].astype(np.float64)
    return found


@lru_cache(maxsize=32)
def _of_bars(count: int) -> Column:
    """(bars, 3) weights that give the mean of so many bars, the last one, and the mean of the last week."""
    weights = np.zeros((count, 3))
    weights[:, 0], weights[-1, 1] = 1 / count, 1.0
    weights[-_WEEK:, 2] = 1 / min(_WEEK, count)
    weights.flags.writeable = False  # shared
    return weights


def _measure(layout: Layout, target: Target) -> tuple[Move, tuple[int, ...]]:
    """How moves are measured, and in which columns."""
    column = layout.target
    if target.relation == "ratio":
        name = layout.names[column]
        block = name[: len(name) - len(target.column)]
        beside = [f"{block}High", f"{block}Low"]
        if all(other in layout.names for other in beside):
            beside += [name for name in [f"{block}Volume"] if name in layout.names]
            return "range", (column, *map(layout.names.index, beside))
        return "share", (column,)
    if target.naive_value is not None:
        return "level", (column,)
    return "difference", (column,)
