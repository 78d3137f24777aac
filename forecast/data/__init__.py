"""Bars to windows: sources, health checks, strategies, split, scaler, windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.lazy import lazy

if TYPE_CHECKING:
    from forecast.data.health import HealthCheck as HealthCheck
    from forecast.data.market import MarketData as MarketData
    from forecast.data.scaler import TimeSeriesScaler as TimeSeriesScaler

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "health": ["HealthCheck"],
        "market": ["MarketData"],
        "scaler": ["TimeSeriesScaler"],
    },
)
