"""ARIMA and exponential smoothing of log values: fitted once to the training bars, then rolled forward."""

from __future__ import annotations

import importlib
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Le

from forecast.errors import UserError
from forecast.model.forecaster import Forecast, OnEpoch, one_thread
from forecast.model.naive import by_series, last_values, values_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.normaliser import WindowNormaliser
    from forecast.data.windows import WindowBatch

    Column = NDArray[np.float64]

# A model of daily prices that has seen fewer bars knows nothing.
_MIN_BARS = 30
# 5 % point of the KPSS statistic of level stationarity, Kwiatkowski et al. (1992), table 1.
_KPSS = 0.463
# Trend and whether it is damped: simple smoothing, Holt's, Holt's damped.
_FORMS: tuple[tuple[str | None, bool], ...] = ((None, False), ("add", False), ("add", True))


class Arima(NamedTuple):
    """An ARIMA model of log values."""

    orders: tuple[int, int, int]  # p, d, q
    mean: float  # of the differences, or of the log values themselves where d = 0
    params: list[float]  # AR and MA coefficients and the variance, as statsmodels has them


class Ets(NamedTuple):
    """A state space model of exponential smoothing with additive errors."""

    trend: str | None
    damped: bool
    params: list[float]
    damping: float  # of the trend, 1 where it is not damped


class _EachSeries(ABC):
    """A model of each series' log values, fitted to the training bars, then rolled forward from bar to bar.

    A series with fewer than 30 training bars, one that never moved in them, and one that was not trained on are
    forecast as their last value. Of a target whose values are no prices, no logarithm is taken.
    """

    quantile_levels: tuple[float, ...] | None = None
    normaliser: WindowNormaliser | None = None
    history = None
    max_series: int
    kind: type[Any]  # of model
    module: str  # of statsmodels
    logs_ = True  # whether a logarithm is taken of the values; in a run before there were other targets than prices
    models_: dict[str, Any]  # series -> its model

    @abstractmethod
    def choose(self, logs: Column) -> Any:
        """The model of log values, oldest first."""

    @abstractmethod
    def roll(self, model: Any, logs: Column, places: NDArray[np.int64], horizon: int) -> Column:
        """Log values that follow (n,) places, (n, horizon), each knowing the values up to its place alone."""

    def fit(self, data: MarketData, *, on_epoch: OnEpoch | None = None) -> None:  # noqa: ARG002
        """See Forecaster.

        Raises:
            UserError: more than `max_series`, or a value that has no logarithm.
        """
        names = data.panel_.names
        if len(names) > self.max_series:
            raise UserError(
                f"fits one series after the other, and {len(names):,} are more than max_series={self.max_series:,}"
            )
        importlib.import_module(self.module)  # before the threads are counted
        self.logs_, self.models_ = data.target.positive, {}
        ranges = data.panel_.rows_between(*data.split_ranges_["train"])
        with one_thread():
            for name, (first, stop) in zip(names, ranges, strict=True):
                known = data.panel_.values[first:stop, data.layout.target].astype(np.float64)
                if self.logs_:
                    if (known <= 0).any():
                        raise UserError(f"{name} has a price of {known.min():g}, which has no logarithm")
                    known = np.log(known)
                if len(known) >= _MIN_BARS and np.ptp(known) > 0:
                    self.models_[name] = self.choose(known)

    def forecast(self, batch: WindowBatch) -> Forecast:
        """See Forecaster; each series is filtered once over its history up to the newest bar asked for."""
        values = np.repeat(last_values(batch), batch.horizon, axis=1)
        with one_thread():
            for series, places in by_series(batch.series):
                model = self.models_.get(batch.panel.names[series])
                if model is None:
                    continue
                rows = batch.rows[places]
                # no finite forecast comes of a value without a logarithm, which whoever asked reports
                with np.errstate(divide="ignore", invalid="ignore"):
                    known = values_of(batch, series, rows.max() + 1)
                    known = np.log(known) if self.logs_ else known
                ahead = self.roll(model, known, rows - batch.panel.first_rows[series], batch.horizon)
                values[places] = np.exp(ahead) if self.logs_ else ahead
        return Forecast(values)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See Forecaster."""
        models = {name: model._asdict() for name, model in self.models_.items()}
        return {}, {"models": models, "logs": self.logs_}

    def restore(self, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:  # noqa: ARG002
        """See Forecaster."""
        self.models_ = {name: self.kind(**model) for name, model in facts["models"].items()}
        self.logs_ = facts.get("logs", self.logs_)


class AutoArima(_EachSeries):
    """ARIMA of each series' log values by statsmodels, fitted to the training bars and not refitted.

    Differenced once unless the KPSS test finds log values stationary at 5 %; then AR and MA orders, then whether the
    differences have a mean, by the corrected Akaike criterion (after Hyndman and Khandakar (2008), Automatic time
    series forecasting, Journal of Statistical Software 27). Forecasts roll forward with those parameters.

    Args:
        max_order: AR and MA order together.
        max_series: a panel of more is refused: a fit takes a second or two a series.
    """

    kind = Arima
    module = "statsmodels.tsa.arima.model"

    def __init__(
        self, *, max_order: Annotated[int, Ge(0), Le(10)] = 2, max_series: Annotated[int, Ge(1)] = 20
    ) -> None:
        self.max_order = max_order
        self.max_series = max_series

    def choose(self, logs: Column) -> Arima:
        """The orders with the least criterion."""
        once = needs_difference(logs)
        values = np.diff(logs) if once else logs
        mean = float(values.mean())
        orders = [(p, q) for p in range(self.max_order + 1) for q in range(self.max_order + 1 - p)]
        # With the mean first: without it, AR terms would be chosen that imitate one.
        best = min((_fit_arima(values, mean, p, q) for p, q in orders), key=lambda tried: tried.aicc)
        if once:
            best = min(best, _fit_arima(values, 0.0, *best.orders), key=lambda tried: tried.aicc)
        p, q = best.orders
        return Arima(orders=(p, int(once), q), mean=best.mean, params=best.params)

    def roll(self, model: Arima, logs: Column, places: NDArray[np.int64], horizon: int) -> Column:
        """See _EachSeries."""
        from statsmodels.tsa.arima.model import ARIMA

        p, d, q = model.orders
        values = np.diff(logs) if d else logs
        process = ARIMA(values - model.mean, order=(p, 0, q), trend="n")
        filtered = process.filter(np.asarray(model.params)).filter_results
        # Column t: what the bars up to and with t say of the state after them.
        state = filtered.predicted_state[:, 1:][:, places - d]  # (states, n)
        design, transition = filtered.design[:, :, 0], filtered.transition[:, :, 0]
        steps = []
        for _ in range(horizon):
            steps.append((design @ state)[0] + model.mean)
            state = transition @ state
        ahead = np.stack(steps, axis=1)  # (n, horizon)
        return logs[places, None] + np.cumsum(ahead, axis=1) if d else ahead


class AutoEts(_EachSeries):
    """Exponential smoothing of each series' log values by statsmodels, fitted to the training bars and not refitted.

    Without trend, with one, or with a damped one, whichever the corrected Akaike criterion prefers (after Hyndman et
    al. (2002), A state space framework for automatic forecasting, International Journal of Forecasting 18). Additive
    errors of logarithms are relative errors of values. Forecasts roll forward with those parameters.

    Args:
        max_series: a panel of more is refused: a fit takes a tenth of a second a series.
    """

    kind = Ets
    module = "statsmodels.tsa.exponential_smoothing.ets"

    def __init__(self, *, max_series: Annotated[int, Ge(1)] = 200) -> None:
        self.max_series = max_series

    def choose(self, logs: Column) -> Ets:
        """The form with the least criterion; one that does not converge is none to choose."""
        from statsmodels.tools.sm_exceptions import ConvergenceWarning
        from statsmodels.tsa.exponential_smoothing.ets import ETSModel

        best, least = None, math.inf
        for trend, damped in _FORMS:
            with warnings.catch_warnings():
                warnings.simplefilter("error", ConvergenceWarning)
                try:
                    fitted = ETSModel(logs, error="add", trend=trend, damped_trend=damped).fit(disp=False)
                except ConvergenceWarning:
                    continue
            if fitted.aicc < least:
                known = dict(zip(fitted.model.param_names, fitted.params, strict=True))
                damping = float(known.get("damping_trend", 1.0))
                best, least = Ets(trend, damped, fitted.params.tolist(), damping), float(fitted.aicc)
        if best is None:
            raise ValueError("no form of exponential smoothing converged")
        return best

    def roll(self, model: Ets, logs: Column, places: NDArray[np.int64], horizon: int) -> Column:
        """See _EachSeries."""
        from statsmodels.tsa.exponential_smoothing.ets import ETSModel

        process = ETSModel(logs, error="add", trend=model.trend, damped_trend=model.damped)
        smooth = process.smooth(np.asarray(model.params))
        level = np.asarray(smooth.level)[places, None]  # (n, 1) after the bar of the origin
        if model.trend is None:
            return np.repeat(level, horizon, axis=1)
        # The slope's share of each step: damping, damping + damping^2, ...
        shares = np.cumsum(model.damping ** np.arange(1, horizon + 1))
        path: Column = level + np.asarray(smooth.slope)[places, None] * shares
        return path


class _Tried(NamedTuple):
    aicc: float
    mean: float
    params: list[float]
    orders: tuple[int, int]


def _fit_arima(values: Column, mean: float, p: int, q: int) -> _Tried:
    from statsmodels.tsa.arima.model import ARIMA

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of starting values; what they lead to is compared by its likelihood
        fitted = ARIMA(values - mean, order=(p, 0, q), trend="n").fit(method="innovations_mle")
    count = len(fitted.params) + (mean != 0.0)  # the mean was estimated too
    aicc = -2 * float(fitted.llf) + 2 * count * len(values) / (len(values) - count - 1)
    return _Tried(aicc if math.isfinite(aicc) else math.inf, mean, fitted.params.tolist(), (p, q))


def needs_difference(logs: Column) -> bool:
    """Whether the KPSS test finds log values not stationary at 5 %."""
    from statsmodels.tsa.stattools import kpss

    with warnings.catch_warnings():
        # that the p-value lies outside of its table; the statistic is all we need
        warnings.simplefilter("ignore")
        # As many lags as Hyndman and Khandakar take; more of them take a random walk for stationary.
        return bool(kpss(logs, regression="c", nlags=int(3 * math.sqrt(len(logs)) / 13))[0] > _KPSS)
