"""Learners of tables: the normalised window that a network sees, as one flat row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, MinLen

from forecast.model.forecaster import Forecast, OnEpoch, one_thread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.normaliser import WindowNormaliser
    from forecast.data.windows import WindowBatch

_ALPHAS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0)
# Share of the training bars, the newest, on which the penalty is chosen.
_HELD_OUT = 0.2
# Fewer training windows than this would teach nothing, however wide they are.
_MIN_WINDOWS = 100


class TrainingTable(NamedTuple):
    """Training windows and what followed them."""

    inputs: NDArray[np.float32]  # (windows, lookback * features) normalised
    targets: NDArray[np.float32]  # (windows, horizon) normalised
    origin: NDArray[np.int32]  # (windows,) position in the calendar of the last bar
    end: NDArray[np.int32]  # (windows,) of the last target


def training_table(data: MarketData, *, max_values: int) -> TrainingTable:
    """Windows of the training split.

    Args:
        data: prepared.
        max_values: numbers in `inputs`; of more, evenly spaced windows are taken.
    """
    import torch

    train = data.windows_["train"]
    width = data.seq_len * len(data.layout.relations)
    batch = train.take(train.spread(max(max_values // width, _MIN_WINDOWS)))
    windows, future = torch.from_numpy(batch.windows), torch.from_numpy(batch.future)
    targets = data.normaliser_.targets(windows, future).numpy()
    if data.target.relation == "probability":
        targets = 4.0 * (targets - 0.5)  # answers are log odds, whose slope at even chances is 4
    return TrainingTable(
        inputs=flat_inputs(data.normaliser_, batch.windows),
        targets=targets,
        origin=batch.origin,
        end=batch.ahead[:, -1],
    )


def flat_inputs(normaliser: WindowNormaliser, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(batch, lookback, columns) raw -> (batch, lookback * features), normalised as for the network."""
    import torch

    flat: NDArray[np.float32] = normaliser.inputs(torch.from_numpy(windows)).flatten(1).numpy()
    return flat


def denormalise(
    normaliser: WindowNormaliser, windows: NDArray[np.float32], answers: NDArray[np.float64]
) -> Forecast:
    """(batch, horizon) normalised answers, of a probability log odds, to values of the target."""
    import torch

    return Forecast(normaliser.values(torch.from_numpy(windows), torch.from_numpy(answers)).numpy())


class Ridge:
    """Ridge regression from the normalised window the network sees to each of its targets (direct multi-step).

    All series are pooled. Coefficients are shrunk as far as the evidence asks, see shrinkage.py. Where penalties are
    given instead, and where levels are forecast (`data.anchor=none`), one penalty holds for all of them, chosen on the
    newest fifth of the training bars: the largest whose squared error, fitted to the older bars, is not above the
    least one by more than two standard errors (the windows that end together counted as one). That is all but blind to
    an R2 of 1 %. Then it is fitted to all training bars.

    Args:
        alphas: penalties to choose from, on the sum of squares of normalised windows; None = by evidence.
        max_values: numbers to learn from, windows x lookback x features; of more, evenly spaced windows are taken.

    Source: Hoerl and Kennard (1970), Ridge regression, Technometrics 12; solved by scikit-learn,
    https://scikit-learn.org/stable/modules/generated/sklearn.linear_model.Ridge.html
    """

    quantile_levels = None
    normaliser: WindowNormaliser | None = None
    history: int | None = None  # the lookback, once fitted
    alpha_: float | None  # the penalty chosen; None: shrunk by evidence
    coefficients_: NDArray[np.float64]  # (lookback * features, horizon)
    intercept_: NDArray[np.float64]  # (horizon,)

    def __init__(
        self,
        *,
        alphas: Annotated[list[Annotated[float, Gt(0)]], MinLen(1)] | None = None,
        max_values: Annotated[int, Ge(1)] = 4_000_000,
    ) -> None:
        self.alphas = None if alphas is None else [float(alpha) for alpha in alphas]
        self.max_values = max_values

    def fit(self, data: MarketData, *, on_epoch: OnEpoch | None = None) -> None:  # noqa: ARG002
        """See Forecaster."""
        from forecast.model.shrinkage import fit_linear

        self.normaliser, self.history = data.normaliser_, data.seq_len
        found = fit_linear(data, max_values=self.max_values) if self.alphas is None else None
        if found is None:
            self._fit_penalised(data, list(_ALPHAS) if self.alphas is None else self.alphas)
            return
        self.alpha_ = None
        self.coefficients_, self.intercept_ = found.coefficients, found.intercept

    def _fit_penalised(self, data: MarketData, alphas: list[float]) -> None:
        """Choose one penalty, then learn from all training bars."""
        from sklearn import linear_model

        table = training_table(data, max_values=self.max_values)
        inputs, targets = table.inputs.astype(np.float64), table.targets.astype(np.float64)

        def solve(alpha: float, rows: NDArray[np.bool_] | slice) -> linear_model.Ridge:
            return linear_model.Ridge(alpha=alpha, solver="cholesky").fit(inputs[rows], targets[rows])

        border = np.quantile(table.origin, 1 - _HELD_OUT, method="lower")
        older, newer = table.end <= border, table.origin >= border
        with one_thread():
            self.alpha_ = max(alphas)  # where too few windows are left to choose by
            if len(alphas) > 1 and older.any():
                answers = [solve(alpha, older).predict(inputs[newer]) for alpha in alphas]
                errors = [
                    np.square(a.reshape(-1, data.horizon) - targets[newer]).mean(axis=1) for a in answers
                ]
                self.alpha_ = choose_alpha(alphas, np.stack(errors), table.origin[newer])
            solved = solve(self.alpha_, slice(None))
        self.coefficients_ = np.ascontiguousarray(solved.coef_.reshape(data.horizon, -1).T)
        self.intercept_ = np.reshape(solved.intercept_, data.horizon)

    def forecast(self, batch: WindowBatch) -> Forecast:
        """See Forecaster."""
        assert self.normaliser is not None, "not fitted"
        inputs = flat_inputs(self.normaliser, batch.windows).astype("float64")
        return denormalise(self.normaliser, batch.windows, inputs @ self.coefficients_ + self.intercept_)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See Forecaster."""
        assert self.normaliser is not None, "not fitted"
        arrays = {"coefficients": self.coefficients_, "intercept": self.intercept_}
        return arrays, {"alpha": self.alpha_, "normaliser": self.normaliser.to_json()}

    def restore(self, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """See Forecaster."""
        self.normaliser, self.history = normaliser_of(facts), facts["lookback"]
        self.alpha_ = facts["alpha"]
        self.coefficients_, self.intercept_ = arrays["coefficients"], arrays["intercept"]


def normaliser_of(facts: Mapping[str, Any]) -> WindowNormaliser:
    """The normaliser that a forecaster was saved with."""
    from forecast.data.normaliser import WindowNormaliser

    return WindowNormaliser.from_json(facts["normaliser"])


def choose_alpha(alphas: list[float], errors: NDArray[np.float64], times: NDArray[np.int32]) -> float:
    """The largest penalty that is no worse than the best beyond noise.

    Args:
        alphas: penalties.
        errors: (alphas, windows) squared.
        times: (windows,) of the last bar.

    Source: the one-standard-error rule of Hastie, Tibshirani and Friedman (2009), The Elements of Statistical
    Learning, 7.10, with two, and on differences, for returns are hardly predictable and what seems so is mostly luck.
    """
    _, time = np.unique(times, return_inverse=True)
    excess = errors - errors[errors.mean(axis=1).argmin()]
    by_time = np.stack([np.bincount(time, weights=row) for row in excess]) / np.bincount(time)
    noise = by_time.std(axis=1) / np.sqrt(by_time.shape[1])
    return max(alpha for alpha, fine in zip(alphas, by_time.mean(axis=1) <= 2 * noise, strict=True) if fine)
