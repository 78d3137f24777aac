"""Judging forecasts: figures beside "tomorrow = today", the verdict in words, plots and the report.

Importing this package imports nothing else: each name is fetched when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_NAMES = {
    "ForecastTable": "table",
    "Holdout": "folds",
    "Metrics": "metrics",
    "Risk": "risk",
    "Significance": "significance",
    "TradingRule": "trading_rule",
    "Verdict": "verdict",
    "WalkForward": "folds",
    "from_table": "metrics",
    "metric": "metrics",
}
_MODULES = ("metrics", "report", "verdict")

__all__ = [*_NAMES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _NAMES:
        return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
