"""Earlier names of what is in forecast.model, and the figures of the baselines."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "AutoArima": "forecast.model.classical",
    "AutoEts": "forecast.model.classical",
    "BaselineCache": "forecast.model.baselines",
    "Baselines": "forecast.model.baselines",
    "Drift": "forecast.model.naive",
    "HistoricalMean": "forecast.model.naive",
    "MovingAverage": "forecast.model.naive",
    "Ridge": "forecast.model.regression",
    "Trees": "forecast.model.regression",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
