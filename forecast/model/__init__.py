"""Windows to forecasts: networks and their training, classical forecasters, baselines, forecasts from raw bars."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "AroundReference": "network",
    "Average": "average",
    "AutoArima": "classical",
    "AutoEts": "classical",
    "Baselines": "baselines",
    "Drift": "naive",
    "Ensemble": "network",
    "Estimator": "estimator",
    "Ewma": "naive",
    "Forecast": "forecaster",
    "Forecaster": "forecaster",
    "Garch": "garch",
    "Har": "har",
    "HistoricalMean": "naive",
    "LayeredNetwork": "network",
    "MovingAverage": "naive",
    "Naive": "naive",
    "Predictor": "inference",
    "Ridge": "regression",
    "SeasonalMean": "naive",
    "Trainer": "trainer",
    "TrainingMean": "naive",
    "TrainingResult": "forecaster",
    "Trees": "regression",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    """Import on first use, so that composing a config costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
