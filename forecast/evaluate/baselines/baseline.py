"""What every baseline can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.windows import WindowBatch


@runtime_checkable
class Baseline(Protocol):
    """A forecaster that needs no network."""

    def fit(self, data: MarketData) -> None:
        """Learn from the training days alone, `data.windows_["train"]` or `data.stretches_["train"]`.

        Args:
            data: prepared. What is needed of it later (the normaliser, say) is kept: forecasts may be asked
                for with the same bars split otherwise.
        """
        ...

    def predict(self, data: MarketData, batch: WindowBatch) -> NDArray[np.float64]:
        """Forecast from windows of validation or test.

        Args:
            data: the same bars.
            batch: of each window, `batch.rows` is the panel row of the last bar known; nothing after it may be
                looked at, so `batch.future` is out of bounds.

        Returns:
            (batch, horizon) prices in the source's units.
        """
        ...
