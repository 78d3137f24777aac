"""What is audited: a config's own source, strategy, evaluation and model, on any bars."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np

from forecast.config import build
from forecast.data.features import sessions_named, with_calendar
from forecast.data.layout import rows

if TYPE_CHECKING:
    import pandas as pd
    from omegaconf import DictConfig

    from forecast.data.bars import Source
    from forecast.data.features.base import Features
    from forecast.data.market import MarketData
    from forecast.data.reader import BarReader
    from forecast.evaluate.folds import Evaluation, Fold
    from forecast.model.forecaster import Forecaster


class LeakError(Exception):
    """A check failed; the message names the feature and the date, or whatever else shows the future."""


@dataclass(frozen=True)
class CheckResult:
    """One check.

    Args:
        check: its name.
        passed: None where the plug-in raised, so that nothing is known.
        detail: what was looked at, or what was found.
        seconds: it took.
    """

    check: str
    passed: bool | None
    detail: str
    seconds: float


@dataclass
class _Derived:
    """A source with the tickers of another."""

    source: Source

    def tickers(self) -> list[str]:
        """The tickers of the other source."""
        return self.source.tickers()

    def columns_of(self, ticker: str) -> pd.DataFrame:
        """The columns of a ticker's file beside its bars, as covariates; none of a source that offers none."""
        import pandas as pd

        reader = getattr(self.source, "columns_of", None)
        return pd.DataFrame(index=self.source.bars(ticker).index) if reader is None else reader(ticker)


@dataclass
class CachedSource(_Derived):
    """The bars a run would see, fetched once and kept.

    Args:
        source: the run's.
        reader: of the run, which knows the part of the history it uses.
    """

    reader: BarReader

    def __post_init__(self) -> None:
        self.bars = cache(lambda ticker: self.reader.cut(ticker, self.source.bars(ticker)))


@dataclass
class Until(_Derived):
    """A source cut off after a day: later bars do not exist yet."""

    last_day: pd.Timestamp

    def bars(self, ticker: str) -> pd.DataFrame:
        """Bars of `last_day` and before."""
        bars = self.source.bars(ticker)
        return bars[bars.index <= self.last_day]

    def columns_of(self, ticker: str) -> pd.DataFrame:
        """Further columns of `last_day` and before."""
        table = super().columns_of(ticker)
        return table[table.index <= self.last_day]


@dataclass
class CorruptedAfter(_Derived):
    """Bars after a day take another course: plausible prices and volumes, but not the real ones."""

    last_day: pd.Timestamp
    seed: int

    def bars(self, ticker: str) -> pd.DataFrame:
        """Prices after `last_day` times a random path of 5 % steps, volumes times a factor from 1/4 to 4."""
        bars = self.source.bars(ticker).copy()
        later = np.flatnonzero(bars.index > self.last_day)
        rng = _generator(self.seed, ticker)
        # Bounded, so that no price leaves what a health check allows.
        path = np.exp(np.clip(np.cumsum(rng.normal(0, 0.05, len(later))), -0.7, 0.7))
        for place, column in enumerate(bars.columns):
            factor = 4 ** rng.uniform(-1, 1, len(later)) if column == "Volume" else path
            bars.iloc[later, place] = bars.iloc[later, place].to_numpy() * factor
        return bars

    def columns_of(self, ticker: str) -> pd.DataFrame:
        """Further columns, after `last_day` times a factor from 1/4 to 4."""
        table = super().columns_of(ticker).copy()
        later = table.index > self.last_day
        table.loc[later] *= 4 ** _generator(self.seed + 1, ticker).uniform(
            -1, 1, (int(later.sum()), table.shape[1])
        )
        return table


@dataclass
class Shuffled(_Derived):
    """The same bars in random order, each relative to the Close before it: nothing is left to be forecast."""

    seed: int

    def bars(self, ticker: str) -> pd.DataFrame:
        """Dates stay; prices are chained anew from permuted relative bars."""
        import pandas as pd

        bars = self.source.bars(ticker)
        if len(bars) < 2:
            return bars
        close = bars["Close"].to_numpy()
        order = _generator(self.seed, ticker).permutation(len(bars) - 1) + 1
        prices = [column for column in bars.columns if column != "Volume"]
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = (bars[prices].to_numpy()[1:] / close[:-1, None])[order - 1]  # (bars - 1, prices)
        moves = relative[:, prices.index("Close")]
        # A steady drift is no skill, but a model that learns it beats "tomorrow = today": it is taken out.
        drift = np.exp(np.nanmean(np.log(moves)))
        before = close[0] * np.concatenate(([1.0], np.cumprod(moves / drift)[:-1]))
        values = bars.to_numpy(np.float64).copy()
        for place, column in enumerate(bars.columns):
            values[1:, place] = (
                values[order, place]
                if column == "Volume"
                else relative[:, prices.index(column)] / drift * before
            )
        shuffled = pd.DataFrame(values, index=bars.index, columns=bars.columns)
        shuffled.attrs = bars.attrs  # they are as much adjusted as these: no fall is an unadjusted split
        return shuffled

    def columns_of(self, ticker: str) -> pd.DataFrame:
        """Further columns, their rows permuted."""
        table = super().columns_of(ticker)
        order = _generator(self.seed + 1, ticker).permutation(len(table))
        return table.iloc[order].set_axis(table.index, axis=0)


def _generator(seed: int, ticker: str) -> np.random.Generator:
    import zlib

    return np.random.default_rng((seed, zlib.crc32(ticker.encode())))


# Of a panel of thousands, so many tickers are audited: a leak is in the code, which is the same for all of them.
MOST_TICKERS = 6
MOST_EPOCHS = 3


class Subject:
    """A composed config, built anew for each check on the bars of that check.

    Args:
        config: composed and checked.
    """

    def __init__(self, config: DictConfig) -> None:
        from omegaconf import open_dict

        source = build(config.source)
        built = build(config.data, source=source, target=build(config.get("target")))
        self.config = copy.deepcopy(config)
        self.source = CachedSource(source, built.reader)
        self.left_out = built.tickers[MOST_TICKERS:] if built.scope == "panel" else []
        self.tickers: list[str] = built.tickers[: MOST_TICKERS if built.scope == "panel" else None]
        with open_dict(self.config):
            # The range is cut once, before anything is corrupted, or `period` would count from another last bar.
            self.config.data.update({"tickers": self.tickers, "period": "max", "start": None, "end": None})
            if self.config.trainer is not None:
                self.config.trainer.update({"progress": "off"})

    def data(self, source: Source) -> MarketData:
        """The config's data, loaded with other bars."""
        data: MarketData = build(self.config.data, source=source, target=build(self.config.get("target")))
        data.load()
        return data

    def table(self, bars: pd.DataFrame) -> pd.DataFrame:
        """Features of a ticker's bars and what stands behind them, computed by objects that have seen no others."""
        return rows(copy.deepcopy(self._features), bars, self.original.target)

    @cached_property
    def _features(self) -> Features:
        data = self.config.data
        return with_calendar(
            build(data.features),
            data.calendar,
            show=data.get("calendar_features"),
            interval=self.original.bars.interval,
            ahead=sessions_named(self.original.features.columns),
        )

    def column(self, name: str) -> str:
        """What a column of `table` is, for messages."""
        known = name in self.original.features.columns
        return f"feature {name}" if known else f"{name}, the target,"

    @cached_property
    def original(self) -> MarketData:
        """The data as a run sees it, split as its first fold."""
        data = self.data(self.source)
        data.split(self.evaluation.folds(data)[0].ranges)
        return data

    @cached_property
    def evaluation(self) -> Evaluation:
        """The `evaluation` of the config, built."""
        from forecast.evaluate.folds import Holdout

        return build(self.config.get("evaluation")) or Holdout()

    @cached_property
    def folds(self) -> list[Fold]:
        """The folds of the original bars."""
        return self.evaluation.folds(self.original)

    def fitted(self, data: MarketData, *, epochs: int = MOST_EPOCHS) -> Forecaster:
        """The config's model, fitted to divided data for a few epochs."""
        from forecast.evaluate.metrics import Metrics
        from forecast.model.building import build_forecaster, train

        config = copy.deepcopy(self.config)
        config.trainer.max_epochs = min(epochs, config.trainer.max_epochs)
        score = Metrics(self.evaluation.metrics, names=data.target.metrics)
        forecaster = build_forecaster(config, data.facts, score=score)
        train(forecaster, data, score=score)
        return forecaster

    @cached_property
    def forecaster(self) -> Forecaster:
        """The config's forecaster, fitted to the original data."""
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
