"""Forecast tables for tests: tickers that share a market, forecasts that know a share of what comes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forecast.evaluate.table import ForecastTable, GivenKeys


def table(
    *, series, origin, time, step, actual, forecast, naive, names=None, horizon=None, split="test", scale=None
):
    """A table of given columns."""
    series = np.asarray(series)
    return ForecastTable(
        names=[f"T{i}" for i in range(int(series.max(initial=0)) + 1)] if names is None else names,
        horizon=int(np.max(step, initial=1)) if horizon is None else horizon,
        split=split,
        keys=GivenKeys(series, *(np.asarray(key, np.int32) for key in (origin, time, step)), actual, naive),
        forecast=forecast,
        scale=scale,
    )


def changed(rows, *, actual=None, naive=None, **fields):
    """The same rows with other columns."""
    keys = rows.keys
    if actual is not None:
        keys = replace(keys, actual=actual)
    if naive is not None:
        keys = replace(keys, naive=naive)
    return replace(rows, keys=keys, **fields)


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

    return table(
        series=flat(np.arange(len(prices))[:, None, None], np.int64),
        time=flat(first + ahead, np.int32),
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


def beside(rows, **baselines):
    """The same rows with what baselines forecast."""
    return replace(rows, baselines=baselines)


def residual_rows(residuals, *, first=0, close=100.0, gaps=(), split="val"):
    """Rows of (tickers, days, steps) residuals, shares of a last Close that never moves; forecast = naive.

    Args:
        residuals: signed, as shares of the last Close.
        first: number of the first origin.
        close: of all tickers, or one a ticker.
        gaps: positions of origins before which ten days are missing.
        split: of the rows.
    """
    tickers, days, steps = residuals.shape
    calendar = first + np.arange(days + steps)
    for gap in gaps:
        calendar[gap:] += 10
    ahead = (np.arange(days)[:, None] + np.arange(1, steps + 1)).ravel()
    closes = np.repeat(np.broadcast_to(np.asarray(close, float), (tickers,)), days * steps)
    return table(
        series=np.repeat(np.arange(tickers), days * steps),
        origin=np.tile(np.repeat(calendar[:days], steps), tickers),
        time=np.tile(calendar[ahead], tickers),
        step=np.tile(np.arange(1, steps + 1), tickers * days),
        actual=closes * (1 + residuals.ravel()),
        forecast=closes.copy(),
        naive=closes,
        split=split,
    )


def spoilt(rows, *, after):
    """The same rows with other outcomes on days later than `after`."""
    return changed(rows, actual=np.where(rows.time > after, rows.actual * 3 + 7, rows.actual))


def share_inside(rows, bounds):
    """Of outcomes, level by level."""
    return ((bounds[:, 0] <= rows.actual) & (rows.actual <= bounds[:, 1])).mean(axis=1)
