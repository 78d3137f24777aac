"""Rows of a split for tests: tickers that share a market, forecasts that know a share of what comes."""

import numpy as np

from forecast.evaluate.rows import Rows
from forecast.evaluate.significance.moves import Moves


def split_rows(prices, forecast, *, horizon=1, first=12_000):
    """Rows of prices and forecasts.

    `prices`: (tickers, days); `forecast`: (tickers, days - horizon, horizon), or a function of the moves that come.
    """
    prices = np.atleast_2d(np.asarray(prices, dtype=float))
    origins = np.arange(prices.shape[1] - horizon)
    ahead = origins[:, None] + np.arange(1, horizon + 1)  # (T, h)
    actual = prices[:, ahead]  # (N, T, h)
    naive = np.broadcast_to(prices[:, : len(origins), None], actual.shape)
    if callable(forecast):
        forecast = naive * (1 + forecast(actual / naive - 1))

    def flat(values, kind):
        return np.broadcast_to(values, actual.shape).ravel().astype(kind)

    return Rows(
        series=flat(np.arange(len(prices))[:, None, None], np.int64),
        days=flat(first + ahead, np.int32),
        step=flat(np.arange(1, horizon + 1), np.int32),
        origin=flat(first + origins[:, None], np.int32),
        actual=flat(actual, float),
        forecast=flat(forecast, float),
        naive=flat(naive, float),
    )


def walks(tickers=1, days=300, *, common=0.0, seed=0):
    """(tickers, days) random walks; `common`: share of the variance that all of them have together."""
    rng = np.random.default_rng(seed)
    own, shared = rng.standard_normal((tickers, days)), rng.standard_normal(days)
    return 50 * np.exp(np.cumsum(0.01 * (np.sqrt(1 - common) * own + np.sqrt(common) * shared), axis=1))


def noisy(noise=0.002, *, knows=0.0, seed=1):
    """A forecaster of moves that gives away a share of what comes, and adds noise of its own."""
    return lambda moves: knows * moves + noise * np.random.default_rng(seed).standard_normal(moves.shape)


def names(rows):
    return [f"T{i}" for i in range(int(rows.series.max(initial=0)) + 1)]


def moves_of(rows, **baselines):
    return Moves.of(rows, names=names(rows), baselines=baselines)
