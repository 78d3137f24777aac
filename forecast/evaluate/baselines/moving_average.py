"""The mean of the last prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.windows import WindowBatch

_MOST_BARS = 10_000
# Prices gathered at once, 64 MiB.
_PIECE = 2**23


class MovingAverage:
    """Mean Close of the last bars, the same for every step.

    Args:
        window: bars; where a series has fewer, those it has.
    """

    def __init__(self, *, window: Annotated[int, Ge(1), Le(_MOST_BARS)] = 5) -> None:
        self.window = window

    def fit(self, data: MarketData) -> None:
        """See Baseline: nothing to learn."""

    def predict(self, data: MarketData, batch: WindowBatch) -> NDArray[np.float64]:
        """See Baseline."""
        import numpy as np

        from forecast.evaluate.baselines.history import first_rows

        first = first_rows(data)[batch.series]
        prices = data.panel_.values[:, data.layout.target]
        mean = np.empty(len(batch.rows))
        size = max(_PIECE // self.window, 1)
        for start in range(0, len(mean), size):
            piece = slice(start, start + size)
            rows = batch.rows[piece, None] - np.arange(self.window)  # (b, window), newest first
            known = rows >= first[piece, None]
            total = np.where(known, prices[np.maximum(rows, 0)], 0.0).sum(axis=1, dtype=np.float64)
            mean[piece] = total / known.sum(axis=1)
        return np.repeat(mean[:, None], data.horizon, axis=1)
