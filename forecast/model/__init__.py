"""Windows to forecasts: layers, the network, the forecaster, its training."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forecast.model.ensemble import Ensemble
    from forecast.model.network import LayeredNetwork
    from forecast.model.trainer import Trainer

__all__ = ["Ensemble", "LayeredNetwork", "Trainer"]

_HOME = {
    "Ensemble": "forecast.model.ensemble",
    "LayeredNetwork": "forecast.model.network",
    "Trainer": "forecast.model.trainer",
}


def __getattr__(name: str) -> object:
    """Import on first use, so that composing a config costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
