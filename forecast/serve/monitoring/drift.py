"""Do requests look like what the model was trained on?

The population stability index of a feature compares the shares of its values in bins, here the deciles of training:
sum of (now - then) * ln(now / then). Below 0.1 is commonly read as stable, above 0.25 as shifted
(Siddiqi 2006, Credit Risk Scorecards). Neighbouring days share most of their window, so few windows say little: below
`MIN_WINDOWS` there is no index.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from forecast.bundle.reference import Reference, counted
from forecast.files import read_json, write_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_WINDOWS = 100
MAX_FEATURES = 512  # network inputs that are looked at; of more the first
_BINS = 10
_STABLE, _SHIFTED = 0.1, 0.25


@dataclass(frozen=True, kw_only=True)
class FeatureDrift:
    """Of one network input."""

    feature: str
    psi: float
    outside_share: float  # of the windows that have a value of it outside its training range


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Of the newest requests of a model."""

    windows: float  # so many were looked at; older ones fade away, so it need not be whole
    outside_share: float | None  # of them with a value outside the training range; None without any
    psi_max: float | None  # the largest index of any feature; None below `MIN_WINDOWS`
    label: Literal["stable", "moderate", "shifted"] | None  # the same in a word
    features: list[FeatureDrift]  # largest index first; none below `MIN_WINDOWS`


class DriftCounts:
    """What one process has seen of the newest windows of a model; other processes read it from a file.

    Args:
        folder: that the processes share; the file is `drift-<process>.json` in it.
        newest: so many windows count; each that comes takes away that part of all before.
    """

    def __init__(self, folder: Path, *, newest: int) -> None:
        self._path = folder / f"drift-{os.getpid()}.json"
        self._newest = newest
        self._version: str | None = None
        self._windows = self._outside = 0.0
        self._beyond = np.zeros(0)  # (features,) windows with a value outside its training range
        self._bins = np.zeros((0, _BINS))  # (features, bins) values

    def add(self, version: str, reference: Reference, inputs: NDArray[np.float32]) -> None:
        """Count windows, (windows, lookback, features) as the network sees them; other models' are forgotten."""
        features = min(len(reference.names), MAX_FEATURES)
        if self._version != version:
            self._version, self._windows, self._outside = version, 0.0, 0.0
            self._beyond, self._bins = np.zeros(features), np.zeros((features, _BINS))
        fade = (1.0 - 1.0 / self._newest) ** len(inputs)
        beyond = reference.outside(inputs)  # (B, F)
        self._bins *= fade
        for number in range(features):
            edges = reference.edges[number]
            self._bins[number, : len(edges) + 1] += counted(inputs[..., number].ravel(), edges)
        self._beyond = self._beyond * fade + beyond[:, :features].sum(axis=0)
        self._outside = self._outside * fade + float(beyond.any(axis=1).sum())
        self._windows = self._windows * fade + len(inputs)
        record = {
            "version": version,
            "windows": self._windows,
            "outside": self._outside,
            "beyond": self._beyond.tolist(),
            "bins": self._bins.tolist(),
        }
        write_whole(self._path, json.dumps(record))


def read_drift(folder: Path, version: str, reference: Reference) -> Drift:
    """What all processes that share a folder counted for a model, those that died among them."""
    records = [read_json(path) for path in folder.glob("drift-*.json")]
    records = [record for record in records if record["version"] == version]
    windows = float(sum(record["windows"] for record in records))
    if not windows:
        return Drift(windows=0.0, outside_share=None, psi_max=None, label=None, features=[])
    features: list[FeatureDrift] = []
    if windows >= MIN_WINDOWS:
        bins = np.sum([record["bins"] for record in records], axis=0)
        beyond = np.sum([record["beyond"] for record in records], axis=0)
        features = [
            FeatureDrift(
                feature=name,
                psi=stability_index(bins[number], reference.shares[number]),
                outside_share=min(1.0, float(beyond[number]) / windows),
            )
            for number, name in enumerate(reference.names[:MAX_FEATURES])
        ]
        features.sort(key=lambda feature: -feature.psi)
    psi_max = features[0].psi if features else None
    label: Literal["stable", "moderate", "shifted"] | None = None
    if psi_max is not None:
        label = "stable" if psi_max < _STABLE else "moderate" if psi_max < _SHIFTED else "shifted"
    return Drift(
        windows=round(windows, 1),
        outside_share=min(1.0, float(sum(record["outside"] for record in records)) / windows),
        psi_max=psi_max,
        label=label,
        features=features,
    )


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
