"""Metrics of a split: each a function of its forecasts, each with the direction in which it is better.

A metric of one's own is a function of a `ForecastTable` and one line of YAML:

    @metric(mode="min")
    def worst(table):
        return float(np.abs(table.actual - table.forecast).max())

    evaluation: {metrics: {worst: {_target_: my_metrics.worst, _partial_: true}}}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.errors import UserError
from forecast.evaluate.scores import SCORES
from forecast.evaluate.summary import SPLITS, Figures, figure, metric, prefixed
from forecast.evaluate.table import ForecastTable, from_frame, table_of

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from forecast.data.market import MarketData

    Column = NDArray[np.float64]


@dataclass(frozen=True)
class Totals:
    """Sums over all rows of a table: what the metrics of this package are made of."""

    overlap: int  # origins one after the other whose errors share bars
    rows: int
    moves: int  # rows whose value moved
    hits: int  # of these, forecast with the right sign
    scaled_rows: int  # rows of a ticker with a scale
    based_rows: int  # rows whose naive forecast is not 0
    error: float  # |actual - forecast|
    error_sq: float
    error_pct: float  # |actual - forecast| / |actual|
    naive: float  # |actual - naive|, which is also the market's move
    naive_sq: float
    naive_pct: float
    move_sq: float  # (forecast - naive)^2, the move that is forecast
    gain: float  # naive error squared - error squared
    gain_sq: float
    scaled: float  # |actual - forecast| / scale
    share: float  # (forecast - naive) / naive
    share_sq: float
    by_ticker: Column  # (2, series) squared errors of the forecast and of naive

    @classmethod
    def of(cls, table: ForecastTable) -> Totals:
        """Add up a table."""
        blocks = [cls._of_block(block) for block in table.blocks()]
        if len(blocks) == 1:
            return blocks[0]
        sums = {item.name: sum(getattr(block, item.name) for block in blocks) for item in fields(cls)}
        return cls(**sums | {"overlap": table.overlap()})

    @classmethod
    def _of_block(cls, table: ForecastTable) -> Totals:
        actual, naive = table.actual, table.naive
        with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
            error, market, move = actual - table.forecast, actual - naive, table.forecast - naive
            # (a-n)^2 - (a-f)^2 written as a product: two nearly equal sums, subtracted, would keep no digit
            # of a small gain.
            gain = move * (market + error)
            size, moved, based = np.abs(actual), market != 0, naive != 0
            absolute, error_sq, naive_sq = np.abs(error), error * error, market * market
            scale = (
                np.full(len(table), np.nan)
                if table.scale is None
                else np.asarray(table.scale, np.float64)[table.series]
            )
            scaled = scale > 0
            share = move[based] / naive[based]
            count = len(table.names)
            return cls(
                overlap=table.overlap(),
                rows=len(table),
                moves=int(moved.sum()),
                hits=int((np.sign(move[moved]) == np.sign(market[moved])).sum()),
                scaled_rows=int(scaled.sum()),
                based_rows=int(based.sum()),
                error=float(absolute.sum()),
                error_sq=float(error_sq.sum()),
                error_pct=float((absolute / size).sum()),
                naive=float(np.abs(market).sum()),
                naive_sq=float(naive_sq.sum()),
                naive_pct=float((np.abs(market) / size).sum()),
                move_sq=float((move * move).sum()),
                gain=float(gain.sum()),
                gain_sq=float((gain * gain).sum()),
                scaled=float((absolute[scaled] / scale[scaled]).sum()),
                share=float(share.sum()),
                share_sq=float((share * share).sum()),
                by_ticker=np.stack(
                    [np.bincount(table.series, values, minlength=count) for values in (error_sq, naive_sq)]
                ),
            )


@metric(mode="min")
def rmse(t: Totals) -> float | None:
    """Root of the mean squared error, in the target's unit."""
    return _root(_ratio(t.error_sq, t.rows))


@metric(mode="min")
def mae(t: Totals) -> float | None:
    """Mean absolute error, in the target's unit."""
    return _ratio(t.error, t.rows)


@metric(mode="min")
def mape(t: Totals) -> float | None:
    """Mean absolute error in percent of the actual value; None where that is 0."""
    return _ratio(100 * t.error_pct, t.rows)


@metric(mode="min")
def mase(t: Totals) -> float | None:
    """Mean |error| / scale over rows with a scale. Source: Hyndman and Koehler (2006)."""
    return _ratio(t.scaled, t.scaled_rows)


@metric(mode="min")
def theil_u(t: Totals) -> float | None:
    """RMSE / RMSE of the naive forecast; in a panel the dearest shares rule it."""
    return _root(_ratio(t.error_sq, t.naive_sq))


@metric(mode="min")
def theil_u_by_ticker(t: Totals) -> float | None:
    """Root of the mean over tickers of (squared error / that of naive): every ticker counts alike.

    Of one ticker it is theil_u. A ticker whose value never moved is left out.
    """
    errors, naive = t.by_ticker
    moved = naive > 0
    with np.errstate(over="ignore", invalid="ignore"):
        total = float((errors[moved] / naive[moved]).sum())
    return _root(_ratio(total, int(moved.sum())))


@metric(mode="max")
def direction(t: Totals) -> float | None:
    """Share of right signs of move where the value moved; a forecast of no move is wrong, and no forecast of any move
    has no such share."""
    return _ratio(t.hits, t.moves) if t.move_sq else None


@metric(mode=None)
def direction_se(t: Totals) -> float | None:
    """Standard error of direction, sqrt(p (1 - p) horizon / moves)."""
    share = direction(t)
    return None if share is None else _root(share * (1 - share) * t.overlap / t.moves)


@metric(mode="max")
def r2_oos(t: Totals) -> float | None:
    """1 - squared error / squared error of naive. Source: Campbell and Thompson (2008)."""
    return _ratio(t.gain, t.naive_sq)


@metric(mode=None)
def r2_oos_se(t: Totals) -> float | None:
    """Standard error of r2_oos, from the spread of the rows' gains in squared error.

    The rows of one origin share their bars, so they count as one observation; neighbouring origins share bars too:
    on a random walk at horizon 5 the true error is 1.4 times this one where forecasts keep their sign, 0.8 times
    where they change from bar to bar.
    """
    spread = _ratio(t.gain_sq - t.gain * (_ratio(t.gain, t.rows) or 0.0), t.rows - 1)
    error = None if spread is None else _root(_ratio(max(spread, 0.0) * t.overlap, t.rows))
    return None if error is None else _ratio(error * t.rows, t.naive_sq)


@metric(mode=None)
def naive_rmse(t: Totals) -> float | None:
    """RMSE of the naive forecast."""
    return _root(_ratio(t.naive_sq, t.rows))


@metric(mode=None)
def naive_mae(t: Totals) -> float | None:
    """MAE of the naive forecast."""
    return _ratio(t.naive, t.rows)


@metric(mode=None)
def naive_mape(t: Totals) -> float | None:
    """MAPE of the naive forecast."""
    return _ratio(100 * t.naive_pct, t.rows)


@metric(mode=None)
def move_ratio(t: Totals) -> float | None:
    """RMS move forecast / RMS move of the market."""
    return _root(_ratio(t.move_sq, t.naive_sq))


@metric(mode=None)
def move_mean(t: Totals) -> float | None:
    """Mean of the moves forecast, as a share of the last value."""
    return _ratio(t.share, t.based_rows)


@metric(mode=None)
def move_sd(t: Totals) -> float | None:
    """Standard deviation of the moves forecast, as a share of the last value."""
    mean, square = move_mean(t), _ratio(t.share_sq, t.based_rows)
    return None if square is None or mean is None else _root(max(square - mean**2, 0.0))


@metric(mode=None)
def rows(t: Totals) -> float | None:
    """How many rows."""
    return t.rows


# Of a price; the names a target may list are these and SCORES.
METRICS: dict[str, Callable[[Totals], float | None]] = {
    function.__name__: function
    for function in (
        rmse, mae, mape, mase, theil_u, direction, direction_se, r2_oos, r2_oos_se, naive_rmse, naive_mae,
        naive_mape, move_ratio, move_mean, move_sd, rows, theil_u_by_ticker,
    )
}  # fmt: skip


class Metrics:
    """The metrics of a run: those of this package that fit the target, and the user's own.

    Args:
        own: name -> function of a `ForecastTable`, with the attribute `mode`, see `metric`.
        names: of those of this package, METRICS and SCORES; None = those of a price, METRICS.

    Raises:
        UserError: a name that is taken or no word, or a function without a direction.
    """

    def __init__(self, own: Mapping[str, Any] | None = None, *, names: Sequence[str] | None = None) -> None:
        names = list(METRICS) if names is None else names
        self.package = {name: METRICS[name] for name in names if name in METRICS}
        self.scores = {name: SCORES[name] for name in names if name not in METRICS}
        self.own = dict(own or {})
        for name, function in self.own.items():
            key = f"evaluation.metrics.{name}"
            if name in METRICS or name in SCORES or not name.isidentifier() or name != name.lower():
                raise UserError(
                    f"{key}: must be a lower-case word of its own, other than {', '.join([*METRICS, *SCORES])}"
                )
            if not callable(function):
                raise UserError(f"{key}: must be a function of a forecast table; add _partial_: true")
            if _mode(function, None) not in ("min", "max"):
                raise UserError(
                    f"{key}: does not say in which direction it is better; put "
                    "@forecast.evaluate.metric(mode='min') or 'max' above it"
                )

    def figures(self, table: ForecastTable) -> Figures:
        """The metrics of a table, without the name of the split; None where one is not defined."""
        totals = Totals.of(table)
        figures: Figures = {name: function(totals) for name, function in self.package.items()}
        figures |= {name: function(table) for name, function in self.scores.items()}
        for name, function in self.own.items():
            value = function(table) if len(table) else None
            figures[name] = None if value is None else figure(float(value))
        return figures

    def of(self, table: ForecastTable) -> Figures:
        """The metrics of a table, named `<split>_<metric>`."""
        return prefixed(table.split, self.figures(table))

    def __call__(self, *, data: MarketData, rows: NDArray[np.int64], forecast: Column) -> Figures:
        """The metrics of an epoch: of forecasts of validation windows.

        Args:
            data: split.
            rows: (windows,) panel row of each window's last bar.
            forecast: (windows, horizon) values of the target.
        """
        target = data.target
        variance: Column | float = 0.0
        if target.curved:  # the errors of training are not known yet: those of these rows stand for them
            ahead = rows[:, None] + np.arange(target.lead + 1, target.lead + 1 + data.horizon)
            errors = data.panel_.values[ahead, data.layout.target] - forecast
            variance = errors.var(axis=0) + 2.0 * errors.mean(axis=0)
        return self.of(table_of(data, "val", rows=rows, forecast=target.forecast_in_unit(forecast, variance)))

    def check_objective(self, metric: str, mode: str) -> None:
        """See Score."""
        from difflib import get_close_matches

        modes = {"train_loss": "min", "val_loss": "min"} | {
            f"val_{name}": _mode(function, None)
            for name, function in [*self.package.items(), *self.scores.items(), *self.own.items()]
        }
        known = [name for name, direction in modes.items() if direction is not None]
        if metric not in modes:
            near = get_close_matches(metric, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UserError(
                f"objective.metric={metric}: no epoch reports it; {hint}one of {', '.join(known)}"
            )
        if modes[metric] is None:
            raise UserError(
                f"objective.metric={metric}: is neither better when larger nor when smaller; one of {', '.join(known)}"
            )
        if modes[metric] != mode:
            better = "larger" if modes[metric] == "max" else "smaller"
            raise UserError(
                f"objective.mode={mode}: {metric} is better when {better}; use objective.mode={modes[metric]}"
            )


def from_table(frame: pd.DataFrame) -> Figures:
    """Metrics of val and test from a whole forecast table, such as `Run.forecasts`.

    Args:
        frame: columns ticker, split (train, val, test), step (1..horizon), actual, forecast, naive; horizon
            is the largest step. A ticker's scale is its mean |actual - naive| over train rows of step 1.

    Raises:
        ValueError: a column is missing or a value is not finite.
    """
    figures: Figures = {}
    for split in SPLITS:
        table = from_frame(frame, split=split)
        for name in ("actual", "forecast", "naive"):
            bad = ~np.isfinite(getattr(table, name))
            if bad.any():
                raise ValueError(
                    f"{name} is {getattr(table, name)[bad][0]} in {int(bad.sum())} rows of {split}"
                )
        figures |= Metrics().of(table)
    return figures


def _mode(function: Any, default: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "mode", default)


def _ratio(numerator: float, denominator: float) -> float | None:
    if not denominator > 0:
        return None
    value = numerator / denominator  # not finite where a value was 0 or a square overflowed
    return value if math.isfinite(value) else None


def _root(value: float | None) -> float | None:
    return None if value is None else math.sqrt(value)
