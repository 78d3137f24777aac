"""Scores of targets other than a price: of a variance, of logs, of a probability, of a whole distribution.

Each is a function of a forecast table, as a metric of one's own is. `LOSSES` has the same row by row: what two
forecasts are compared in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.evaluate.summary import LOSS_WORDS, Figures, figure, metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.table import ForecastTable

    Column = NDArray[np.float64]

# A probability of exactly 0 or 1 that is wrong would cost infinitely much.
_CERTAIN = float(np.finfo(np.float64).eps)


def squared_loss(actual: Column, forecast: Column) -> Column:
    """(actual - forecast)^2; of a probability it is Brier's score."""
    error: Column = actual - forecast
    return error * error


def absolute_loss(actual: Column, forecast: Column) -> Column:
    """|actual - forecast|."""
    return np.abs(actual - forecast)


def log_squared_loss(actual: Column, forecast: Column) -> Column:
    """(log actual - log forecast)^2; not finite where either is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return squared_loss(np.log(actual), np.log(forecast))


def qlike_loss(actual: Column, forecast: Column) -> Column:
    """r - log r - 1 with r = actual^2 / forecast^2: volatilities are given, variances are compared.

    Source: Patton (2011), Volatility forecast comparison using imperfect volatility proxies, Journal of Econometrics
    160, equation 24 in its homogeneous form: ranks forecasts as the true variance would, however noisy the proxy.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio: Column = (actual / forecast) ** 2
        return ratio - np.log(ratio) - 1


def cross_entropy(actual: Column, forecast: Column) -> Column:
    """-log of the probability that was given to the outcome (0 or 1)."""
    given = np.clip(forecast, _CERTAIN, 1 - _CERTAIN)
    return np.asarray(-(actual * np.log(given) + (1 - actual) * np.log1p(-given)))


# Row by row, in the target's unit; Target.losses names those in which its forecasts are compared, the main one first.
LOSSES: dict[str, Callable[[Column, Column], Column]] = {
    "squared": squared_loss,
    "absolute": absolute_loss,
    "log": log_squared_loss,
    "qlike": qlike_loss,
    "log_loss": cross_entropy,
}


def mean_loss(table: ForecastTable, loss: Callable[[Column, Column], Column]) -> float | None:
    """The mean of a loss over all rows; None without rows, or where it is not finite."""
    if not len(table):
        return None
    return figure(table.total(lambda block: loss(block.actual, block.forecast)) / len(table))


def mean_error(table: ForecastTable, loss: str) -> float | None:
    """The mean of a loss of LOSSES, or its root where that is in the unit of the forecasts (see LOSS_WORDS)."""
    mean = mean_loss(table, LOSSES[loss])
    return mean**0.5 if mean is not None and LOSS_WORDS[loss][2] else mean


@metric(mode="min")
def qlike(table: ForecastTable) -> float | None:
    """Mean QLIKE of variances, the squares of what is forecast; 0 is perfect. See qlike_loss."""
    return mean_loss(table, qlike_loss)


@metric(mode="min")
def rmse_log(table: ForecastTable) -> float | None:
    """Root of the mean squared error of logs of the values in their unit."""
    mean = mean_loss(table, log_squared_loss)
    return None if mean is None else mean**0.5


@metric(mode="min")
def brier(table: ForecastTable) -> float | None:
    """Mean of (outcome - probability)^2. Source: Brier (1950), Monthly Weather Review 78."""
    return mean_loss(table, squared_loss)


@metric(mode="min")
def log_loss(table: ForecastTable) -> float | None:
    """Mean cross-entropy of probabilities, in nats."""
    return mean_loss(table, cross_entropy)


@metric(mode="max")
def r2_train(table: ForecastTable) -> float | None:
    """1 - squared error / squared error of each ticker's mean over the training rows of step 1 of the fold."""
    if table.train_mean is None or not len(table):
        return None
    means = table.train_mean

    def sums(block: ForecastTable) -> Column:
        fold = 0 if block.fold is None or len(means) == 1 else block.fold
        mean = means[fold, block.series]
        known = np.isfinite(mean)
        with np.errstate(over="ignore"):
            return np.asarray(
                [
                    squared_loss(block.actual[known], block.forecast[known]).sum(),
                    squared_loss(block.actual[known], mean[known]).sum(),
                ]
            )

    error, whole = np.sum([sums(block) for block in table.blocks()], axis=0)
    return figure(1 - error / whole) if whole > 0 else None


SCORES: dict[str, Callable[[ForecastTable], float | None]] = {
    function.__name__: function for function in (qlike, rmse_log, r2_train, brier, log_loss)
}


def pinball_loss(actual: Column, quantile: Column, level: float) -> Column:
    """Loss of a quantile: (level - [actual < quantile]) (actual - quantile).

    Args:
        actual, quantile: (rows,).
        level: in (0, 1).

    Source: Koenker and Bassett (1978), Econometrica 46.
    """
    error = actual - quantile
    return np.maximum(level * error, (level - 1) * error)


def crps_loss(actual: Column, quantiles: Column, levels: Sequence[float]) -> Column:
    """Continuous ranked probability score of a distribution that is known by quantiles: twice their mean pinball.

    Args:
        actual: (rows,).
        quantiles: (rows, levels).
        levels: ascending, about evenly spaced.

    Source: Laio and Tamea (2007), Hydrology and Earth System Sciences 11; `crps_quantile` of scoringrules.
    """
    total = np.zeros(len(actual))
    for number, level in enumerate(levels):
        total += pinball_loss(actual, quantiles[:, number], level)
    return 2 * total / len(levels)


def winkler_loss(actual: Column, lower: Column, upper: Column, level: float) -> Column:
    """Interval score: width, and 2 / (1 - level) times how far the outcome lies outside.

    Args:
        actual, lower, upper: (rows,).
        level: nominal coverage.

    Source: Winkler (1972), Journal of the American Statistical Association 67; Gneiting and Raftery (2007).
    """
    outside = np.maximum(lower - actual, 0) + np.maximum(actual - upper, 0)
    return np.asarray(upper - lower + 2 / (1 - level) * outside)


def pit_counts(actual: Column, quantiles: Column) -> NDArray[np.int64]:
    """How many outcomes fell between each two neighbouring quantiles: the probability integral transform, in bins.

    Args:
        actual: (rows,).
        quantiles: (rows, levels), ascending.

    Returns:
        (levels + 1,): below the first, ..., above the last. Of a calibrated distribution their shares are the
        differences of the levels.

    Source: Diebold, Gunther and Tay (1998), International Economic Review 39.
    """
    place = (actual[:, None] > quantiles).sum(axis=1)
    return np.bincount(place, minlength=quantiles.shape[1] + 1)


def calibration(table: ForecastTable, *, bins: int = 10) -> dict[str, Any]:
    """Forecast beside observed frequency, in bins of about as many rows, and Murphy's decomposition of the Brier score.

    Args:
        table: of outcomes 0 or 1.
        bins: at most; forecasts that are alike share one.

    Returns:
        bins: forecast (mean probability), observed (share of ones), rows. reliability - resolution + uncertainty is
        the Brier score of the bins' means: of these, reliability is what better calibration would save.

    Source: Murphy (1973), A new vector partition of the probability score, Journal of Applied Meteorology 12.
    """
    forecast, actual = table.forecast, table.actual
    edges = np.unique(np.quantile(forecast, np.arange(1, bins) / bins)) if len(table) else np.empty(0)
    place = np.searchsorted(edges, forecast, side="left")
    count = np.bincount(place, minlength=len(edges) + 1).astype(np.float64)
    seen = count > 0
    mean = np.bincount(place, forecast, len(count))[seen] / count[seen]
    observed = np.bincount(place, actual, len(count))[seen] / count[seen]
    share = count[seen] / max(len(table), 1)
    base = float(actual.mean()) if len(table) else 0.0
    return {
        "split": table.split,
        "bins": [
            {"forecast": float(said), "observed": float(seen_), "rows": int(rows)}
            for said, seen_, rows in zip(mean, observed, count[seen], strict=True)
        ],
        "reliability": figure(float((share * (mean - observed) ** 2).sum())),
        "resolution": figure(float((share * (observed - base) ** 2).sum())),
        "uncertainty": figure(base * (1 - base)),
    }


@metric(mode="min")
def pinball(table: ForecastTable, *, level: float) -> float | None:
    """Mean pinball loss of the forecaster's own quantile of a level; None where it gives none."""
    levels = table.quantile_levels
    if table.quantiles is None or levels is None or level not in levels or not len(table):
        return None
    place = list(levels).index(level)
    total = table.total(lambda block: pinball_loss(block.actual, _quantiles(block)[:, place], level))
    return figure(total / len(table))


@metric(mode="min")
def crps(table: ForecastTable) -> float | None:
    """Mean CRPS of the forecaster's own quantiles; None where it gives none."""
    levels = table.quantile_levels
    if table.quantiles is None or levels is None or not len(table):
        return None
    return figure(table.total(lambda block: crps_loss(block.actual, _quantiles(block), levels)) / len(table))


@metric(mode="min")
def pit(table: ForecastTable) -> float | None:
    """Largest distance between nominal and observed share of outcomes below the forecaster's own quantiles."""
    levels = table.quantile_levels
    if table.quantiles is None or levels is None or not len(table):
        return None
    counts: Any = sum(pit_counts(block.actual, _quantiles(block)) for block in table.blocks())
    return figure(float(np.abs(np.cumsum(counts)[:-1] / len(table) - np.asarray(levels)).max()))


def of_quantiles(table: ForecastTable, *, distribution: bool) -> Figures:
    """`pinball_5` and so on of each of the forecaster's own quantiles.

    Args:
        table: with quantiles.
        distribution: whether crps and pit are wanted too; where there are intervals, theirs stand.
    """
    found: Figures = {
        f"pinball_{100 * level:g}": pinball(table, level=level) for level in table.quantile_levels or ()
    }
    return found | ({"crps": crps(table), "pit": pit(table)} if distribution else {})


def _quantiles(block: ForecastTable) -> Column:
    assert block.quantiles is not None
    return block.quantiles
