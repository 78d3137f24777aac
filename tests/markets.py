"""Small markets for tests: bars one can corrupt, and MarketData over them."""

import numpy as np
import pandas as pd

from forecast.data import MarketData, TimeSeriesScaler
from forecast.data.features import NoProcessing, Returns, Technical, Volatility, WithRange

FEATURES = {
    "no_processing": NoProcessing,
    "range": WithRange,
    "returns": Returns,
    "technical": Technical,
    "volatility": Volatility,
}
STRATEGIES = {
    f"{name}_{scope}": (features, scope)
    for name, features in FEATURES.items()
    for scope in ("single", "multiple", "panel")
}


class Memory:
    """A source that delivers given tables."""

    def __init__(self, tables):
        self.tables = tables

    def tickers(self):
        return list(self.tables)

    def bars(self, ticker):
        return self.tables[ticker].copy()


def random_bars(count, *, seed, first="2020-01-01"):
    """A random walk with consistent Open, High, Low, Close."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, count)))
    opened = close * np.exp(rng.normal(0, 0.005, count))
    high = np.maximum(opened, close) * (1 + rng.uniform(0, 0.01, count))
    low = np.minimum(opened, close) * (1 - rng.uniform(0, 0.01, count))
    volume = rng.integers(1_000, 1_000_000, count).astype(float)
    index = pd.bdate_range(first, periods=count, name="Date").as_unit("ns")
    return pd.DataFrame(
        {"Open": opened, "High": high, "Low": low, "Close": close, "Volume": volume}, index=index
    )


def tables(count=160, *, number=3):
    """Tickers that start one after the other and end together."""
    return {f"T{i}": random_bars(count, seed=i).iloc[i * 7 :] for i in range(number)}


def market(source_tables, strategy, **keys):
    """Prepared data of a strategy over given tables."""
    features, scope = STRATEGIES[strategy]
    names = list(source_tables)[:1] if scope == "single" else list(source_tables)
    plan = {"seq_len": 8, "horizon": 2, "scaler": TimeSeriesScaler()} | keys
    data = MarketData(source=Memory(source_tables), features=features(), scope=scope, tickers=names, **plan)
    data.prepare()
    return data
