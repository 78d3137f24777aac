"""Do requests look like what the model was trained on?

The population stability index of a feature compares the shares of its values in bins, here the deciles of training:
sum of (now - then) * ln(now / then). Below 0.1 is commonly read as stable, above 0.25 as shifted
(Siddiqi 2006, Credit Risk Scorecards). Neighbouring days share most of their window, so few windows say little: below
`LEAST_WINDOWS` none is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from forecast.bundle.reference import Reference, counted
from forecast.serve.watch.counting import encoded
from forecast.serve.watch.pages import BINS, MOST_FEATURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.serve.watch.pages import Page

LEAST_WINDOWS = 100
_STABLE, _SHIFTED = 0.1, 0.25


@dataclass(frozen=True, kw_only=True)
class FeatureDrift:
    """Of one network input."""

    feature: str
    psi: float
    outside_share: float  # of the windows that have a value of it outside its training range


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Of the newest requests of a model.

    Args:
        windows: so many were looked at; older ones fade away, so it need not be whole.
        outside_share: of them with a value outside the training range; None without any.
        features: None below `LEAST_WINDOWS`; largest index first.
    """

    windows: float
    outside_share: float | None
    features: list[FeatureDrift] | None

    @property
    def psi_max(self) -> float | None:
        """The largest index of any feature."""
        return self.features[0].psi if self.features else None

    @property
    def label(self) -> Literal["stable", "moderate", "shifted"] | None:
        """The largest index in a word."""
        if self.psi_max is None:
            return None
        if self.psi_max < _STABLE:
            return "stable"
        return "moderate" if self.psi_max < _SHIFTED else "shifted"


def add(page: Page, version: str, reference: Reference, inputs: NDArray[np.float32], *, newest: int) -> None:
    """Count windows on this process's page; those of another model are forgotten.

    Args:
        page: this process's own.
        version: of the model.
        reference: of its run.
        inputs: (windows, lookback, features) as the network sees them.
        newest: so many windows count; each that comes takes away that part of all before.
    """
    drift = page["drift"]
    if drift["version"] != encoded(version):
        for field in ("windows", "outside", "beyond", "bins"):
            drift[field] = 0.0
        drift["version"] = encoded(version)
    fade = (1.0 - 1.0 / newest) ** len(inputs)
    beyond = reference.outside(inputs)  # (B, F)
    features = min(len(reference.names), MOST_FEATURES)
    counts = np.zeros((features, BINS))
    for number in range(features):
        edges = reference.edges[number]
        counts[number, : len(edges) + 1] = counted(inputs[..., number].ravel(), edges)
    drift["bins"][:features] = drift["bins"][:features] * fade + counts
    drift["beyond"][:features] = drift["beyond"][:features] * fade + beyond[:, :features].sum(axis=0)
    drift["outside"] = drift["outside"] * fade + beyond.any(axis=1).sum()
    drift["windows"] = drift["windows"] * fade + len(inputs)


def drift_of(pages: Iterable[Page], version: str, reference: Reference) -> Drift:
    """What all processes counted for a model.

    Args:
        pages: of all processes.
        version: of the model.
        reference: of its run.
    """
    of_model = [page["drift"].copy() for page in pages if page["drift"]["version"] == encoded(version)]
    windows = float(sum(drift["windows"] for drift in of_model))
    if not windows:
        return Drift(windows=0.0, outside_share=None, features=None)
    features = None
    if windows >= LEAST_WINDOWS:
        bins = np.sum([drift["bins"] for drift in of_model], axis=0)
        beyond = np.sum([drift["beyond"] for drift in of_model], axis=0)
        features = [
            FeatureDrift(
                feature=name,
                psi=stability_index(bins[number], reference.shares[number]),
                outside_share=min(1.0, float(beyond[number]) / windows),
            )
            for number, name in enumerate(reference.names[:MOST_FEATURES])
        ]
        features.sort(key=lambda told: -told.psi)
    outside = min(1.0, float(sum(drift["outside"] for drift in of_model)) / windows)
    return Drift(windows=windows, outside_share=outside, features=features)


def stability_index(counts: NDArray[np.float64], shares: NDArray[np.float64]) -> float:
    """Population stability index of counts beside what was expected.

    Args:
        counts: (bins,) or more, in each bin now.
        shares: (bins,) in each bin in training, all above 0.
    """
    counts = counts[: len(shares)]
    # Half a value in each bin: the logarithm of none would be infinite.
    now = (counts + 0.5) / (counts.sum() + 0.5 * len(shares))
    return float(np.sum((now - shares) * np.log(now / shares)))
