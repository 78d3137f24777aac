"""What is forecast: the `target` node of a config.

A target stands in three forms. Its *values* are a column of the panel, one number a bar, known at the close of that bar
(a Close; the log of a range). The network *answers* relative to what it last saw (`relation`). What is recorded, judged
and served is in the target's *unit* (a price; percent a year). A new target is a subclass of Target and one YAML.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

Relation = Literal["ratio", "difference", "level", "probability"]


class Target:
    """What all targets share; a subclass says at least `name`, `unit`, `column` and `values`.

    `relation` is how an answer a of the network becomes a value, given the last value v of the window:

        ratio          v * (1 + a)
        difference     v + a
        level          a
        probability    1 / (1 + exp(-a)), of values that are 0 or 1; the loss is the cross-entropy

    With `data.anchor: none`, ratio and difference are levels too.
    """

    name: ClassVar[str]
    unit: ClassVar[str]  # of forecasts, in words: "price", "percent a year"
    column: ClassVar[str]  # of the panel; a feature of the same name is the same column
    relation: ClassVar[Relation] = "difference"
    positive: ClassVar[bool] = False  # whether a value of 0 or less cannot be anchored
    floor: ClassVar[float | None] = None  # no forecast is below it, in the unit
    trading_rule: ClassVar[bool] = False  # whether the sign of the forecast move can be traded
    naive_name: ClassVar[str] = "tomorrow = today"  # how a verdict calls the forecast that needs no model
    # Losses in which forecasts are compared (evaluate.scores.LOSSES): the best baseline is chosen, and the verdict
    # given, in the first.
    losses: ClassVar[tuple[str, ...]] = ("squared", "absolute")
    # Figures that daily data do not allow: metrics above these values, or a root mean loss below such a share of a
    # baseline's, are suspected of a leak.
    suspect_above: ClassVar[Mapping[str, float]] = {"r2_oos": 0.02, "direction": 0.57, "ic": 0.10}
    suspect_below: ClassVar[Mapping[str, float]] = {}
    # Names of what belongs to it; None = those of a price (evaluate.metrics.METRICS), and all baselines.
    metrics: ClassVar[tuple[str, ...] | None] = None
    baselines: ClassVar[tuple[str, ...] | None] = None

    # Bars between the origin and the first value that is forecast, less one: a mean of the next n bars has n - 1, and
    # `values` then give, at each bar, the mean of the n bars up to it.
    lead: int = 0
    warm_up: int = 0  # bars before the first one that has a value

    def values(self, bars: pd.DataFrame) -> pd.Series:
        """What is known at the close of each bar; NaN where a bar has no value, which is a gap.

        Args:
            bars: one ticker's, ascending; Open, High, Low, Close, Volume.
        """
        raise NotImplementedError

    def naive(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The forecast that needs no model, for any step: as the last value was.

        Args:
            values: (windows, bars), the newest last; of as few bars as one.

        Returns:
            (windows,) in the unit.
        """
        return self.in_unit(values[:, -1])

    def in_unit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values in the target's unit; ascending in them, so that quantiles stay quantiles."""
        return values

    def expected(
        self, values: NDArray[np.float64], variance: NDArray[np.float64] | float
    ) -> NDArray[np.float64]:
        """The mean, in the unit, of what a forecast value stands for.

        A unit that is not linear in the values needs a correction: of logs x with variance s2 it is exp(x + s2 / 2).

        Args:
            values: forecast.
            variance: of the errors of such forecasts, (horizon,); 0 where none were measured.
        """
        del variance
        return self.in_unit(values)


class Close(Target):
    """The next Close, as a move from the last one."""

    name = "close"
    unit = "price"
    column = "Close"
    relation = "ratio"
    positive = True
    trading_rule = True

    def values(self, bars: pd.DataFrame) -> pd.Series:
        """See Target.values."""
        return bars["Close"]
