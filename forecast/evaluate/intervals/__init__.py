"""Intervals around forecasts, fitted to validation residuals, and how well they hold what they promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.lazy import lazy

if TYPE_CHECKING:
    from forecast.evaluate.intervals.adaptive import Adaptive as Adaptive
    from forecast.evaluate.intervals.conformal import SplitConformal as SplitConformal
    from forecast.evaluate.intervals.coverage import Coverage as Coverage, FoldIntervals as FoldIntervals
    from forecast.evaluate.intervals.filtered import Filtered as Filtered

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "adaptive": ["Adaptive"],
        "conformal": ["SplitConformal"],
        "coverage": ["Coverage", "FoldIntervals"],
        "filtered": ["Filtered"],
    },
)
