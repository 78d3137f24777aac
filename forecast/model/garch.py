"""GARCH: the variance of the next returns from those of past ones, fitted by `arch`, filtered by ourselves."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from annotated_types import Ge

from forecast.errors import UserError
from forecast.model.forecaster import BarForecaster, Forecast, OnEpoch, one_thread
from forecast.model.naive import Origins, by_series, training_origins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.layout import Layout
    from forecast.data.market import MarketData
    from forecast.data.panel import Panel
    from forecast.data.windows import WindowBatch

    Values = NDArray[np.float64]

log = logging.getLogger(__name__)

# Fewer training returns than this do not tell five parameters.
_MIN_RETURNS = 100
# A variance of 0, as of a price that never moved, has no logarithm.
_LEAST = 1e-12


class Parameters(NamedTuple):
    """Of one series, in units of its training returns' standard deviation.

    With e = return - mean, the variance of the next return is omega + (alpha + gamma [e < 0]) e^2 + beta variance.
    """

    mean: float
    omega: float
    alpha: float
    gamma: float  # 0 of GARCH(1,1)
    beta: float
    start: float  # variance of the first return
    scale: float  # standard deviation of the training returns


class Garch(BarForecaster):
    """GARCH(1,1), or GJR-GARCH, of each series' log returns from Close to Close.

    A return from Close to Close holds the night, which a variance from High and Low leaves out, so the forecast is
    rescaled: its log is moved by its mean error over the training bars of the series. Parameters are fitted once to the
    training bars. Where the fit does not converge, or there are fewer than 100 returns, this is said, and the variance
    of that series is the exponentially weighted mean of its squared returns (RiskMetrics, 0.94).

    Args:
        leverage: a term of its own for negative returns, the GJR model.
        distribution: of the returns, by which the likelihood is made: normal, or Student's t.
        max_series: a panel of more is refused: a fit takes a tenth of a second a series.

    Source: Bollerslev (1986), Generalized autoregressive conditional heteroskedasticity, Journal of Econometrics 31;
    Glosten, Jagannathan and Runkle (1993), On the relation between the expected value and the volatility of the nominal
    excess return on stocks, Journal of Finance 48; fitted by Kevin Sheppard's arch, https://arch.readthedocs.io.
    """

    history = None
    span_: int  # bars whose mean variance a value is
    power_: float  # a value is so many times the log of a variance
    parameters_: dict[str, Parameters]  # series -> those that were fitted
    other_: Parameters  # of every other series
    shifts_: (
        Values  # (series + 1, horizon) that is added to each series' logs, in this order; the last of others
    )
    not_fitted_: dict[str, str]  # series -> why

    def __init__(
        self,
        *,
        leverage: bool = False,
        distribution: Literal["normal", "t"] = "normal",
        max_series: Annotated[int, Ge(1)] = 100,
    ) -> None:
        self.leverage = leverage
        self.distribution = distribution
        self.max_series = max_series

    def fit(self, data: MarketData, *, on_epoch: OnEpoch | None = None) -> None:  # noqa: ARG002
        """See Forecaster.

        Raises:
            UserError: the target is no variance, or there are more than `max_series`.
        """
        if data.target.variance_power is None:
            raise UserError(
                f"Garch: forecasts a variance, which target={data.target.name} is not; use target=volatility or range"
            )
        names = data.panel_.names
        if len(names) > self.max_series:
            raise UserError(
                f"Garch: fits one series after the other, and {len(names):,} are more than "
                f"max_series={self.max_series:,}"
            )
        self.power_, self.span_ = data.target.variance_power, data.target.lead + 1
        self.parameters_, self.not_fitted_ = {}, {}
        scales = []
        ranges = data.panel_.rows_between(*data.split_ranges_["train"])
        import arch  # noqa: F401  before the threads are counted

        with one_thread():
            for name, (first, stop) in zip(names, ranges, strict=True):
                returns = _log_returns(data.panel_, data.layout, first, stop)
                if len(returns):
                    scales.append(float(returns.std()))
                try:
                    self.parameters_[name] = self._fit(returns)
                except _NotFittedError as error:
                    self.not_fitted_[name] = str(error)
        scale = float(np.median(scales)) if scales and np.median(scales) > 0 else 1.0
        self.other_ = Parameters(
            mean=0.0, omega=0.0, alpha=0.06, gamma=0.0, beta=0.94, start=1.0, scale=scale
        )
        for name, reason in self.not_fitted_.items():
            log.warning(
                "%s of %s: %s; its squared returns are exponentially weighted instead (RiskMetrics, 0.94)",
                self,
                name,
                reason,
            )
        self._rescale(data.panel_, data.layout, training_origins(data))

    def forecast(self, batch: WindowBatch) -> Forecast:
        """See Forecaster."""
        values = self._logs(batch.panel, batch.layout, batch.series, batch.rows, batch.horizon)
        place = {name: number for number, name in enumerate(self.parameters_)}
        which = np.asarray([place.get(name, -1) for name in batch.panel.names])[batch.series]
        return Forecast(values + self.shifts_[which])

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See Forecaster."""
        return {"shifts": self.shifts_}, {
            "span": self.span_,
            "power": self.power_,
            "parameters": {name: found._asdict() for name, found in self.parameters_.items()},
            "other": self.other_._asdict(),
            "not_fitted": self.not_fitted_,
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """See Forecaster."""
        self.shifts_, self.span_, self.power_ = arrays["shifts"], facts["span"], facts["power"]
        self.parameters_ = {name: Parameters(**found) for name, found in facts["parameters"].items()}
        self.other_, self.not_fitted_ = Parameters(**facts["other"]), dict(facts["not_fitted"])

    def __str__(self) -> str:
        return "GJR-GARCH" if self.leverage else "GARCH(1,1)"

    def _fit(self, returns: Values) -> Parameters:
        """Parameters of one series.

        Raises:
            _NotFittedError: there are none.
        """
        from arch import arch_model

        scale = float(returns.std()) if len(returns) else 0.0
        if len(returns) < _MIN_RETURNS:
            raise _NotFittedError(f"{len(returns)} training returns are fewer than {_MIN_RETURNS}")
        if not scale > _LEAST:
            raise _NotFittedError("the price never moved in training")
        units = returns / scale
        plan: dict[str, Any] = {"vol": "GARCH", "p": 1, "o": int(self.leverage), "q": 1, "rescale": False}
        model = arch_model(units, mean="Constant", dist=self.distribution, **plan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the flag says what is wrong
            found = model.fit(disp="off", show_warning=False)
        params = {name: float(value) for name, value in found.params.items()}
        if found.convergence_flag != 0 or not np.isfinite([*params.values()]).all():
            raise _NotFittedError("the fit did not converge")
        return Parameters(
            mean=params["mu"],
            omega=params["omega"],
            alpha=params["alpha[1]"],
            gamma=params.get("gamma[1]", 0.0),
            beta=params["beta[1]"],
            start=float(found.conditional_volatility[0]) ** 2,
            scale=scale,
        )

    def _rescale(self, panel: Panel, layout: Layout, origins: Origins) -> None:
        """Fit the shift of the logs of each series."""
        logs = self._logs(panel, layout, origins.series, origins.rows, origins.future.shape[1])
        errors = origins.future - logs
        own = [errors[origins.series == panel.names.index(name)] for name in self.parameters_]
        whole = errors.mean(axis=0)
        self.shifts_ = np.stack([*(one.mean(axis=0) if len(one) else whole for one in own), whole])

    def _logs(
        self,
        panel: Panel,
        layout: Layout,
        series: NDArray[np.int64],
        rows: NDArray[np.int64],
        horizon: int,
    ) -> Values:
        """(rows, horizon) logs of the mean variance of each step's bars, before they are moved."""
        found = np.empty((len(rows), horizon))
        for one, places in by_series(series):
            parameters = self.parameters_.get(panel.names[one], self.other_)
            first = panel.first_rows[one]
            returns = _log_returns(panel, layout, first, rows[places].max() + 1) / parameters.scale
            after = filtered(parameters, returns)[rows[places] - first]  # (b,) of the next return
            ahead = _steps_ahead(parameters, after, self.span_ - 1 + horizon)
            means = np.stack(
                [ahead[:, step : step + self.span_].mean(axis=1) for step in range(horizon)], axis=1
            )
            found[places] = self.power_ * np.log(np.maximum(means, _LEAST) * parameters.scale**2)
        return found


class _NotFittedError(ValueError):
    """Why a series has no parameters of its own."""


def filtered(parameters: Parameters, returns: Values) -> Values:
    """(returns + 1,) the variance of each return given those before it, and of the next one, all at once.

    Args:
        parameters: of the series.
        returns: in units of `parameters.scale`, oldest first.
    """
    import pandas as pd

    errors = returns - parameters.mean
    weights = parameters.alpha + parameters.gamma * (errors < 0)
    inputs = parameters.omega + weights * errors * errors
    # v[t + 1] = beta v[t] + inputs[t] is exponential smoothing of inputs / (1 - beta) that begins at `start`.
    beta = min(parameters.beta, 1 - 1e-9)
    levels = pd.Series(np.concatenate(([parameters.start], inputs / (1 - beta))))
    smooth: Values = levels.ewm(alpha=1 - beta, adjust=False).mean().to_numpy()
    return smooth


def _steps_ahead(parameters: Parameters, after: Values, steps: int) -> Values:
    """(rows, steps) expected variances of the returns that follow, given the first of them.

    Args:
        parameters: of the series; half of all returns to come are taken to be negative.
        after: (rows,) variance of the next return.
        steps: how many.
    """
    persistence = parameters.alpha + parameters.gamma / 2 + parameters.beta
    ahead = [after]
    for _ in range(steps - 1):
        ahead.append(parameters.omega + persistence * ahead[-1])
    return np.stack(ahead, axis=1)


def _log_returns(panel: Panel, layout: Layout, first: int, stop: int) -> Values:
    """(bars - 1,) of the rows of one series, from `first` to `stop` - 1; gaps are closed up."""
    found: Values = np.diff(np.log(panel.values[first:stop, layout.close].astype(np.float64)))
    return found
