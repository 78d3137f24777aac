"""What forecasts: one protocol for networks, classical models and baselines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.normaliser import WindowNormaliser
    from forecast.data.target import Target
    from forecast.data.windows import WindowBatch, WindowIndex

    Values = NDArray[np.float64]

# A probability that is not a network's own is no nearer to 0 or 1: nothing in these data is that sure.
LEAST_CHANCE = 0.01
# Takes the number and the metrics of each epoch.
OnEpoch = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Forecast:
    """Forecasts of some windows, as values of the target (see forecast.data.target); `in_unit` turns them into its
    unit, once, where they are recorded or handed out."""

    values: Values  # (batch, horizon)
    quantiles: Values | None = None  # (batch, horizon, levels), ascending; None of a forecaster without them
    # (batch, lookback, features) what a network saw, for whoever looks at it too; None where it was not kept.
    inputs: NDArray[np.float32] | None = None

    def in_unit(self, target: Target, variance: Values | float = 0.0) -> Forecast:
        """The same forecasts in the target's unit.

        Args:
            target: what is forecast.
            variance: of the forecaster's errors, see `error_variance`.
        """
        quantiles = None if self.quantiles is None else target.in_unit(self.quantiles)
        return Forecast(target.forecast_in_unit(self.values, variance), quantiles, self.inputs)


@dataclass(frozen=True)
class TrainingResult:
    """How a training went."""

    history: list[dict[str, float]]  # an entry an epoch: train_loss, val_loss, val_rmse, ...
    best_epoch: int  # whose weights were kept
    seconds: float


class Score(Protocol):
    """Metrics of the validation rows of an epoch; `forecast.evaluate` gives one."""

    def check_objective(self, metric: str, mode: str) -> None:
        """Refuse an objective that no epoch reports, or that is asked for in the wrong direction.

        Raises:
            UserError: either.
        """
        ...

    def __call__(
        self, *, data: MarketData, rows: NDArray[np.int64], forecast: Values
    ) -> Mapping[str, float | None]:
        """Name -> metric; None where it is not defined.

        Args:
            data: split.
            rows: (windows,) panel row of each window's last bar.
            forecast: (windows, horizon) values of the target.
        """
        ...


@runtime_checkable
class Forecaster(Protocol):
    """Fits, forecasts, and gives its state without pickle.

    A class with these may stand as `model` of a config (trained, saved, served) and among its `baselines`.

    Attributes:
        quantile_levels: in (0, 1), ascending, 0.5 among them; None where only `values` are forecast.
        history: bars it looks at, up to and with the last one known; None = all there are.
        normaliser: what it sees of a window, once fitted; None where it looks at raw bars.
    """

    quantile_levels: tuple[float, ...] | None
    normaliser: WindowNormaliser | None

    @property
    def history(self) -> int | None: ...

    def fit(self, data: MarketData, *, on_epoch: OnEpoch | None = None) -> TrainingResult | None:
        """Fit to the training bars alone, whatever was fitted before.

        Args:
            data: prepared. What is needed of it later is kept: forecasts are asked for with other bars, too.
            on_epoch: takes the number and metrics of each epoch.

        Returns:
            how it went; None of a forecaster that is not trained in epochs.
        """
        ...

    def forecast(self, batch: WindowBatch) -> Forecast:
        """Forecast what follows each window.

        Args:
            batch: `batch.rows` are the rows in `batch.panel` of the last bars known; nothing after them may be
                looked at, so `batch.future` is out of bounds.
        """
        ...

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """The fitted state: arrays, and JSON values."""
        ...

    def restore(self, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """Take what `state` gave, of an earlier version too.

        Args:
            arrays: as state gave them.
            facts: as state gave them, with `lookback`, `horizon` and `input_size`.
        """
        ...


# Windows whose errors are measured, evenly spread over training, and at once.
_MAX_MEASURED, _MEASURED_AT_ONCE = 65_536, 8_192


def measure_errors(forecaster: Forecaster, data: MarketData) -> None:
    """Measure once, after a fit, what the bias correction of a curved target needs (see Target.expected).

    The mean in the unit is not the unit of the mean: that of exp(x) is exp(mean + variance / 2) of a normal x. What is
    kept with the forecaster as `error_variance`, (horizon,), is the variance of its errors over the training rows plus
    twice their mean, so that one that does not aim at the mean of values, such as an average of variances, is not
    corrected twice. Errors of logs may be far from normal, as those of squared returns are, whose logs reach far down:
    it is no more than twice the log of the mean of exp(error), which is what the correction is to be. Of a target that
    is not curved, and of naive, whose forecast is the last value as it was, nothing is kept.

    Source: Duan (1983), Smearing estimate, Journal of the American Statistical Association 78.

    Args:
        forecaster: fitted.
        data: that it was fitted to.
    """
    own: Any = forecaster
    own.error_variance = None
    if not data.target.curved or getattr(forecaster, "uncorrected", False):
        return
    total, squares, grown = np.zeros((3, data.horizon))
    count = 0
    for batch in _spread(data.windows_["train"]):
        errors = batch.outcome - forecaster.forecast(batch).values
        errors = errors[np.isfinite(errors).all(axis=1)]
        total += errors.sum(axis=0)
        squares += np.square(errors).sum(axis=0)
        with np.errstate(over="ignore"):  # infinite, which is not the smaller one
            grown += np.exp(errors).sum(axis=0)
        count += len(errors)
    if count:
        mean = total / count
        found = squares / count - mean**2 + 2.0 * mean
        own.error_variance = np.minimum(found, 2.0 * np.log(grown / count)) if data.target.logs else found


def restore_errors(forecaster: Forecaster, facts: Mapping[str, Any]) -> None:
    """Give a restored forecaster what was measured when it was fitted.

    Args:
        forecaster: restored.
        facts: of its run.
    """
    found = facts.get("error_variance")
    own: Any = forecaster
    own.error_variance = None if found is None else np.asarray(found, np.float64)


def error_variance(forecaster: Forecaster) -> Values | float:
    """What `measure_errors` kept with a forecaster, (horizon,); 0 where it kept nothing."""
    found = getattr(forecaster, "error_variance", None)
    return 0.0 if found is None else found


def forecast_in_unit(forecaster: Forecaster, batch: WindowBatch, target: Target) -> Forecast:
    """Forecasts of windows in the target's unit: what is recorded, evaluated and handed out."""
    return forecaster.forecast(batch).in_unit(target, error_variance(forecaster))


def scored(forecaster: Forecaster, data: MarketData, score: Score) -> dict[str, float]:
    """Losses, and metrics of the validation rows, as an epoch has them.

    Args:
        forecaster: fitted.
        data: that it was fitted to.
        score: metrics of validation rows.
    """
    _, train_loss = _scored_windows(forecaster, data, data.windows_["train"], score)
    metrics, val_loss = _scored_windows(forecaster, data, data.windows_["val"], score)
    return {"train_loss": train_loss, "val_loss": val_loss, **metrics}


def _scored_windows(
    forecaster: Forecaster, data: MarketData, windows: WindowIndex, score: Score
) -> tuple[dict[str, float], float]:
    """Metrics, and the mean squared error in the units that networks are trained in, of windows evenly spread."""
    import torch

    rows, forecasts = [], []
    squares = 0.0
    for batch in _spread(windows):
        values = forecaster.forecast(batch).values  # (B, h)
        rows.append(batch.rows)
        forecasts.append(values)
        forecast_bars = batch.future.copy()  # as if the forecast had come
        forecast_bars[..., data.layout.target] = values
        raw = torch.from_numpy(batch.windows)
        targets, answers = (
            data.normaliser_.targets(raw, torch.from_numpy(future)).numpy().astype(np.float64)
            for future in (batch.future, forecast_bars)
        )
        squares += float(np.square(answers - targets).sum())
    forecast = np.concatenate(forecasts)
    found = score(data=data, rows=np.concatenate(rows), forecast=forecast)
    metrics = {name: value for name, value in found.items() if value is not None}
    return metrics, squares / forecast.size


def _spread(windows: WindowIndex) -> Iterator[WindowBatch]:
    """Windows evenly spread, some at a time."""
    index = windows.spread(_MAX_MEASURED)
    for start in range(0, len(index), _MEASURED_AT_ONCE):
        yield windows.take(index[start : start + _MEASURED_AT_ONCE])


class BarForecaster:
    """What forecasters of raw bars share; by itself it learns nothing.

    `saved` names the fitted state: each an attribute whose name ends in an underscore, an array or a JSON value.
    """

    quantile_levels: tuple[float, ...] | None = None
    normaliser: WindowNormaliser | None = None
    saved: tuple[str, ...] = ()

    def fit(self, data: MarketData, *, on_epoch: OnEpoch | None = None) -> None:
        """See Forecaster."""

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See Forecaster; what is None is left out."""
        values = {name: getattr(self, f"{name}_") for name in self.saved}
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        return arrays, {n: value for n, value in values.items() if n not in arrays and value is not None}

    def restore(self, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """See Forecaster; what an earlier version did not save stays as the class has it."""
        known = {**facts, **arrays}
        for name in self.saved:
            attribute = f"{name}_"
            setattr(self, attribute, known.get(name, getattr(type(self), attribute, None)))


def one_thread() -> Any:
    """A context in which every BLAS and OpenMP loaded so far uses one thread: import first, then enter.

    Small problems gain nothing from more, and jobs beside each other lose by them.
    """
    return _thread_pools(len(sys.modules)).limit(limits=1)


@lru_cache(maxsize=1)
def _thread_pools(_: int) -> Any:
    """The libraries loaded so far; to look for them takes 10 ms, and only an import can bring more."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many threads of torch, and then as many as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
