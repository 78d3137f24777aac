"""How often intervals held the outcome, how wide they were, and what that is worth: by ticker, step and level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.model.intervals import endings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.rows import Rows

Figures = dict[str, float | None]
_SUMS = ("inside", "width", "winkler", "share")


class IntervalTally:
    """Streaming figures of intervals beside those of the naive forecast's, calibrated in the same way.

    Args:
        names: tickers, in the order of Rows.series.
        horizon: steps forecast at once.
        levels: of the bounds that are counted, largest first.
        reliability: further nominal levels of which only the coverage is counted.
    """

    def __init__(
        self,
        *,
        names: Sequence[str],
        horizon: int,
        levels: Sequence[float],
        reliability: Sequence[float] = (),
    ) -> None:
        self.names = names
        self.horizon = horizon
        self.levels = tuple(levels)
        self.reliability = tuple(reliability)
        # Model and naive, then sums, levels, series and steps.
        shape = (2, len(_SUMS), len(self.levels), len(names), horizon)
        self._sums = np.zeros(shape)
        self._rows = np.zeros(shape[3:], np.int64)
        self._unknown = 0
        self._held = np.zeros((2, len(self.reliability)), np.int64)
        self._judged = 0

    def add(self, rows: Rows, bounds: NDArray[np.float64], naive_bounds: NDArray[np.float64]) -> None:
        """Count a piece of the test rows; rows without bounds are left out, of model and naive alike.

        Args:
            rows: of the piece.
            bounds: (levels, 2, rows) lower and upper prices.
            naive_bounds: likewise, around "tomorrow = today".
        """
        known = np.isfinite(bounds).all(axis=(0, 1)) & np.isfinite(naive_bounds).all(axis=(0, 1))
        self._unknown += int(len(rows) - known.sum())
        place = (rows.series * self.horizon + rows.step - 1)[known]
        size = self._rows.size
        self._rows += np.bincount(place, minlength=size).reshape(self._rows.shape)
        actual, close = rows.actual[known], np.abs(rows.naive[known])
        for side, found in enumerate((bounds, naive_bounds)):
            for number, level in enumerate(self.levels):
                lower, upper = found[number][:, known]
                width = upper - lower
                outside = np.maximum(lower - actual, 0) + np.maximum(actual - upper, 0)
                columns = (outside == 0, width, width + 2 / (1 - level) * outside, width / close)
                for what, column in enumerate(columns):
                    total = np.bincount(place, weights=column, minlength=size)
                    self._sums[side, what, number] += total.reshape(self._rows.shape)

    def add_reliability(self, inside: NDArray[np.bool_], naive_inside: NDArray[np.bool_]) -> None:
        """Count which outcomes lay inside the intervals of the further levels.

        Args:
            inside: (reliability levels, rows).
            naive_inside: likewise, of the naive forecast.
        """
        self._judged += inside.shape[1]
        self._held += np.stack((inside.sum(axis=1), naive_inside.sum(axis=1)))

    def metrics(self, prefix: str) -> Figures:
        """Flat figures, all tickers and steps pooled: `<prefix>_coverage` and so on, `_50` behind a further level's.

        Returns:
            coverage: share of outcomes inside, bounds included. width, winkler: price units.
            naive_coverage, naive_width, naive_winkler: of intervals around "tomorrow = today".
            ticker_coverage: mean of the tickers' own coverages. All None without rows.
        """
        figures: Figures = {}
        for number, ending in enumerate(endings(self.levels)):
            for name, value in self._entry(number, slice(None), slice(None)).items():
                if name not in ("rows", "width_percent", "naive_width_percent"):
                    figures[f"{prefix}_{name}{ending}"] = value
            figures[f"{prefix}_ticker_coverage{ending}"] = self._mean_coverage(number)
        return figures

    def record(self) -> dict[str, Any]:
        """Nested figures for evaluation.json.

        Returns:
            levels: of the intervals. rows: judged. rows_without: that have no bounds.
            pooled: level -> figures. steps: level -> figures of each step, in order. tickers: name -> level ->
            figures, with the coverage of each step. reliability: nominal level beside the share that came out.
            `width_percent` is in percent of the last Close. A level is written as in `90`.
        """
        everything = slice(None)
        keys = [f"{100 * level:g}" for level in self.levels]
        levels = list(enumerate(keys))
        seen = np.flatnonzero(self._rows.sum(axis=1)).tolist()
        return {
            "levels": list(self.levels),
            "rows": int(self._rows.sum()),
            "rows_without": self._unknown,
            "pooled": {key: self._entry(number, everything, everything) for number, key in levels},
            "steps": {
                key: [self._entry(number, everything, slice(step, step + 1)) for step in range(self.horizon)]
                for number, key in levels
            },
            "tickers": {
                self.names[series]: {
                    key: {
                        **self._entry(number, slice(series, series + 1), everything),
                        "coverage_by_step": self._by_step(number, series),
                    }
                    for number, key in levels
                }
                for series in seen
            },
            "reliability": self._reliability(),
        }

    def __add__(self, other: IntervalTally) -> IntervalTally:
        """The figures of both."""
        both = IntervalTally(
            names=self.names, horizon=self.horizon, levels=self.levels, reliability=self.reliability
        )
        for name in ("_sums", "_rows", "_unknown", "_held", "_judged"):
            setattr(both, name, getattr(self, name) + getattr(other, name))
        return both

    def _entry(self, level: int, series: slice, steps: slice) -> Figures:
        """One level's figures of some tickers and steps."""
        rows = int(self._rows[series, steps].sum())
        figures: Figures = {"rows": rows}
        for side, prefix in enumerate(("", "naive_")):
            inside, width, winkler, share = self._sums[side, :, level, series, steps].sum(axis=(1, 2))
            figures |= {
                f"{prefix}coverage": _mean(inside, rows),
                f"{prefix}width": _mean(width, rows),
                f"{prefix}width_percent": _mean(100 * share, rows),
                f"{prefix}winkler": _mean(winkler, rows),
            }
        return figures

    def _by_step(self, level: int, series: int) -> list[float | None]:
        inside = self._sums[0, 0, level, series]
        return [_mean(held, int(rows)) for held, rows in zip(inside, self._rows[series], strict=True)]

    def _mean_coverage(self, level: int) -> float | None:
        rows = self._rows.sum(axis=1)
        seen = rows > 0
        inside = self._sums[0, 0, level].sum(axis=1)
        return float(np.mean(inside[seen] / rows[seen])) if seen.any() else None

    def _reliability(self) -> list[dict[str, float | None]]:
        points = [
            (level, *(_mean(held, self._judged) for held in self._held[:, number]))
            for number, level in enumerate(self.reliability)
        ]
        return [
            {"nominal": nominal, "empirical": own, "naive_empirical": naive}
            for nominal, own, naive in sorted(points)
        ]


def _mean(total: float, rows: int) -> float | None:
    value = float(total) / rows if rows else math.inf
    return value if math.isfinite(value) else None
