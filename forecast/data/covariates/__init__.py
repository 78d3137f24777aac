"""Covariates: what else is known when a forecast is made, the `data.covariates` nodes of a config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.lazy import lazy

if TYPE_CHECKING:
    from forecast.data.covariates.ahead import (
        CalendarCovariate as CalendarCovariate,
        EventCovariate as EventCovariate,
        HolidayCovariate as HolidayCovariate,
    )
    from forecast.data.covariates.base import (
        BarRows as BarRows,
        Covariate as Covariate,
        Covariates as Covariates,
    )
    from forecast.data.covariates.past import PastCovariate as PastCovariate
    from forecast.data.covariates.static import StaticCovariate as StaticCovariate

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "ahead": ["CalendarCovariate", "EventCovariate", "HolidayCovariate"],
        "base": ["BarRows", "Covariate", "Covariates"],
        "past": ["PastCovariate"],
        "static": ["StaticCovariate"],
    },
)
