"""The figures of the baselines, and which of them is the best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from forecast.evaluate.metrics import SPLITS, Tally
from forecast.model.baselines import NAIVE, Baselines

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forecast.evaluate.rows import Rows

Figures = dict[str, float | None]

# Chosen by a figure that has no unit, so that a choice means the same for any ticker.
SELECTED_ON = "val_theil_u"
# Of each baseline in metrics.json; all its figures stand in evaluation.json.
_FLAT = ("rmse", "mae", "theil_u")


class BaselineTally:
    """Streaming figures of each baseline, on the model's own rows and by the model's own formulas.

    Args:
        baselines: whose forecasts are counted; one that fails on the way has no figures at all.
        horizon: steps forecast at once.
    """

    def __init__(self, *, baselines: Baselines, horizon: Annotated[int, Ge(1)]) -> None:
        self.baselines = baselines
        self._tallies = {
            split: {name: Tally(horizon=horizon) for name in baselines.names} for split in SPLITS
        }
        self._ranking: list[str] | None = None

    def add(
        self,
        split: str,
        rows: Rows,
        forecasts: Mapping[str, NDArray[np.float64]],
        *,
        scale: NDArray[np.float64],
    ) -> None:
        """Count a piece of validation or test.

        Args:
            split: `val` or `test`.
            rows: of the piece, a window's steps side by side.
            forecasts: name -> (windows, horizon) prices, from Baselines.predict.
            scale: (rows,) of MASE, see Tally.
        """
        if split == "test" and self._ranking is None:
            # In a walk-forward the validation days of a later fold are test days of an earlier one: what is
            # chosen before the first test row has seen none.
            self._ranking = self._ranked()
        for name, prices in forecasts.items():
            self._tallies[split][name].add(rows.actual, prices.ravel(), rows.naive, scale)

    @property
    def best(self) -> str:
        """The one with the lowest RMSE beside naive's on the validation rows that came before any test row.

        Where the price never moved there is no such figure, and `naive` is the best.
        """
        ranking = self._ranked() if self._ranking is None else self._ranking
        return next(name for name in ranking if name not in self.baselines.failed)

    def result(self) -> tuple[Figures, dict[str, Any]]:
        """Flat figures for metrics.json, and the nested ones for evaluation.json.

        Returns:
            `<split>_<name>_rmse|mae|theil_u` of all but naive, which the model's own figures hold already; and
            best, selected_on, figures (name -> split -> as Tally.result names them), failed (name -> reason),
            seconds (name -> wall time).
        """
        failed = self.baselines.failed
        figures = {
            name: {split: self._tallies[split][name].result(split) for split in SPLITS}
            for name in self.baselines.names
            if name not in failed
        }
        flat = {
            f"{split}_{name}_{figure}": figures[name][split][f"{split}_{figure}"]
            for name in figures
            if name != NAIVE
            for split in SPLITS
            for figure in _FLAT
        }
        nested = {
            "best": self.best,
            "selected_on": SELECTED_ON,
            "figures": {
                name: {
                    split: {key.removeprefix(f"{split}_"): value for key, value in own.items()}
                    for split, own in by_split.items()
                }
                for name, by_split in figures.items()
            },
            "failed": dict(failed),
            "seconds": {name: round(spent, 3) for name, spent in self.baselines.seconds.items()},
        }
        return flat, nested

    def _ranked(self) -> list[str]:
        """All of them, the best on validation first; a tie goes to naive, then to the one named first."""
        errors = {name: tally.result("val")[SELECTED_ON] for name, tally in self._tallies["val"].items()}
        # Of prices that never moved none has a figure; of the others, one that failed before it was counted.
        known = {name: error for name, error in errors.items() if error is not None}
        return sorted(known, key=lambda name: known[name]) or [NAIVE]
