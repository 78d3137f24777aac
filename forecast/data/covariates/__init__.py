"""Covariates: what else is known when a forecast is made, the `data.covariates` nodes of a config."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forecast.data.covariates.ahead import CalendarCovariate, EventCovariate, HolidayCovariate
    from forecast.data.covariates.base import BarRows, Covariate, Covariates
    from forecast.data.covariates.past import PastCovariate
    from forecast.data.covariates.static import StaticCovariate

__all__ = [
    "BarRows",
    "CalendarCovariate",
    "Covariate",
    "Covariates",
    "EventCovariate",
    "HolidayCovariate",
    "PastCovariate",
    "StaticCovariate",
]

_HOME = {
    "BarRows": "base",
    "CalendarCovariate": "ahead",
    "Covariate": "base",
    "Covariates": "base",
    "EventCovariate": "ahead",
    "HolidayCovariate": "ahead",
    "PastCovariate": "past",
    "StaticCovariate": "static",
}


def __getattr__(name: str) -> object:
    """Import on first use, so that checking a config costs no more than the classes it names."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
