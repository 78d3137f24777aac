"""Forecasters that look at past values alone: the last one, moved on or averaged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from forecast.model.forecaster import BarForecaster, Forecast, OnEpoch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.layout import Layout
    from forecast.data.market import MarketData
    from forecast.data.panel import Panel
    from forecast.data.windows import WindowBatch

    Values = NDArray[np.float64]
    Rows = NDArray[np.int64]

_MAX_WINDOW = 10_000
# Values gathered at once by a moving average, 64 MiB.
_CHUNK = 2**23


def last_values(batch: WindowBatch) -> Values:
    """(batch, 1) the last value of the target that each window knows: "tomorrow = today"."""
    found: Values = batch.panel.values[batch.rows, batch.layout.target].astype("float64")[:, None]
    return found


def values_of(batch: WindowBatch, series: int, stop: int) -> Values:
    """(bars,) the target of a series from its first row in the panel to row `stop` - 1; gaps are closed up."""
    first = batch.panel.first_rows[series]
    found: Values = batch.panel.values[first:stop, batch.layout.target].astype("float64")
    return found


def by_series(series: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each series of a batch with the places of its windows."""
    order = np.argsort(series, kind="stable")
    found, begins = np.unique(series[order], return_index=True)
    for one, places in zip(found, np.split(order, begins[1:]), strict=True):
        yield int(one), places


class Origins(NamedTuple):
    """Bars with the whole of what followed them in a split."""

    series: Rows  # (rows,) index into panel.names
    rows: Rows  # (rows,) of the panel
    future: Values  # (rows, horizon) the target's values


def training_origins(data: MarketData) -> Origins:
    """Every bar of the training split whose future lies in it, however short the history before it."""
    from forecast.data.windows import WindowIndex

    first, last = data.split_ranges_["train"]
    plan: dict[str, Any] = {"panel": data.panel_, "layout": data.layout, "horizon": data.horizon}
    windows = WindowIndex(**plan, lookback=1, first=first, last=last, lead=data.target.lead)
    runs = [(np.full(stop - begin, series), np.arange(begin, stop)) for series, begin, stop in windows.runs()]
    series, rows = (np.concatenate(part) for part in zip(*runs, strict=True))
    ahead = rows[:, None] + data.target.lead + np.arange(1, data.horizon + 1)
    future = data.panel_.values[ahead, data.layout.target].astype(np.float64)
    return Origins(series=series, rows=rows, future=future)


def last_values_of(
    panel: Panel, column: int, first: Rows, rows: Rows, count: int
) -> tuple[Values, NDArray[np.bool_]]:
    """The last values of some bars' series; gaps are closed up.

    Args:
        panel: the run's bars.
        column: of the panel.
        first: (rows,) first row of each one's series.
        rows: (rows,) of the last value.
        count: values.

    Returns:
        (rows, count) newest first, and whether there is such a bar; where not, the oldest one stands.
    """
    places = rows[:, None] - np.arange(count)
    known = places >= first[:, None]
    values = panel.values[np.maximum(places, first[:, None]), column].astype(np.float64)
    return values, known


class Naive(BarForecaster):
    """What the target calls naive, for every step: the last value, no move, an even chance."""

    saved = ("value",)
    history = 1
    uncorrected = True  # the last value as it was, see measure_errors
    value_: float | None = None  # None = the last one

    def fit(self, data: MarketData, *, on_epoch: OnEpoch | None = None) -> None:  # noqa: ARG002
        """See Forecaster."""
        self.value_ = data.target.naive_value

    def forecast(self, batch: WindowBatch) -> Forecast:
        """See Forecaster."""
        last = last_values(batch).repeat(batch.horizon, axis=1)
        return Forecast(last if self.value_ is None else np.full_like(last, self.value_))


class Drift(BarForecaster):
    """Last value + step x (last - first training value) / (training bars - 1), a line through the training bars.

    A series without two training bars, or one that was not trained on, has no drift.

    Source: Hyndman and Athanasopoulos (2021), Forecasting: principles and practice, 5.2,
    https://otexts.com/fpp3 (section 5.2), with the slope of the training bars for all bars after.
    """

    history = 1
    slope_: dict[str, float]  # series -> units a bar

    def fit(self, data: MarketData, *, on_epoch: OnEpoch | None = None) -> None:  # noqa: ARG002
        """See Forecaster."""
        values = data.panel_.values[:, data.layout.target]
        ranges = data.panel_.rows_between(*data.split_ranges_["train"])
        self.slope_ = {
            name: (float(values[stop - 1]) - float(values[first])) / (int(stop - first) - 1)
            for name, (first, stop) in zip(data.panel_.names, ranges, strict=True)
            if stop - first > 1
        }

    def forecast(self, batch: WindowBatch) -> Forecast:
        """See Forecaster."""
        slopes = np.asarray([self.slope_.get(name, 0.0) for name in batch.panel.names])
        steps = np.arange(1, batch.horizon + 1)
        return Forecast(last_values(batch) + slopes[batch.series][:, None] * steps)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See Forecaster."""
        return {"slope": np.asarray([*self.slope_.values()], np.float64)}, {"series": [*self.slope_]}

    def restore(self, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """See Forecaster."""
        self.slope_ = dict(zip(facts["series"], arrays["slope"].tolist(), strict=True))


class HistoricalMean(BarForecaster):
    """Last value x (1 + mean relative change from the first bar up to this one) ^ step, of each series by itself.

    Of logs it is the last value + step x mean change; of returns and chances, the mean of those so far.

    Source: the prevailing mean of Campbell and Thompson (2008), Predicting excess stock returns out of sample:
    can anything beat the historical average?, Review of Financial Studies 21.
    """

    saved = ("relation",)
    history = None
    relation_ = "ratio"  # see Target.relation

    def fit(self, data: MarketData, *, on_epoch: OnEpoch | None = None) -> None:  # noqa: ARG002
        """See Forecaster."""
        self.relation_ = data.target.relation

    def forecast(self, batch: WindowBatch) -> Forecast:
        """See Forecaster."""
        mean = np.zeros(len(batch.rows))
        # values of 0 give no finite mean, which whoever asked reports
        with np.errstate(divide="ignore", invalid="ignore"):
            for series, places in by_series(batch.series):
                rows = batch.rows[places] - batch.panel.first_rows[series]
                known = values_of(batch, series, batch.rows[places].max() + 1)
                if self.relation_ not in ("ratio", "difference"):
                    mean[places] = np.cumsum(known)[rows] / (rows + 1)
                    continue
                changes = known[1:] / known[:-1] - 1.0 if self.relation_ == "ratio" else np.diff(known)
                # At a series' first bar no change is known: it is forecast to stay.
                mean[places] = np.append(0.0, np.cumsum(changes))[rows] / np.maximum(rows, 1)
        steps = np.arange(1, batch.horizon + 1)
        if self.relation_ == "ratio":
            return Forecast(last_values(batch) * (1.0 + mean[:, None]) ** steps)
        if self.relation_ == "difference":
            return Forecast(last_values(batch) + mean[:, None] * steps)
        return Forecast(mean[:, None].repeat(batch.horizon, axis=1))


class MovingAverage(BarForecaster):
    """Mean of the last values, the same for every step.

    Args:
        window: bars; where a series has fewer, those it has.
    """

    def __init__(self, *, window: Annotated[int, Ge(1), Le(_MAX_WINDOW)] = 5) -> None:
        self.window = window

    @property
    def history(self) -> int:
        """See Forecaster."""
        return self.window

    def forecast(self, batch: WindowBatch) -> Forecast:
        """See Forecaster."""
        first = batch.panel.first_rows[batch.series]
        values = batch.panel.values[:, batch.layout.target]
        mean = np.empty(len(batch.rows))
        size = max(_CHUNK // self.window, 1)
        for start in range(0, len(mean), size):
            chunk = slice(start, start + size)
            rows = batch.rows[chunk, None] - np.arange(self.window)  # (b, window), newest first
            known = rows >= first[chunk, None]
            total = np.where(known, values[np.maximum(rows, 0)], 0.0).sum(axis=1, dtype=np.float64)
            mean[chunk] = total / known.sum(axis=1)
        return Forecast(np.repeat(mean[:, None], batch.horizon, axis=1))


class Ewma(BarForecaster):
    """Exponentially weighted mean of all values so far, the same for every step.

    Of a target of logarithms the mean is taken of what they stand for (variances, volumes); its log lies above the mean
    of logs that is forecast, by about half the variance of one bar's noise, so it is moved by its mean error over the
    training bars. Values of single bars are averaged also where the target is a mean of several.

    Args:
        decay: the weight of a bar is so many times that of the bar after it.

    Source: RiskMetrics Technical Document (1996), 4th edition, J.P. Morgan, section 5.2, with 0.94 for daily bars.
    """

    saved = ("logs", "shift")
    logs_ = False  # whether the target's values are logs
    shift_: Values | None = None  # (horizon,) that is added; None: nothing

    def __init__(self, *, decay: Annotated[float, Gt(0), Lt(1)] = 0.94) -> None:
        self.decay = decay

    @property
    def history(self) -> int:
        """See Forecaster: older bars weigh less than a billionth."""
        return math.ceil(math.log(1e-9) / math.log(self.decay))

    def fit(self, data: MarketData, *, on_epoch: OnEpoch | None = None) -> None:  # noqa: ARG002
        """See Forecaster."""
        self.logs_, self.shift_ = data.target.logs, None
        if self.logs_:
            origins = training_origins(data)
            means = self._means(data.panel_, data.layout, origins.series, origins.rows)
            self.shift_ = (origins.future - means[:, None]).mean(axis=0)

    def forecast(self, batch: WindowBatch) -> Forecast:
        """See Forecaster."""
        means = self._means(batch.panel, batch.layout, batch.series, batch.rows)
        values = means[:, None].repeat(batch.horizon, axis=1)
        return Forecast(values if self.shift_ is None else values + self.shift_)

    def _means(
        self, panel: Panel, layout: Layout, series: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> Values:
        """(rows,) of the values up to and with each row."""
        import pandas as pd

        means = np.empty(len(rows))
        for one, places in by_series(series):
            first = panel.first_rows[one]
            known = panel.values[first : rows[places].max() + 1, layout.bar_values].astype(np.float64)
            smooth = pd.Series(np.exp(known) if self.logs_ else known).ewm(alpha=1 - self.decay).mean()
            means[places] = smooth.to_numpy()[rows[places] - first]
        return np.log(means) if self.logs_ else means


class TrainingMean(BarForecaster):
    """The mean of a series' training values, for every step: of a direction the share of bars that rose.

    A series that was not trained on takes the mean of all of them.
    """

    saved = ("means", "other")
    history = 1
    means_: dict[str, float]  # series -> its own
    other_: float  # of every other series

    def fit(self, data: MarketData, *, on_epoch: OnEpoch | None = None) -> None:  # noqa: ARG002
        """See Forecaster."""
        values = data.panel_.values[:, data.layout.target]
        ranges = data.panel_.rows_between(*data.split_ranges_["train"])
        known = {
            name: values[first:stop].astype("float64")
            for name, (first, stop) in zip(data.panel_.names, ranges, strict=True)
            if stop > first
        }
        self.means_ = {name: float(own.mean()) for name, own in known.items()}
        self.other_ = sum(float(own.sum()) for own in known.values()) / sum(map(len, known.values()))

    def forecast(self, batch: WindowBatch) -> Forecast:
        """See Forecaster."""
        means = np.asarray([self.means_.get(name, self.other_) for name in batch.panel.names])
        return Forecast(means[batch.series][:, None].repeat(batch.horizon, axis=1))


class SeasonalMean(BarForecaster):
    """Mean of the last season, and by how much this place in a season has differed from its mean: a day of the week.

    The difference is the mean over the last `seasons`. Places are counted in bars from the newest one back, so that a
    holiday moves them by one. Where a series has fewer bars, it is forecast from those it has.

    Args:
        period: bars of a season; None = a week of daily bars, a session of intraday ones, a year of longer ones.
        seasons: over how many the difference is averaged.

    Source: the additive decomposition of Hyndman and Athanasopoulos (2021), Forecasting: principles and practice, 3.4,
    https://otexts.com/fpp3, with means of what is past alone.
    """

    saved = ("period",)
    period_: int  # bars

    def __init__(
        self,
        *,
        period: Annotated[int, Ge(2), Le(_MAX_WINDOW)] | None = None,
        seasons: Annotated[int, Ge(1), Le(1_000)] = 26,
    ) -> None:
        self.period = period
        self.seasons = seasons
        if period is not None:
            self.period_ = period

    @property
    def history(self) -> int | None:
        """See Forecaster."""
        return self.period_ * self.seasons if hasattr(self, "period_") else None

    def fit(self, data: MarketData, *, on_epoch: OnEpoch | None = None) -> None:  # noqa: ARG002
        """See Forecaster."""
        if self.period is None:
            self.period_ = usual_season(data)

    def forecast(self, batch: WindowBatch) -> Forecast:
        """See Forecaster."""
        count = self.period_ * self.seasons
        values = np.empty((len(batch.rows), batch.horizon))
        steps = np.arange(batch.lead, batch.lead + batch.horizon) % self.period_
        size = max(_CHUNK // count, 1)
        for start in range(0, len(values), size):
            some = slice(start, start + size)
            first, rows = batch.panel.first_rows[batch.series[some]], batch.rows[some]
            known, there = last_values_of(batch.panel, batch.layout.target, first, rows, count)
            shape = (len(known), self.seasons, self.period_)
            # Oldest first within a season, the newest season first; only whole seasons tell a difference.
            known, there = known.reshape(shape)[:, :, ::-1], there.reshape(shape)[:, :, ::-1]
            last = np.where(there[:, 0], known[:, 0], 0.0).sum(axis=1) / there[:, 0].sum(axis=1)  # (b,)
            whole: NDArray[np.bool_] = np.all(there, axis=2)  # (b, seasons)
            away = np.where(whole[..., None], known - known.mean(axis=2, keepdims=True), 0.0)
            places = away.sum(axis=1) / np.maximum(whole.sum(axis=1), 1)[:, None]  # (b, period)
            values[some] = last[:, None] + places[:, steps]
        return Forecast(values)


def usual_season(data: MarketData) -> int:
    """Bars of a week, a session or a year, at least 2."""
    if not data.bars.intraday:
        periods = {"1d": 52, "1wk": 1, "1mo": 1}[data.bars.interval]
        return max(round(data.bars.per_year / periods), 2)
    first, stop = data.panel_.rows_between(*data.split_ranges_["train"])[0]
    times = data.panel_.time_of(data.panel_.times[first:stop]).astype("datetime64[D]")
    return max(int(np.median(np.unique(times, return_counts=True)[1])), 2)
