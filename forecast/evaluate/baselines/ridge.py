"""A linear map of the window, shrunk: what a network has to be better than to be worth its layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt, MinLen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.normaliser import WindowNormaliser
    from forecast.data.windows import WindowBatch

_ALPHAS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0)
# Share of the training days, the newest, on which the penalty is chosen.
_HELD_OUT = 0.2


class Ridge:
    """Ridge regression from the normalised window the network sees to each of its targets (direct multi-step).

    All series are pooled. The penalty is chosen on the newest fifth of the training days: the largest whose squared
    error, learnt from the older days, is not above the least one by more than two standard errors (a day's windows
    counted as one). Then all training days are learnt from.

    Args:
        alphas: penalties to choose from, on the sum of squares of normalised windows.
        max_values: numbers to learn from, windows x lookback x features; of more, evenly spaced windows are taken.

    Source: Hoerl and Kennard (1970), Ridge regression, Technometrics 12; solved by scikit-learn,
    https://scikit-learn.org/stable/modules/generated/sklearn.linear_model.Ridge.html
    """

    alpha_: float
    coefficients_: NDArray[np.float64]  # (lookback * features, horizon)
    intercept_: NDArray[np.float64]  # (horizon,)
    normaliser_: WindowNormaliser

    def __init__(
        self,
        *,
        alphas: Annotated[list[Annotated[float, Gt(0)]], MinLen(1)] | None = None,
        max_values: Annotated[int, Ge(1)] = 4_000_000,
    ) -> None:
        self.alphas = list(_ALPHAS) if alphas is None else [float(alpha) for alpha in alphas]
        self.max_values = max_values

    def fit(self, data: MarketData) -> None:
        """See Baseline."""
        import numpy as np
        from sklearn import linear_model

        from forecast.evaluate.baselines.anchored import lessons
        from forecast.evaluate.baselines.threads import one_thread

        self.normaliser_ = data.normaliser_
        taught = lessons(data, most=self.max_values)
        inputs, targets = taught.inputs.astype(np.float64), taught.targets.astype(np.float64)

        def learn(alpha: float, rows: NDArray[np.bool_] | slice) -> linear_model.Ridge:
            return linear_model.Ridge(alpha=alpha, solver="cholesky").fit(inputs[rows], targets[rows])

        border = np.quantile(taught.origin, 1 - _HELD_OUT, method="lower")
        older, newer = taught.end <= border, taught.origin >= border
        with one_thread():
            self.alpha_ = max(self.alphas)  # where too few windows are left to choose by
            if len(self.alphas) > 1 and older.any():
                answers = [learn(alpha, older).predict(inputs[newer]) for alpha in self.alphas]
                errors = [
                    np.square(a.reshape(-1, data.horizon) - targets[newer]).mean(axis=1) for a in answers
                ]
                self.alpha_ = _choose(self.alphas, np.stack(errors), taught.origin[newer])
            found = learn(self.alpha_, slice(None))
        self.coefficients_ = np.ascontiguousarray(found.coef_.reshape(data.horizon, -1).T)
        self.intercept_ = np.reshape(found.intercept_, data.horizon)

    def predict(self, data: MarketData, batch: WindowBatch) -> NDArray[np.float64]:  # noqa: ARG002
        """See Baseline."""
        import numpy as np

        from forecast.evaluate.baselines.anchored import inputs, prices

        seen = inputs(self.normaliser_, batch.windows).astype(np.float64)
        # Not a matrix product: that of one row differs in the last bit from the same row among others.
        answers = np.einsum("bf,fh->bh", seen, self.coefficients_) + self.intercept_
        return prices(self.normaliser_, batch.windows, answers)


def _choose(alphas: list[float], errors: NDArray[np.float64], days: NDArray[np.int32]) -> float:
    """The largest penalty that is no worse than the best beyond noise.

    Args:
        alphas: penalties.
        errors: (alphas, windows) squared.
        days: (windows,) of the last bar.

    Source: the one-standard-error rule of Hastie, Tibshirani and Friedman (2009), The Elements of Statistical
    Learning, 7.10, with two, and on differences, for returns are hardly predictable and what seems so is mostly luck.
    """
    import numpy as np

    _, day = np.unique(days, return_inverse=True)
    excess = errors - errors[errors.mean(axis=1).argmin()]
    by_day = np.stack([np.bincount(day, weights=row) for row in excess]) / np.bincount(day)
    noise = by_day.std(axis=1) / np.sqrt(by_day.shape[1])
    return max(alpha for alpha, fine in zip(alphas, by_day.mean(axis=1) <= 2 * noise, strict=True) if fine)
