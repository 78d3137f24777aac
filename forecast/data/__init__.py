"""Bars to windows: sources, health checks, strategies, split, scaler, windows."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forecast.data.health import HealthCheck
    from forecast.data.market import MarketData
    from forecast.data.scaler import TimeSeriesScaler

__all__ = ["HealthCheck", "MarketData", "TimeSeriesScaler"]

_HOME = {
    "HealthCheck": "forecast.data.health",
    "MarketData": "forecast.data.market",
    "TimeSeriesScaler": "forecast.data.scaler",
}


def __getattr__(name: str) -> object:
    """Import on first use, so that composing a config costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
