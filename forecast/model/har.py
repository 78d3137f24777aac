"""HAR: the next value from means of the last day, week and month (heterogeneous autoregression)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge, Le, MinLen

from forecast.errors import UserError
from forecast.model.forecaster import LEAST_CHANCE, BarForecaster, Forecast, OnEpoch, one_thread
from forecast.model.naive import last_values_of, training_origins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.layout import Layout
    from forecast.data.market import MarketData
    from forecast.data.panel import Panel
    from forecast.data.windows import WindowBatch

    Values = NDArray[np.float64]
    Rows = NDArray[np.int64]

_MAX_BARS = 10_000
# Values gathered at once, 64 MiB.
_CHUNK = 2**23
# A series with fewer training rows for each coefficient is forecast with those of all series together.
_ROWS_PER_COEFFICIENT = 10


class Har(BarForecaster):
    """Linear regression on means of the last values over a day, a week and a month, one for each step ahead.

    A target of logarithms (volatility, range, volume) or of prices is regressed in logs on logs of means, so that no
    forecast is below 0; other targets as they are. The regressors are means of single bars also where the target is a
    mean of several. A series with too few training rows, or none, takes the coefficients of all series together.

    It is fitted to every training bar that the panel holds, and that begins after the warm-up of data.features: least
    squares over the bars before as well (22 of them with data=volatility_single) differ by some tenths of a percent.
    Where too few bars have the whole longest mean before them, all are fitted to, with means of the bars there are.

    Args:
        bars: over how many of the last bars each mean is taken, ascending.
        leverage: regress also on the mean return over each of these spans, where it is negative: volatility rises
            more after a fall (Corsi and Reno 2012, Discrete-time volatility forecasting with persistent leverage
            effect, Journal of Business and Economic Statistics 30).
        pooled: one set of coefficients, from all series together.
        covariates: regress also on the covariates of the last bar (HAR-X); those known ahead, each on its own step.
        geometric: of logs and prices, the mean of logs, which a single wild bar moves less than the log of the mean.

    Raises:
        UserError: `bars` are not ascending.

    Source: Corsi (2009), A simple approximate long-memory model of realized volatility, Journal of Financial
    Econometrics 7, https://doi.org/10.1093/jjfinec/nbp001.
    """

    saved = ("coefficients", "intercepts", "series", "logs", "positive", "chances")
    series_: list[str]  # that have coefficients of their own
    coefficients_: Values  # (series + 1, regressors, horizon); the last ones are of all series together
    intercepts_: Values  # (series + 1, horizon)
    logs_: bool  # whether the target's values are logs
    positive_: bool  # whether they have some
    chances_: bool  # whether they are probabilities

    def __init__(
        self,
        *,
        bars: Annotated[Sequence[Annotated[int, Ge(1), Le(_MAX_BARS)]], MinLen(1)] = (1, 5, 22),
        leverage: bool = False,
        pooled: bool = False,
        covariates: bool = False,
        geometric: bool = False,
    ) -> None:
        if list(bars) != sorted(set(bars)):
            raise UserError(f"model.bars={list(bars)}: must be ascending, such as [1,5,22]")
        self.bars = list(bars)
        self.leverage = leverage
        self.pooled = pooled
        self.covariates = covariates
        self.geometric = geometric

    @property
    def history(self) -> int:
        """See Forecaster: a return over n bars takes n + 1 prices."""
        return self.bars[-1] + self.leverage

    def fit(self, data: MarketData, *, on_epoch: OnEpoch | None = None) -> None:  # noqa: ARG002
        """See Forecaster.

        Raises:
            UserError: too few training bars have a whole history before them.
        """
        target = data.target
        self.logs_, self.positive_ = target.logs, target.positive
        self.chances_ = target.relation == "probability"
        origins = training_origins(data)
        before = origins.rows - data.panel_.first_rows[origins.series]
        beside = self._beside(data.layout, 1)
        count = len(self.bars) * (1 + self.leverage) + len(beside)
        need = _ROWS_PER_COEFFICIENT * (count + 1)
        whole = before >= self.history - 1
        if whole.sum() < need:  # as in `forecast`, means are then of the bars there are
            whole = before >= 0
        series, rows, future = origins.series[whole], origins.rows[whole], origins.future[whole]
        if len(rows) < need:
            raise UserError(
                f"Har: means over bars={self.bars} can be taken at {len(rows):,} training bars, needs {need}: "
                "ask for a longer data.period, or for shorter means"
            )
        inputs = self._regressors(data.panel_, data.layout, series, rows)  # (rows, R)
        further = self._further(data.panel_, data.layout, rows, data.horizon)  # (rows, C, horizon)
        outputs = np.log(future) if self.positive_ else future
        own = [] if self.pooled else [s for s in np.unique(series) if (series == s).sum() >= need]
        with one_thread():
            solved = [
                _least_squares(inputs[places], further[places], outputs[places])
                for places in [*(series == s for s in own), slice(None)]
            ]
        self.series_ = [data.panel_.names[s] for s in own]
        self.coefficients_ = np.stack([coefficients for coefficients, _ in solved])
        self.intercepts_ = np.stack([intercepts for _, intercepts in solved])

    def forecast(self, batch: WindowBatch) -> Forecast:
        """See Forecaster; where a series has fewer bars than a mean is taken over, it is taken over those."""
        inputs = self._regressors(batch.panel, batch.layout, batch.series, batch.rows)[:, :, None]
        further = self._further(batch.panel, batch.layout, batch.rows, batch.horizon)
        if further.shape[1]:
            inputs = np.concatenate((inputs.repeat(batch.horizon, axis=2), further), axis=1)
        own = {name: place for place, name in enumerate(self.series_)}
        which = np.asarray([own.get(name, len(own)) for name in batch.panel.names])[batch.series]
        values = np.empty((len(inputs), self.intercepts_.shape[1]))
        for one in np.unique(which):  # few: those of a batch
            places = which == one
            # Written out, since a product of matrices rounds a row as the others beside it have it.
            products = inputs[places] * self.coefficients_[one]  # (b, regressors, horizon)
            values[places] = products.sum(axis=1) + self.intercepts_[one]
        if self.positive_:
            values = np.exp(values)
        if self.chances_:
            values = values.clip(LEAST_CHANCE, 1 - LEAST_CHANCE)
        return Forecast(values)

    def _beside(self, layout: Layout, step: int) -> list[int]:
        """Columns of the covariates that are regressors of a step."""
        return layout.covariates_of(step) if self.covariates else []

    def _further(self, panel: Panel, layout: Layout, rows: Rows, horizon: int) -> Values:
        """(rows, covariates, horizon): what is known of each step beside the bars."""
        columns = np.asarray([self._beside(layout, step) for step in range(1, horizon + 1)], np.int64)
        return panel.values[rows[:, None, None], columns.T].astype(np.float64)

    def _regressors(self, panel: Panel, layout: Layout, series: Rows, rows: Rows) -> Values:
        """(rows, regressors): means, in logs where the target has them, then negative returns."""
        first = panel.first_rows[series]
        columns = np.empty((len(rows), len(self.bars) * (1 + self.leverage)))
        size = max(_CHUNK // self.history, 1)
        for start in range(0, len(rows), size):
            some = slice(start, start + size)
            values, known = last_values_of(panel, layout.bar_values, first[some], rows[some], self.bars[-1])
            found = self._means(values, known)
            if self.leverage:
                closes, known = last_values_of(panel, layout.close, first[some], rows[some], self.history)
                found += [np.minimum(mean, 0.0) for mean in _mean_returns(closes, known, self.bars)]
            columns[some] = np.stack(found, axis=1)
        return columns

    def _means(self, values: Values, known: NDArray[np.bool_]) -> list[Values]:
        """Means as regressors: the log of a mean of values, or the mean of their logs."""
        if self.geometric:
            return running_means(np.log(values) if self.positive_ else values, known, self.bars)
        means = running_means(np.exp(values) if self.logs_ else values, known, self.bars)
        return [np.log(mean) if self.logs_ or self.positive_ else mean for mean in means]


def running_means(values: Values, known: NDArray[np.bool_], spans: Sequence[int]) -> list[Values]:
    """(rows,) for each span the mean of the newest values that are known.

    Args:
        values: (rows, bars) newest first.
        known: (rows, bars) whether there is such a bar.
        spans: bars.
    """
    return [
        np.where(known[:, :span], values[:, :span], 0.0).sum(axis=1) / known[:, :span].sum(axis=1)
        for span in spans
    ]


def _mean_returns(closes: Values, known: NDArray[np.bool_], spans: Sequence[int]) -> list[Values]:
    """(rows,) for each span the mean log return a bar, of the bars that are known.

    Args:
        closes: (rows, bars) newest first; at the end of those that are known the oldest one stands again.
        known: (rows, bars) whether there is such a bar.
        spans: bars.
    """
    logs = np.log(closes)
    return [
        (logs[:, 0] - logs[:, span]) / np.maximum(known[:, 1 : span + 1].sum(axis=1), 1) for span in spans
    ]


def _least_squares(inputs: Values, further: Values, outputs: Values) -> tuple[Values, Values]:
    """Coefficients (regressors, horizon) and intercepts (horizon,); where regressors tell nothing, the least.

    Args:
        inputs: (rows, regressors) of every step.
        further: (rows, regressors, horizon) of each step its own.
        outputs: (rows, horizon).
    """
    if not further.shape[1]:
        return _solved(inputs, outputs)
    steps = [
        _solved(np.concatenate((inputs, further[..., step]), axis=1), outputs[:, step : step + 1])
        for step in range(outputs.shape[1])
    ]
    return np.concatenate([one for one, _ in steps], axis=1), np.concatenate([level for _, level in steps])


def _solved(inputs: Values, outputs: Values) -> tuple[Values, Values]:
    middle, level = inputs.mean(axis=0), outputs.mean(axis=0)
    away = inputs - middle
    spread = away.std(axis=0)
    spread[spread <= 1e-12 * np.abs(middle)] = np.inf  # the same number, but for its rounding
    scaled = away / spread
    coefficients = np.linalg.lstsq(scaled, outputs - level, rcond=None)[0] / spread[:, None]
    return coefficients, level - middle @ coefficients
