"""The last price, moved on by the mean of all returns known so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.windows import WindowBatch


class HistoricalMean:
    """Last Close x (1 + mean daily return from the first bar up to this one) ^ step, of each series by itself.

    Source: the prevailing mean of Campbell and Thompson (2008), Predicting excess stock returns out of sample:
    can anything beat the historical average?, Review of Financial Studies 21.
    """

    def fit(self, data: MarketData) -> None:
        """See Baseline: nothing to learn, the mean is taken anew at each bar."""

    def predict(self, data: MarketData, batch: WindowBatch) -> NDArray[np.float64]:
        """See Baseline."""
        import numpy as np

        from forecast.evaluate.baselines.history import by_series, closes, first_rows, last_closes

        first = first_rows(data)
        mean = np.zeros(len(batch.rows))
        with np.errstate(
            divide="ignore", invalid="ignore"
        ):  # prices of 0 give no finite mean, which is reported
            for owner, places in by_series(batch.series):
                rows = batch.rows[places] - first[owner]
                known = closes(data, first[owner], first[owner] + rows.max() + 1)
                returns = known[1:] / known[:-1] - 1.0
                # At a series' first bar no return is known: it is forecast to stay.
                mean[places] = np.append(0.0, np.cumsum(returns))[rows] / np.maximum(rows, 1)
        steps = np.arange(1, data.horizon + 1)
        moved: NDArray[np.float64] = last_closes(data, batch.rows) * (1.0 + mean[:, None]) ** steps
        return moved
