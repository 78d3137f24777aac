"""Sources that deliver another source's bars with the future cut off, spoilt or shuffled."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from forecast.data.bars import Source
    from forecast.data.period import DateRange


class Recorded:
    """The bars a run would see, fetched once and kept.

    Args:
        source: the run's.
        range: the part of the history the run uses.
    """

    def __init__(self, source: Source, range: DateRange) -> None:
        self.source = source
        self.range = range
        self.bars = cache(self._bars)

    def tickers(self) -> list[str]:
        """As the source says."""
        return self.source.tickers()

    def _bars(self, ticker: str) -> pd.DataFrame:
        return self.range.cut(self.source.bars(ticker))


class Until:
    """Bars up to a day, as if the rest had not happened yet."""

    def __init__(self, source: Source, last_day: pd.Timestamp) -> None:
        self.source = source
        self.last_day = last_day

    def tickers(self) -> list[str]:
        """As the source says."""
        return self.source.tickers()

    def bars(self, ticker: str) -> pd.DataFrame:
        """Bars of `last_day` and before."""
        bars = self.source.bars(ticker)
        return bars[bars.index <= self.last_day]


class SpoiltAfter:
    """Bars after a day take another course: plausible prices and volumes, but not those that came."""

    def __init__(self, source: Source, last_day: pd.Timestamp, *, seed: int) -> None:
        self.source = source
        self.last_day = last_day
        self.seed = seed

    def tickers(self) -> list[str]:
        """As the source says."""
        return self.source.tickers()

    def bars(self, ticker: str) -> pd.DataFrame:
        """Prices after `last_day` times a random path of 5 % steps, volumes times a factor from 1/4 to 4."""
        import numpy as np

        bars = self.source.bars(ticker).copy()
        later = np.flatnonzero(bars.index > self.last_day)
        rng = _generator(self.seed, ticker)
        # Bounded, so that no price leaves what a health check allows.
        path = np.exp(np.clip(np.cumsum(rng.normal(0, 0.05, len(later))), -0.7, 0.7))
        for place, column in enumerate(bars.columns):
            factor = 4 ** rng.uniform(-1, 1, len(later)) if column == "Volume" else path
            bars.iloc[later, place] = bars.iloc[later, place].to_numpy() * factor
        return bars


class Shuffled:
    """The same bars in random order, each relative to the Close before it: nothing is left to be forecast."""

    def __init__(self, source: Source, *, seed: int) -> None:
        self.source = source
        self.seed = seed

    def tickers(self) -> list[str]:
        """As the source says."""
        return self.source.tickers()

    def bars(self, ticker: str) -> pd.DataFrame:
        """Dates stay; prices are chained anew from permuted relative bars."""
        import numpy as np
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
        return pd.DataFrame(values, index=bars.index, columns=bars.columns)


def _generator(seed: int, ticker: str) -> np.random.Generator:
    import zlib

    import numpy as np

    return np.random.default_rng((seed, zlib.crc32(ticker.encode())))
