"""Intervals around forecasts, fitted to validation residuals, and how well they hold what they promise."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forecast.evaluate.intervals.adaptive import Adaptive
    from forecast.evaluate.intervals.conformal import SplitConformal
    from forecast.evaluate.intervals.coverage import Coverage, FoldIntervals
    from forecast.evaluate.intervals.filtered import Filtered

__all__ = ["Adaptive", "Coverage", "Filtered", "FoldIntervals", "SplitConformal"]

_HOME = {
    "Adaptive": "adaptive",
    "Coverage": "coverage",
    "Filtered": "filtered",
    "FoldIntervals": "coverage",
    "SplitConformal": "conformal",
}


def __getattr__(name: str) -> object:
    """Import on first use, so that composing a config costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
