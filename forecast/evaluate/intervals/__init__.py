"""Intervals around forecasts, calibrated on validation residuals, and how well they hold what they promise."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forecast.evaluate.intervals.adaptive import Adaptive
    from forecast.evaluate.intervals.judged import JudgedIntervals
    from forecast.evaluate.intervals.split_conformal import SplitConformal
    from forecast.evaluate.intervals.tally import IntervalTally

__all__ = ["Adaptive", "IntervalTally", "JudgedIntervals", "SplitConformal"]

_HOME = {
    "Adaptive": "adaptive",
    "IntervalTally": "tally",
    "JudgedIntervals": "judged",
    "SplitConformal": "split_conformal",
}


def __getattr__(name: str) -> object:
    """Import on first use, so that composing a config costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
