"""What a strategy shows the network: features of one ticker's bars, each computed from its own bar or earlier ones."""

from __future__ import annotations

from forecast.data.features.base import (
    PRICE,
    Features,
    NoProcessing,
    Relation,
    WithRange,
    calendar_columns,
    for_market,
    warm_up,
)
from forecast.data.features.calendar import WithCalendar, sessions_ahead, sessions_named, with_calendar
from forecast.data.features.returns import Returns
from forecast.data.features.technical import Technical
from forecast.data.features.volatility import Volatility

__all__ = [
    "PRICE",
    "Features",
    "NoProcessing",
    "Relation",
    "Returns",
    "Technical",
    "Volatility",
    "WithCalendar",
    "WithRange",
    "calendar_columns",
    "for_market",
    "sessions_ahead",
    "sessions_named",
    "warm_up",
    "with_calendar",
]
