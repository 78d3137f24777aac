"""Forecast tables as a run writes them, made from a seeded walk."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session")
def walk():
    """A maker of forecast tables.

    `knows` is the share of the coming move that the forecast gives away (a leak where large), `noise` its own
    random moves as a share of the market's, `lag` how many days the price it repeats is older than the last.
    """

    def make(*, tickers=("AAPL",), days=800, horizon=1, knows=0.0, noise=0.05, lag=0, seed=0):
        rng = np.random.default_rng(seed)
        calendar = pd.bdate_range("2001-01-01", periods=days).astype("datetime64[ns]")
        origins = np.arange(20, days - horizon)
        splits = np.where(origins < 0.7 * days, "train", np.where(origins < 0.85 * days, "val", "test"))
        pieces = []
        for ticker in tickers:
            price = 50 * np.exp(np.cumsum(0.012 * rng.standard_t(5, size=days)))
            for step in range(1, horizon + 1):
                actual, naive = price[origins + step], price[origins]
                own = noise * 0.015 * naive * rng.standard_normal(len(origins))
                forecast = price[origins - lag] + knows * (actual - naive) + own
                columns = {"actual": actual, "forecast": forecast, "naive": naive}
                keys = {"ticker": ticker, "date": calendar[origins + step], "split": splits, "step": step}
                pieces.append(pd.DataFrame(keys | columns))
        return pd.concat(pieces, ignore_index=True)

    return make
