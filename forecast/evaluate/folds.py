"""Which bars are trained on, validated and tested: once, or again and again as time goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from annotated_types import Ge

from forecast.errors import UserError
from forecast.evaluate.risk import Risk
from forecast.evaluate.significance import Significance
from forecast.evaluate.trading_rule import TradingRule

if TYPE_CHECKING:
    from forecast.data.market import MarketData
    from forecast.data.split import SplitRanges


@dataclass(frozen=True)
class Fold:
    """One train, validation and test range.

    Args:
        number: from 0, oldest test bars first.
        ranges: split -> (first, last) position in the panel's calendar, both inclusive.
        refit: whether scalers and network are fitted anew, or those of the fold before go on.
    """

    number: int
    ranges: SplitRanges
    refit: bool


class Evaluation(Protocol):
    """The `evaluation` node of a config."""

    parallel: int  # folds fitted at once
    metrics: dict[str, Any] | None  # the user's own: name -> function, see evaluate.metrics
    significance: Significance | None  # tests of the test rows
    economics: TradingRule | None  # a trading rule on the test rows
    risk: Risk | None  # value at risk and expected shortfall of the test rows

    def folds(self, data: MarketData) -> list[Fold]:
        """The folds of loaded data, oldest test bars first."""
        ...


class Holdout:
    """One fold, cut by `data.train_ratio` and `data.val_ratio`.

    Args:
        metrics: of one's own: name -> function of a forecast table, see evaluate.metrics.
        significance: tests of the test rows; None = none.
        economics: a trading rule on the test rows; None = none.
        risk: value at risk and expected shortfall of the test rows; None = none.
    """

    def __init__(
        self,
        *,
        metrics: dict[str, Any] | None = None,
        significance: Significance | None = None,
        economics: TradingRule | None = None,
        risk: Risk | None = None,
    ) -> None:
        self.parallel = 1
        self.metrics = metrics
        self.significance = significance
        self.economics = economics
        self.risk = risk

    def folds(self, data: MarketData) -> list[Fold]:
        """See Evaluation.

        Raises:
            UserError: a split would be empty.
        """
        return [Fold(0, data.ranges_by_ratio(), refit=True)]


class WalkForward:
    """Train on what came before, test on the bars that follow, move on, again (a rolling origin).

    The newest `folds * step` bars are tested, each once. Before the test bars of a fold come its validation bars,
    before those its training bars, with `data.embargo` bars left out at the end of each range.

    Args:
        folds: their number.
        step: sessions a fold tests, and the origin then moves by.
        val_days: sessions validated before each test; None = step.
        window: `expanding` trains from the first bar on, `rolling` on the newest `train_days`.
        train_days: sessions of a rolling window; None = as many as the first fold has.
        refit_every: folds after which scalers and network are fitted anew; None = never, only in the first.
        parallel: folds fitted at once, on Ray; 1 = one after the other in this process.
        metrics: of one's own: name -> function of a forecast table, see evaluate.metrics.
        significance: tests of the test rows; None = none.
        economics: a trading rule on the test rows; None = none.
        risk: value at risk and expected shortfall of the test rows; None = none.

    Raises:
        UserError: train_days without a rolling window.

    Source: Tashman (2000), Out-of-sample tests of forecasting accuracy, International Journal of Forecasting 16.
    """

    def __init__(
        self,
        *,
        folds: Annotated[int, Ge(1)] = 5,
        step: Annotated[int, Ge(1)] = 252,
        val_days: Annotated[int, Ge(1)] | None = None,
        window: Literal["expanding", "rolling"] = "expanding",
        train_days: Annotated[int, Ge(1)] | None = None,
        refit_every: Annotated[int, Ge(1)] | None = 1,
        parallel: Annotated[int, Ge(1)] = 1,
        metrics: dict[str, Any] | None = None,
        significance: Significance | None = None,
        economics: TradingRule | None = None,
        risk: Risk | None = None,
    ) -> None:
        if train_days is not None and window != "rolling":
            raise UserError(
                f"evaluation.train_days={train_days}: an expanding window trains from the first bar on; "
                "use evaluation.window=rolling"
            )
        self.number = folds
        self.step = step
        self.val_days = step if val_days is None else val_days
        self.window = window
        self.train_days = train_days
        self.refit_every = refit_every
        self.parallel = parallel
        self.metrics = metrics
        self.significance = significance
        self.economics = economics
        self.risk = risk

    def folds(self, data: MarketData) -> list[Fold]:
        """See Evaluation.

        Raises:
            UserError: fewer bars than the folds need.
        """
        bars, embargo, label = len(data.panel_.calendar), data.embargo, data.bars.label
        for key, stretch in (("val_days", self.val_days), ("train_days", self.train_days)):
            if stretch is not None and stretch <= embargo:
                raise UserError(f"evaluation.{key}={stretch}: must be more than data.embargo={embargo}")
        tested = self.number * self.step
        train = self.train_days or embargo + data.seq_len + data.horizon
        if bars < tested + self.val_days + train:
            raise UserError(
                f"evaluation.folds={self.number}: tests {tested:,} {label}s (evaluation.step={self.step} each), "
                f"evaluation.val_days={self.val_days} before them and at least {train:,} to train on are more "
                f"than the {bars:,} {label}s there are; ask for fewer folds, a shorter step or a longer data.period"
            )
        # The first bar after training; the embargo is taken from the end of training.
        border = bars - tested - self.val_days
        return [self._fold(number, border, data) for number in range(self.number)]

    def _fold(self, number: int, first_border: int, data: MarketData) -> Fold:
        embargo = data.embargo
        border = first_border + number * self.step
        test = border + self.val_days
        train = 0 if self.window == "expanding" else border - (self.train_days or first_border)
        return Fold(
            number,
            {
                "train": (train, border - embargo - 1),
                "val": (border, test - embargo - 1),
                "test": (test, test + self.step - 1),
            },
            refit=number == 0 or (self.refit_every is not None and number % self.refit_every == 0),
        )
