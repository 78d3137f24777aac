"""Gradient-boosted trees over the window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Le

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.normaliser import WindowNormaliser
    from forecast.data.windows import WindowBatch


class Trees:
    """Histogram gradient boosting from the normalised window the network sees to its targets, one model a step.

    All series are pooled. The defaults are few and small trees: in daily prices there is little to find, and larger
    ones learn noise (31 leaves: RMSE 1 to 5 % above that of "tomorrow = today" on the embedded data).

    Args:
        iterations: trees a step.
        learning_rate: weight of each.
        leaves: of a tree.
        min_samples_leaf: training windows a leaf.
        max_values: numbers to learn from, windows x lookback x features, all steps together; of more, evenly
            spaced windows are taken.

    Source: Friedman (2001), Greedy function approximation, Annals of Statistics 29; scikit-learn's,
    https://scikit-learn.org/stable/modules/generated/sklearn.ensemble.HistGradientBoostingRegressor.html
    """

    models_: list[Any]  # one a step
    normaliser_: WindowNormaliser

    def __init__(
        self,
        *,
        iterations: Annotated[int, Ge(1)] = 50,
        learning_rate: Annotated[float, Gt(0), Le(1)] = 0.02,
        leaves: Annotated[int, Ge(2)] = 4,
        min_samples_leaf: Annotated[int, Ge(1)] = 100,
        max_values: Annotated[int, Ge(1)] = 4_000_000,
    ) -> None:
        self.iterations = iterations
        self.learning_rate = learning_rate
        self.leaves = leaves
        self.min_samples_leaf = min_samples_leaf
        self.max_values = max_values

    def fit(self, data: MarketData) -> None:
        """See Baseline."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        from forecast.evaluate.baselines.anchored import lessons
        from forecast.evaluate.baselines.threads import one_thread

        self.normaliser_ = data.normaliser_
        taught = lessons(data, most=self.max_values // data.horizon)
        with one_thread():
            self.models_ = [
                HistGradientBoostingRegressor(
                    max_iter=self.iterations,
                    learning_rate=self.learning_rate,
                    max_leaf_nodes=self.leaves,
                    min_samples_leaf=self.min_samples_leaf,
                    early_stopping=False,  # it would hold out windows at random, which overlap those it learns from
                    random_state=0,
                ).fit(taught.inputs, targets)
                for targets in taught.targets.T
            ]

    def predict(self, data: MarketData, batch: WindowBatch) -> NDArray[np.float64]:  # noqa: ARG002
        """See Baseline."""
        import numpy as np

        from forecast.evaluate.baselines.anchored import inputs, prices
        from forecast.evaluate.baselines.threads import one_thread

        seen = inputs(self.normaliser_, batch.windows)
        with one_thread():
            answers = np.stack([model.predict(seen) for model in self.models_], axis=1)
        return prices(self.normaliser_, batch.windows, answers)
