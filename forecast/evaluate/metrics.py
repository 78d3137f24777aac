"""Figures of a split beside "tomorrow = today", summed piece by piece: no table need stand in memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Column = NDArray[np.float64]

SPLITS = ("val", "test")  # train has no figures: a model is not judged on what it has seen
COLUMNS = ("ticker", "split", "step", "actual", "forecast", "naive")

_SUMS = (
    "error", "error_sq", "error_pct",         # actual - forecast: |.|, squared, |.| / |actual|
    "naive", "naive_sq", "naive_pct",         # actual - naive, which is also the market's move
    "move_sq",                                # forecast - naive, the move the model says
    "gain", "gain_sq",                        # naive error squared - error squared
    "scaled",                                 # |actual - forecast| / scale
    "told", "told_sq",                        # (forecast - naive) / naive, the move the model says as a share
)  # fmt: skip


class Tally:
    """Streaming figures of one split.

    Args:
        horizon: steps forecast at once, >= 1. It widens the standard errors only: the rows of one origin
            share their bars, so they count as one observation. Neighbouring origins share bars too: on a
            random walk at horizon 5 the true error is 1.4 times this one where forecasts keep their sign,
            0.8 times where they change from day to day.

    Raises:
        ValueError: horizon < 1.
    """

    def __init__(self, *, horizon: Annotated[int, Ge(1)]) -> None:
        if horizon < 1:
            raise ValueError(f"horizon={horizon} is below 1")
        self.horizon = horizon
        self._rows = self._scaled_rows = self._priced_rows = self._moves = self._hits = 0
        self._total = [0.0] * len(_SUMS)
        self._carry = [0.0] * len(_SUMS)

    def add(self, actual: Column, forecast: Column, naive: Column, scale: Column) -> None:
        """Count a piece of the split.

        Args:
            actual: prices that came, (rows,) float64, in the source's units.
            forecast: prices forecast, same shape and units.
            naive: the last price known when the forecast was made ("tomorrow = today"), same shape and units.
            scale: mean one-step naive error of the row's ticker in train, same shape; NaN or 0: undefined.

        Raises:
            ValueError: shapes differ, a column is not float64, a number is not finite: our bug, not a user's.
        """
        import numpy as np

        _check(actual=actual, forecast=forecast, naive=naive, scale=scale)
        with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
            error, market, move = actual - forecast, actual - naive, forecast - naive
            # (a-n)^2 - (a-f)^2 written as a product: two nearly equal sums, subtracted, would keep no digit
            # of a small gain.
            gain = move * (market + error)
            scaled, priced = scale > 0, naive != 0
            size = np.abs(actual)
            columns = (
                np.abs(error), error * error, np.abs(error) / size,
                np.abs(market), market * market, np.abs(market) / size,
                move * move,
                gain, gain * gain,
                np.abs(error[scaled]) / scale[scaled],
                move[priced] / naive[priced], (move[priced] / naive[priced]) ** 2,
            )  # fmt: skip
            for place, column in enumerate(columns):
                self._sum(place, float(np.sum(column)))
        moved = market != 0
        self._rows += int(actual.size)
        self._scaled_rows += int(scaled.sum())
        self._priced_rows += int(priced.sum())
        self._moves += int(moved.sum())
        self._hits += int((np.sign(move[moved]) == np.sign(market[moved])).sum())

    def result(self, prefix: str) -> dict[str, float | None]:
        """The figures so far, named `<prefix>_<figure>`; None where a figure is undefined.

        Returns:
            rmse, mae, naive_rmse, naive_mae: price units.
            mape, naive_mape: percent; None where a price is 0.
            mase: mean |error| / scale over rows with a scale (Hyndman and Koehler 2006).
            theil_u: rmse / naive_rmse. r2_oos: 1 - SSE / naive SSE (Campbell and Thompson 2008).
            direction: share of right signs of move where the price moved; a forecast of no move is wrong.
            direction_se: sqrt(p (1 - p) horizon / moves).
            r2_oos_se: from the spread of the rows' gains in squared error, horizon counted alike.
            move_ratio: RMS move forecast / RMS move of the market. rows: their number.
            move_mean, move_sd: of the moves forecast, as a share of the last price.
        """
        sums = dict(zip(_SUMS, map(math.fsum, zip(self._total, self._carry, strict=True)), strict=True))
        rows, moves = self._rows, self._moves
        naive_sq = sums["naive_sq"]
        direction = _ratio(self._hits, moves)
        mean, square = _ratio(sums["told"], self._priced_rows), _ratio(sums["told_sq"], self._priced_rows)
        spread = _ratio(sums["gain_sq"] - sums["gain"] * (_ratio(sums["gain"], rows) or 0.0), rows - 1)
        gain_se = None if spread is None else _root(_ratio(max(spread, 0.0) * self.horizon, rows))
        figures = {
            "rmse": _root(_ratio(sums["error_sq"], rows)),
            "mae": _ratio(sums["error"], rows),
            "mape": _ratio(100 * sums["error_pct"], rows),
            "mase": _ratio(sums["scaled"], self._scaled_rows),
            "theil_u": _root(_ratio(sums["error_sq"], naive_sq)),
            "direction": direction,
            "direction_se": None
            if direction is None
            else _root(direction * (1 - direction) * self.horizon / moves),
            "r2_oos": _ratio(sums["gain"], naive_sq),
            "r2_oos_se": None if gain_se is None else _ratio(gain_se * rows, naive_sq),
            "naive_rmse": _root(_ratio(naive_sq, rows)),
            "naive_mae": _ratio(sums["naive"], rows),
            "naive_mape": _ratio(100 * sums["naive_pct"], rows),
            "move_ratio": _root(_ratio(sums["move_sq"], naive_sq)),
            "move_mean": mean,
            "move_sd": _spread(square, mean),
            "rows": rows,
        }
        return {f"{prefix}_{name}": value for name, value in figures.items()}

    def _sum(self, place: int, piece: float) -> None:
        # Neumaier's compensated sum: thousands of pieces lose no more than one does.
        total = self._total[place]
        after = total + piece
        self._carry[place] += (total - after) + piece if abs(total) >= abs(piece) else (piece - after) + total
        self._total[place] = after


def from_table(frame: pd.DataFrame) -> dict[str, float | None]:
    """Figures of val and test from a whole forecast table.

    Args:
        frame: columns ticker, split (train, val, test), step (1..horizon), actual, forecast, naive; horizon
            is the largest step. A ticker's scale is its mean |actual - naive| over train rows of step 1.

    Raises:
        ValueError: a column is missing or a price is not finite.
    """
    import numpy as np

    missing = [column for column in COLUMNS if column not in frame.columns]
    if missing:
        raise ValueError(f"forecast table without column {', '.join(missing)}")
    train = frame[(frame["split"] == "train") & (frame["step"] == 1)]
    scale = (train["actual"] - train["naive"]).abs().groupby(train["ticker"].astype(str)).mean()
    horizon = int(frame["step"].max()) if len(frame) else 1
    figures: dict[str, float | None] = {}
    for split in SPLITS:
        rows = frame[frame["split"] == split]
        tally = Tally(horizon=horizon)
        prices = [rows[column].to_numpy(dtype=np.float64) for column in ("actual", "forecast", "naive")]
        scales = scale.reindex(rows["ticker"].astype(str)).to_numpy(dtype=np.float64)
        tally.add(prices[0], prices[1], prices[2], scales)
        figures |= tally.result(split)
    return figures


def _check(**columns: Column) -> None:
    import numpy as np

    shape = columns["actual"].shape
    for name, column in columns.items():
        if column.dtype != np.float64:
            raise ValueError(f"{name} is {column.dtype}, not float64")
        if column.ndim != 1 or column.shape != shape:
            raise ValueError(f"{name} has shape {column.shape}; actual has {shape}, (rows,) is wanted")
        # A scale may be missing (a ticker that has no train rows), but never infinite or negative.
        bad = (
            ~(np.isnan(column) | (np.isfinite(column) & (column >= 0)))
            if name == "scale"
            else ~np.isfinite(column)
        )
        if bad.any():
            row = int(bad.argmax())
            raise ValueError(f"{name} is {column[row]} in row {row} ({int(bad.sum())} such rows)")


def _ratio(numerator: float, denominator: float) -> float | None:
    if not denominator > 0:
        return None
    value = numerator / denominator  # not finite where a price was 0 or a square overflowed
    return value if math.isfinite(value) else None


def _root(value: float | None) -> float | None:
    return None if value is None else math.sqrt(value)


def _spread(square: float | None, mean: float | None) -> float | None:
    """Standard deviation from the means of squares and of values."""
    return None if square is None or mean is None else _root(max(square - mean**2, 0.0))


class EpochScore:
    """Metrics of the validation rows of an epoch.

    Args:
        horizon: steps forecast at once.
    """

    def __init__(self, *, horizon: int) -> None:
        self.horizon = horizon

    @property
    def names(self) -> list[str]:
        """`val_rmse` and so on."""
        return [*Tally(horizon=self.horizon).result("val")]

    def __call__(
        self,
        *,
        actual: NDArray[np.float64],
        forecast: NDArray[np.float64],
        naive: NDArray[np.float64],
        scale: NDArray[np.float64],
    ) -> dict[str, float | None]:
        """Name -> metric, of (windows, horizon) values and the (windows,) scale of MASE."""
        import numpy as np

        tally = Tally(horizon=self.horizon)
        tally.add(actual.ravel(), forecast.ravel(), naive.ravel(), np.repeat(scale, self.horizon))
        return tally.result("val")
