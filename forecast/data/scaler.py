"""StandardScaler for arrays of any leading shape, saved as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


class TimeSeriesScaler:
    """Standardise each feature, (x - mean_) / scale_, over every axis but the last.

    The arithmetic is scikit-learn's StandardScaler's: population standard deviation, and a constant feature is
    only centred. Fit it on training rows alone.

    Args:
        center: subtract the mean; without it, zero stays zero.

    Source: https://scikit-learn.org/stable/modules/generated/sklearn.preprocessing.StandardScaler.html
    """

    mean_: NDArray[np.float64]
    scale_: NDArray[np.float64]

    def __init__(self, *, center: bool = True) -> None:
        self.center = center

    def fit(self, values: ArrayLike) -> TimeSeriesScaler:
        """Learn mean and scale of (..., features)."""
        array = np.asarray(values)
        rows = array.reshape(-1, array.shape[-1])  # (..., F) -> (rows, F)
        if len(rows) == 0:
            raise ValueError("a scaler needs at least one row to fit")
        mean = rows.mean(axis=0, dtype=np.float64)
        variance = rows.var(axis=0, dtype=np.float64)
        # Rounding gives a constant column a tiny variance; scikit-learn's bound tells it from a real one.
        epsilon = np.finfo(np.float64).eps
        constant = variance <= len(rows) * epsilon * variance + (len(rows) * mean * epsilon) ** 2
        self.scale_ = np.where(constant, 1.0, np.sqrt(variance))
        self.mean_ = mean if self.center else np.zeros_like(mean)
        return self

    def transform(self, values: ArrayLike) -> NDArray[np.float64]:
        """Standardise (..., features)."""
        return (np.asarray(values, dtype=np.float64) - self.mean_) / self.scale_

    def to_json(self) -> dict[str, Any]:
        """Fitted state as plain lists; floats survive the round trip bit for bit."""
        return {"center": self.center, "mean": self.mean_.tolist(), "scale": self.scale_.tolist()}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> TimeSeriesScaler:
        """Restore a fitted scaler."""
        scaler = cls(center=bool(state["center"]))
        scaler.mean_ = np.asarray(state["mean"], dtype=np.float64)
        scaler.scale_ = np.asarray(state["scale"], dtype=np.float64)
        return scaler
