"""Some rows of the forecast table, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Rows:
    """A window's steps side by side, windows oldest first within a series."""

    series: NDArray[np.int64]  # (rows,) index into panel.names
    days: NDArray[np.int32]  # (rows,) the day that is forecast, since 1970-01-01
    step: NDArray[np.int32]  # (rows,) 1 .. horizon
    origin: NDArray[np.int32]  # (rows,) day of the window's last bar: when the forecast was made
    actual: NDArray[np.float64]  # (rows,) prices in the source's units
    forecast: NDArray[np.float64]
    naive: NDArray[np.float64]  # the last Close of the window: "tomorrow = today"

    def __len__(self) -> int:
        return len(self.days)

    @classmethod
    def join(cls, pieces: Sequence[Rows]) -> Rows:
        """One after the other."""
        return cls(*(np.concatenate([getattr(piece, f.name) for piece in pieces]) for f in fields(cls)))
