"""Exponential smoothing of log prices, its form chosen on the training days."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, NamedTuple

from annotated_types import Ge

from forecast.evaluate.baselines.log_series import Learnt, forecast_each, learn_each, need_statsmodels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.windows import WindowBatch

    Column = NDArray[np.float64]

# Trend and whether it is damped: simple smoothing, Holt's, Holt's damped.
_FORMS = ((None, False), ("add", False), ("add", True))


class Ets(NamedTuple):
    """A state space model of exponential smoothing with additive errors."""

    trend: str | None
    damped: bool
    params: NDArray[np.float64]
    damping: float  # of the trend, 1 where it is not damped


class AutoEts:
    """Exponential smoothing of each series' log prices by statsmodels, fitted to the training days and not refitted.

    Without trend, with one, or with a damped one, whichever the corrected Akaike criterion prefers (after Hyndman et
    al. (2002), A state space framework for automatic forecasting, International Journal of Forecasting 18). Additive
    errors of logarithms are relative errors of prices. Forecasts follow with those parameters from bar to bar. A
    series with fewer than 30 training bars, or one whose price never moved in them, is forecast as its last price.

    Args:
        max_series: a panel of more is left out: a fit takes a tenth of a second a series.

    Raises:
        UserError: statsmodels is missing.
    """

    models_: list[Learnt[Ets]]  # of each series

    def __init__(self, *, max_series: Annotated[int, Ge(1)] = 200) -> None:
        self.max_series = max_series
        need_statsmodels("AutoEts")

    def fit(self, data: MarketData) -> None:
        """See Baseline."""
        import statsmodels.tsa.exponential_smoothing.ets  # noqa: F401  before the threads are counted

        from forecast.evaluate.baselines.threads import one_thread

        with one_thread():
            self.models_ = learn_each(data, _learn, max_series=self.max_series)

    def predict(self, data: MarketData, batch: WindowBatch) -> Column:
        """See Baseline."""
        from forecast.evaluate.baselines.threads import one_thread

        with one_thread():
            return forecast_each(data, batch, self.models_, _follow)


def _learn(logs: Column) -> Ets:
    import warnings

    from statsmodels.tools.sm_exceptions import ConvergenceWarning
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    best, least = None, math.inf
    for trend, damped in _FORMS:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            try:
                found = ETSModel(logs, error="add", trend=trend, damped_trend=damped).fit(disp=False)
            except ConvergenceWarning:
                continue  # a form that does not converge is none to choose
        if found.aicc < least:
            damping = dict(zip(found.model.param_names, found.params, strict=True)).get("damping_trend", 1.0)
            best, least = Ets(trend, damped, found.params, float(damping)), float(found.aicc)
    if best is None:
        raise ValueError("no form of exponential smoothing converged")
    return best


def _follow(model: Ets, logs: Column, places: NDArray[np.int64], horizon: int) -> Column:
    import numpy as np
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    smooth = ETSModel(logs, error="add", trend=model.trend, damped_trend=model.damped).smooth(model.params)
    level = np.asarray(smooth.level)[places, None]  # (n, 1) after the bar of the origin
    if model.trend is None:
        return np.repeat(level, horizon, axis=1)
    # The slope's share of each step: damping, damping + damping^2, ...
    shares = np.cumsum(model.damping ** np.arange(1, horizon + 1))
    path: Column = level + np.asarray(smooth.slope)[places, None] * shares
    return path
