"""Bars made up on an exchange's true times: any interval, any calendar, a few lines a table."""

import functools
import warnings

import numpy as np
import pandas as pd

PERIODS = {"1m": "1min", "5m": "5min", "15m": "15min", "30m": "30min", "1h": "1h"}


@functools.cache
def times(calendar, interval, *, last, count):
    """(count,) times of bars up to a day: UTC without a zone of intraday ones, dates of days, Mondays of weeks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import exchange_calendars

        end = pd.Timestamp(last)
        days = {"1d": 2, "1wk": 8, "1mo": 32}.get(interval, 1) * count
        start = end - pd.Timedelta(days=days + 10)
        begins = pd.Timestamp("2021-01-03")  # what the library knows of Riyadh
        start = max(start, begins) if calendar == "XSAU" else start
        built = exchange_calendars.get_calendar(calendar, start=start, end=end)
        sessions = built.sessions
        if interval in PERIODS:
            index = built.trading_index(
                sessions[0], sessions[-1], PERIODS[interval], intervals=False, closed="left", force=True
            ).tz_localize(None)
        elif interval == "1d":
            index = sessions
        elif interval == "1wk":
            index = pd.DatetimeIndex(np.unique(sessions.to_period("W").start_time))
        else:
            index = pd.DatetimeIndex(np.unique(sessions.to_period("M").start_time))
    assert len(index) >= count
    return pd.DatetimeIndex(index[-count:], name="Date").as_unit("ns")


def bars(index, *, seed=0, seasonal=None):
    """A random walk on given times, consistent in Open, High, Low, Close.

    Args:
        index: times of the bars.
        seed: of the walk.
        seasonal: (bars,) factor of the volatility; None = 1.
    """
    rng = np.random.default_rng(seed)
    count = len(index)
    scale = 0.01 * (np.ones(count) if seasonal is None else seasonal)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 1, count) * scale))
    opened = close * np.exp(rng.normal(0, 0.3, count) * scale)
    high = np.maximum(opened, close) * np.exp(rng.uniform(0, 1, count) * scale)
    low = np.minimum(opened, close) * np.exp(-rng.uniform(0, 1, count) * scale)
    volume = rng.integers(1_000, 1_000_000, count).astype(float)
    return pd.DataFrame(
        {"Open": opened, "High": high, "Low": low, "Close": close, "Volume": volume}, index=index
    )
