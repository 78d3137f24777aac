"""Prices that no market has: every figure is finite or null, and nothing warns."""

import json

import numpy as np
import pytest
from tables import beside, table

from forecast.evaluate import Significance, TradingRule
from forecast.evaluate.skill import skill

PRICES = [0.0, 1.0, -1.0, 1e-300, 1e300, 1e155, 100.0, 100.0000001, 5.0]


@pytest.mark.parametrize(
    "summary",
    [Significance().summary, skill, TradingRule().summary],
    ids=["significance", "skill", "trading rule"],
)
def test_finite_or_null(summary):
    rng = np.random.default_rng(0)
    for _ in range(60):
        tickers, days, horizon = (int(rng.integers(1, most)) for most in (5, 40, 4))
        count = tickers * days * horizon
        known = rng.choice(PRICES, size=int(rng.integers(1, 4)))
        rows = table(
            series=np.repeat(np.arange(tickers), days * horizon),
            time=np.zeros(count, np.int32),
            step=np.tile(np.arange(1, horizon + 1, dtype=np.int32), tickers * days),
            origin=np.tile(np.repeat(np.arange(-5, days - 5, dtype=np.int32), horizon), tickers),
            actual=rng.choice(known, count),
            forecast=rng.choice(known, count),
            naive=np.repeat(rng.choice(known, tickers * days), horizon),
            names=[f"T{i}" for i in range(tickers + 1)],  # the last has no rows
        )
        found = summary(beside(rows, drift=rng.choice([*known, np.nan], count), copy=rows.forecast))
        json.dumps([found.record, found.metrics], allow_nan=False)
        assert all(value is None or np.isfinite(value) for value in found.metrics.values())
        assert all("nan" not in line and "inf " not in line for line in found.lines)
