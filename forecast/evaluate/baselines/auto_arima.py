"""ARIMA of log prices, its orders chosen on the training days."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, NamedTuple

from annotated_types import Ge, Le

from forecast.evaluate.baselines.log_series import Learnt, forecast_each, learn_each, need_statsmodels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.windows import WindowBatch

    Column = NDArray[np.float64]

# 5 % point of the KPSS statistic of level stationarity, Kwiatkowski et al. (1992), table 1.
_KPSS = 0.463


class Arima(NamedTuple):
    """An ARIMA model of log prices."""

    orders: tuple[int, int, int]  # p, d, q
    mean: float  # of the differences, or of the log prices themselves where d = 0
    params: NDArray[np.float64]  # AR and MA coefficients and the variance, as statsmodels has them


class AutoArima:
    """ARIMA of each series' log prices by statsmodels, fitted to the training days and not refitted.

    Differenced once unless the KPSS test finds log prices stationary at 5 %; then AR and MA orders, then whether the
    differences have a mean, by the corrected Akaike criterion (after Hyndman and Khandakar (2008), Automatic time
    series forecasting, Journal of Statistical Software 27). Forecasts follow with those parameters from bar to bar. A
    series with fewer than 30 training bars, or one whose price never moved in them, is forecast as its last price.

    Args:
        max_order: AR and MA order together.
        max_series: a panel of more is left out: a fit takes a second or two a series.

    Raises:
        UserError: statsmodels is missing.
    """

    models_: list[Learnt[Arima]]  # of each series

    def __init__(
        self, *, max_order: Annotated[int, Ge(0), Le(10)] = 2, max_series: Annotated[int, Ge(1)] = 20
    ) -> None:
        self.max_order = max_order
        self.max_series = max_series
        need_statsmodels("AutoArima")

    def fit(self, data: MarketData) -> None:
        """See Baseline."""
        import statsmodels.tsa.arima.model  # noqa: F401  before the threads are counted

        from forecast.evaluate.baselines.threads import one_thread

        with one_thread():
            self.models_ = learn_each(data, self._learn, max_series=self.max_series)

    def predict(self, data: MarketData, batch: WindowBatch) -> Column:
        """See Baseline."""
        from forecast.evaluate.baselines.threads import one_thread

        with one_thread():
            return forecast_each(data, batch, self.models_, _follow)

    def _learn(self, logs: Column) -> Arima:
        import numpy as np

        once = _wanders(logs)
        values = np.diff(logs) if once else logs
        mean = float(values.mean())
        orders = [(p, q) for p in range(self.max_order + 1) for q in range(self.max_order + 1 - p)]
        # With the mean first: without it, AR terms would be chosen that imitate one.
        tried = [_fit(values, mean, *order) for order in orders]
        if once:
            tried.append(_fit(values, 0.0, *orders[_least(tried)]))
        _, mean, params, (p, q) = tried[_least(tried)]
        return Arima(orders=(p, int(once), q), mean=mean, params=params)


class _Tried(NamedTuple):
    aicc: float
    mean: float
    params: NDArray[np.float64]
    orders: tuple[int, int]


def _least(tried: list[_Tried]) -> int:
    return min(range(len(tried)), key=lambda place: tried[place].aicc)


def _fit(values: Column, mean: float, p: int, q: int) -> _Tried:
    import warnings

    from statsmodels.tsa.arima.model import ARIMA

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of starting values; what they lead to is judged by its likelihood
        found = ARIMA(values - mean, order=(p, 0, q), trend="n").fit(method="innovations_mle")
    count = len(found.params) + (mean != 0.0)  # the mean was estimated too
    aicc = -2 * float(found.llf) + 2 * count * len(values) / (len(values) - count - 1)
    return _Tried(aicc if math.isfinite(aicc) else math.inf, mean, found.params, (p, q))


def _wanders(logs: Column) -> bool:
    import warnings

    from statsmodels.tsa.stattools import kpss

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # that the p-value lies outside of its table; the statistic is all we need
        # As many lags as Hyndman and Khandakar take; more of them take a random walk for stationary.
        return bool(kpss(logs, regression="c", nlags=int(3 * math.sqrt(len(logs)) / 13))[0] > _KPSS)


def _follow(model: Arima, logs: Column, places: NDArray[np.int64], horizon: int) -> Column:
    import numpy as np
    from statsmodels.tsa.arima.model import ARIMA

    p, d, q = model.orders
    values = np.diff(logs) if d else logs
    filtered = ARIMA(values - model.mean, order=(p, 0, q), trend="n").filter(model.params).filter_results
    # Column t: what the bars up to and with t say of the state after them.
    state = filtered.predicted_state[:, 1:][:, places - d]  # (states, n)
    design, transition = filtered.design[:, :, 0], filtered.transition[:, :, 0]
    steps = []
    for _ in range(horizon):
        steps.append((design @ state)[0] + model.mean)
        state = transition @ state
    ahead = np.stack(steps, axis=1)  # (n, horizon)
    return logs[places, None] + np.cumsum(ahead, axis=1) if d else ahead
