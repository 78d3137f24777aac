"""The drift reference: what the forecaster was shown in training, in a few figures a feature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.files import read_json, write_json
from forecast.model.standalone import inputs_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.model.forecaster import Forecaster

    Inputs = NDArray[np.float32]

FILE = "reference.json"
# As many windows as the scalers are fitted on, fewer where they are large: enough for deciles, quickly sorted.
_MAX_WINDOWS, _MAX_VALUES = 16_384, 2**24
_DECILES = np.arange(1, 10) / 10


@dataclass(frozen=True)
class Reference:
    """Ranges and deciles of the network's inputs over the training windows, anchored and scaled as it sees them."""

    windows: int  # how many were looked at, evenly spread over training
    names: list[str]  # of the features
    low: NDArray[np.float64]  # (features,) smallest input
    high: NDArray[np.float64]  # (features,) largest input
    # of each feature, the distinct deciles above `low`, ascending; a bin begins at its edge
    edges: list[NDArray[np.float64]]
    # of each feature, the share of inputs in each of the `len(edges) + 1` bins, above 0
    shares: list[NDArray[np.float64]]

    def outside(self, inputs: Inputs) -> NDArray[np.bool_]:
        """(windows, features) whether a window has a value outside the range of the training windows.

        Args:
            inputs: (windows, lookback, features) as the network sees them.
        """
        least, most = self._limits
        return np.asarray(((inputs < least) | (inputs > most)).any(axis=1))

    @cached_property
    def _limits(self) -> tuple[Inputs, Inputs]:
        """A little wider than the range: the last bits of an input depend on what is computed beside it."""
        margin = 1e-6 * (self.high - self.low)
        return (self.low - margin).astype(np.float32), (self.high + margin).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "windows": self.windows,
            "features": {
                name: {
                    "low": float(self.low[number]),
                    "high": float(self.high[number]),
                    "edges": self.edges[number].tolist(),
                    "shares": self.shares[number].tolist(),
                }
                for number, name in enumerate(self.names)
            },
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Reference:
        """Restore from to_json."""
        features = state["features"]
        return cls(
            windows=state["windows"],
            names=list(features),
            low=np.asarray([own["low"] for own in features.values()], dtype=np.float64),
            high=np.asarray([own["high"] for own in features.values()], dtype=np.float64),
            edges=[np.asarray(own["edges"], dtype=np.float64) for own in features.values()],
            shares=[np.asarray(own["shares"], dtype=np.float64) for own in features.values()],
        )


def reference_of(inputs: Inputs, names: list[str]) -> Reference:
    """Measure inputs.

    Args:
        inputs: (windows, lookback, features) as the network sees them.
    """
    values = inputs.reshape(-1, inputs.shape[2]).T.astype(np.float64)  # (F, windows * lookback)
    low = values.min(axis=1)
    deciles = [np.unique(np.quantile(column, _DECILES, method="higher")) for column in values]
    edges = [own[own > least] for own, least in zip(deciles, low, strict=True)]  # so that no bin is empty
    return Reference(
        windows=len(inputs),
        names=names,
        low=low,
        high=values.max(axis=1),
        edges=edges,
        shares=[counted(column, own) / len(column) for column, own in zip(values, edges, strict=True)],
    )


def counted(values: NDArray[np.floating], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many values lie in each bin, (edges + 1,)."""
    bins = np.searchsorted(edges, values, side="right")
    return np.bincount(bins, minlength=len(edges) + 1).astype(np.float64)


def write_reference(directory: Path, forecaster: Forecaster, data: MarketData) -> None:
    """Measure the training windows, all of them or an even spread of up to 16,384.

    Nothing is written where none of them is finite.
    """
    train, names = data.windows_["train"], data.layout.names[: len(data.layout.relations)]
    count = max(1, min(_MAX_WINDOWS, _MAX_VALUES // (data.seq_len * len(names))))
    windows = np.ascontiguousarray(train.take(train.spread(count)).windows)
    normaliser = forecaster.normaliser
    inputs = windows[..., : len(names)] if normaliser is None else inputs_of(normaliser, windows)
    # the ratio of two extreme prices may be more than a float holds
    finite = np.isfinite(inputs).all(axis=(1, 2))
    if finite.any():
        write_json(directory / FILE, reference_of(inputs[finite], list(names)).to_json())


def read_reference(directory: Path) -> Reference | None:
    """What a run kept; None for a run of a version that kept nothing."""
    path = directory / FILE
    return Reference.from_json(read_json(path)) if path.is_file() else None
