"""What is audited: a config's own source, strategy, evaluation and model, on any bars."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import TYPE_CHECKING

from forecast.audit.markets import Recorded
from forecast.config import build

if TYPE_CHECKING:
    import pandas as pd
    from omegaconf import DictConfig

    from forecast.data.bars import Source
    from forecast.data.market import MarketData
    from forecast.evaluate.folds import Evaluation, Fold
    from forecast.model.forecaster import Forecaster

# Of a panel of thousands, so many tickers are audited: a leak is in the code, which is the same for all of them.
MOST_TICKERS = 6
_MOST_EPOCHS = 3


class Subject:
    """A composed config, built anew for each check on the bars of that check.

    Args:
        config: composed and checked.
    """

    def __init__(self, config: DictConfig) -> None:
        from omegaconf import open_dict

        source = build(config.source)
        asked = build(config.data, source=source, target=build(config.get("target")))
        self.config = copy.deepcopy(config)
        self.source = Recorded(source, asked.range)
        self.left_out = asked.tickers[MOST_TICKERS:] if asked.scope == "panel" else []
        self.tickers: list[str] = asked.tickers[: MOST_TICKERS if asked.scope == "panel" else None]
        with open_dict(self.config):
            # The range is cut once, before anything is spoilt, or `period` would count from another last bar.
            self.config.data.update({"tickers": self.tickers, "period": "max", "start": None, "end": None})
            if self.config.trainer is not None:
                self.config.trainer.update({"progress": "off"})

    def data(self, source: Source) -> MarketData:
        """The config's data over other bars, loaded."""
        data: MarketData = build(self.config.data, source=source, target=build(self.config.get("target")))
        data.load()
        return data

    @cached_property
    def original(self) -> MarketData:
        """The data as a run sees it, split as its first fold."""
        data = self.data(self.source)
        data.divide(self.evaluation.folds(data)[0].stretches)
        return data

    @cached_property
    def evaluation(self) -> Evaluation:
        """The config's."""
        from forecast.evaluate.folds import Holdout

        return build(self.config.get("evaluation")) or Holdout()

    @cached_property
    def folds(self) -> list[Fold]:
        """Of the original bars."""
        return self.evaluation.folds(self.original)

    def fitted(self, data: MarketData, *, epochs: int = _MOST_EPOCHS) -> Forecaster:
        """The config's model, fitted to divided data for a few epochs."""
        from forecast.pipeline import fit

        config = copy.deepcopy(self.config)
        config.trainer.max_epochs = min(epochs, config.trainer.max_epochs)
        return fit(config, data, lambda *_: None)[0]

    @cached_property
    def forecaster(self) -> Forecaster:
        """Fitted to the original data."""
        return self.fitted(self.original)

    @cached_property
    def bars(self) -> dict[str, pd.DataFrame]:
        """Healthy bars of each ticker, as the features are computed from them."""
        tables = {}
        for ticker in self.tickers:
            bars = self.source.bars(ticker)
            health = self.original.health
            tables[ticker] = bars if health is None else health.check(ticker, bars)[0]
        return tables
