"""The window a network sees, as one flat row: what learners of tables are given."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.normaliser import WindowNormaliser

# Fewer training windows than this would teach nothing, however wide they are.
_FEWEST = 100


class Lessons(NamedTuple):
    """Training windows and what followed them."""

    inputs: NDArray[np.float32]  # (windows, lookback * features) normalised
    targets: NDArray[np.float32]  # (windows, horizon) normalised
    origin: NDArray[np.int32]  # (windows,) day of the last bar
    end: NDArray[np.int32]  # (windows,) day of the last target


def lessons(data: MarketData, *, most: int) -> Lessons:
    """Windows of the training split.

    Args:
        data: prepared.
        most: numbers in `inputs`; of more, evenly spaced windows are taken.
    """
    train = data.windows_["train"]
    width = data.seq_len * len(data.layout.relations)
    batch = train.take(train.spread(max(most // width, _FEWEST)))
    windows, future = torch.from_numpy(batch.windows), torch.from_numpy(batch.future)
    return Lessons(
        inputs=inputs(data.normaliser_, batch.windows),
        targets=data.normaliser_.targets(windows, future).numpy(),
        origin=data.panel_.days[batch.rows],
        end=data.panel_.days[batch.rows + data.horizon],
    )


def inputs(normaliser: WindowNormaliser, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(batch, lookback, columns) raw -> (batch, lookback * features), normalised as for the network."""
    flat: NDArray[np.float32] = normaliser.inputs(torch.from_numpy(windows)).flatten(1).numpy()
    return flat


def prices(
    normaliser: WindowNormaliser, windows: NDArray[np.float32], answers: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(batch, horizon) normalised answers -> prices."""
    found: NDArray[np.float64] = normaliser.prices(
        torch.from_numpy(windows), torch.from_numpy(answers)
    ).numpy()
    return found
