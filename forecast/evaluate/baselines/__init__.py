"""What a network has to beat besides "tomorrow = today", judged on the same rows: the `baselines` node of a config.

A baseline is a class with `fit(data)` and `predict(data, batch)`, see baseline.py; a YAML line runs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "AutoArima": "auto_arima",
    "AutoEts": "auto_ets",
    "Baseline": "baseline",
    "BaselineTally": "tally",
    "Baselines": "members",
    "Drift": "drift",
    "Fits": "fits",
    "HistoricalMean": "historical_mean",
    "MovingAverage": "moving_average",
    "Ridge": "ridge",
    "Trees": "trees",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
