"""Evaluating forecasts: figures beside "tomorrow = today", the verdict in words, plots and the report."""

from __future__ import annotations

from forecast.lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "folds": ["Holdout", "WalkForward"],
        "metrics": ["Metrics", "from_table", "metric"],
        "risk": ["Risk"],
        "significance": ["Significance"],
        "table": ["ForecastTable"],
        "trading_rule": ["TradingRule"],
        "verdict": ["Verdict"],
    },
)
