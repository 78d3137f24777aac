"""The last price, moved on as it moved on average in training."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.windows import WindowBatch


class Drift:
    """Last Close + step x (last - first training Close) / (training days - 1), a line through the training days.

    A series without two training days has no drift.

    Source: Hyndman and Athanasopoulos (2021), Forecasting: principles and practice, 5.2,
    https://otexts.com/fpp3 (section 5.2), with the slope of the training days for all days after.
    """

    slope_: NDArray[np.float64]  # (series,) price units a day

    def fit(self, data: MarketData) -> None:
        """See Baseline."""
        import numpy as np

        from forecast.evaluate.baselines.history import closes, training_rows

        self.slope_ = np.zeros(len(data.panel_.names))
        for owner, (first, stop) in enumerate(training_rows(data)):
            if stop - first > 1:
                ends = closes(data, first, stop)[[0, -1]]
                self.slope_[owner] = (ends[1] - ends[0]) / (stop - first - 1)

    def predict(self, data: MarketData, batch: WindowBatch) -> NDArray[np.float64]:
        """See Baseline."""
        import numpy as np

        from forecast.evaluate.baselines.history import last_closes

        steps = np.arange(1, data.horizon + 1)
        return last_closes(data, batch.rows) + self.slope_[batch.series][:, None] * steps
