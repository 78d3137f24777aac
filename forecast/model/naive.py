"""Forecasters that look at past values alone: the last one, moved on or averaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le

from forecast.model.forecaster import Forecast, OnEpoch, Stateless

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.windows import WindowBatch

    Values = NDArray[np.float64]

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
    import numpy as np

    order = np.argsort(series, kind="stable")
    found, begins = np.unique(series[order], return_index=True)
    for one, places in zip(found, np.split(order, begins[1:]), strict=True):
        yield int(one), places


class Naive(Stateless):
    """What the target calls naive, for every step: the last value, no move, an even chance."""

    history = 1
    uncorrected = True  # the last value as it was, see measure_errors
    value_: float | None = None  # None = the last one

    def fit(self, data: MarketData, *, on_epoch: OnEpoch | None = None) -> None:  # noqa: ARG002
        """See Forecaster."""
        self.value_ = data.target.naive_value

    def forecast(self, batch: WindowBatch) -> Forecast:
        """See Forecaster."""
        import numpy as np

        last = last_values(batch).repeat(batch.horizon, axis=1)
        return Forecast(last if self.value_ is None else np.full_like(last, self.value_))

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See Forecaster."""
        return {}, {} if self.value_ is None else {"value": self.value_}

    def restore(self, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:  # noqa: ARG002
        """See Forecaster."""
        self.value_ = facts.get("value")


class Drift(Stateless):
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
        import numpy as np

        slopes = np.asarray([self.slope_.get(name, 0.0) for name in batch.panel.names])
        steps = np.arange(1, batch.horizon + 1)
        return Forecast(last_values(batch) + slopes[batch.series][:, None] * steps)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See Forecaster."""
        import numpy as np

        return {"slope": np.asarray([*self.slope_.values()], np.float64)}, {"series": [*self.slope_]}

    def restore(self, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """See Forecaster."""
        self.slope_ = dict(zip(facts["series"], arrays["slope"].tolist(), strict=True))


class HistoricalMean(Stateless):
    """Last value x (1 + mean relative change from the first bar up to this one) ^ step, of each series by itself.

    Source: the prevailing mean of Campbell and Thompson (2008), Predicting excess stock returns out of sample:
    can anything beat the historical average?, Review of Financial Studies 21.
    """

    history = None

    def forecast(self, batch: WindowBatch) -> Forecast:
        """See Forecaster."""
        import numpy as np

        mean = np.zeros(len(batch.rows))
        # values of 0 give no finite mean, which whoever asked reports
        with np.errstate(divide="ignore", invalid="ignore"):
            for series, places in by_series(batch.series):
                rows = batch.rows[places] - batch.panel.first_rows[series]
                known = values_of(batch, series, batch.rows[places].max() + 1)
                changes = known[1:] / known[:-1] - 1.0
                # At a series' first bar no change is known: it is forecast to stay.
                mean[places] = np.append(0.0, np.cumsum(changes))[rows] / np.maximum(rows, 1)
        steps = np.arange(1, batch.horizon + 1)
        return Forecast(last_values(batch) * (1.0 + mean[:, None]) ** steps)


class MovingAverage(Stateless):
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
        import numpy as np

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
