"""Bars made up from a seed: geometric Brownian motion whose volatility comes in clusters."""

from __future__ import annotations

import functools
import hashlib
import re
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from forecast.data.bars import COLUMNS, Interval
from forecast.data.calendars import check_calendar
from forecast.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_NAME = re.compile(r"[A-Za-z0-9^][A-Za-z0-9.^=_-]{0,31}")

# Log volatility is a sum of moving averages of noise over these many bars: quick and slow clusters.
_CLUSTERS = (5, 21, 63)
# Of their sum; they share their noise, so a lag weighs as much as all the spans that reach it.
_CLUSTER_SUM_STD = sum(sum(s**-0.5 for s in _CLUSTERS if s > lag) ** 2 for lag in range(_CLUSTERS[-1])) ** 0.5
_CLUSTER_STD = 0.45  # of log volatility
_CLUSTER_LIMIT = (
    1.5  # log volatility stays within, so that no day is wilder than exp(1.5) times the usual one
)
_GAP = 0.35  # share of a day's volatility that falls between Close and the next Open
_WICK = 0.7  # High lies up to so many daily volatilities above Open and Close, Low below
_DRIFT = 0.05 / 252  # of the log price, a day
_A_DAY = 1440  # bars of a day at most


class SyntheticSource:
    """Any number of tickers without a network, for scale and for tests.

    A ticker's bars follow from its name and these arguments alone: asked for in any order, alone or among
    others, they are the same. A later `end` or more `num_bars` is another market, not more of the same.

    Args:
        num_tickers: how many tickers() lists: S00000, S00001, ...; bars() takes any other name too.
        num_bars: sessions up to the last one.
        end: YYYY-MM-DD; the last session is the last one not after it.
        calendar: exchange_calendars' name.
        seed: of the market.
        interval: what a bar spans; of intraday bars `num_bars` counts them up to the end of the last session.
        seasonality: strength of an intraday pattern of volatility, the same every day: its logarithm follows, on the
            market's clock, cos(2 pi (hour - 15) / 24) + 0.6 cos(4 pi (hour - 9) / 24), times this; 0 = none.

    Raises:
        UserError: `end` is no date.
    """

    def __init__(
        self,
        *,
        num_tickers: Annotated[int, Ge(1)] = 4,
        num_bars: Annotated[int, Ge(1)] = 2500,
        end: str = "2024-12-31",
        calendar: str = "XNYS",
        seed: Annotated[int, Ge(0)] = 0,
        interval: Interval = "1d",
        seasonality: Annotated[float, Ge(0)] = 0.0,
    ) -> None:
        from datetime import date

        try:
            self.end = date.fromisoformat(str(end)).isoformat()
        except ValueError:
            raise UserError(f"source.end={end}: is no date; write YYYY-MM-DD") from None
        self.num_tickers = num_tickers
        self.num_bars = num_bars
        self.calendar = calendar
        self.seed = seed
        self.interval: Interval = interval
        self.seasonality = seasonality

    def tickers(self) -> list[str]:
        """S00000 and so on, `num_tickers` of them."""
        return [f"S{number:05d}" for number in range(self.num_tickers)]

    def bars(self, ticker: str) -> pd.DataFrame:
        """`num_bars` bars of one ticker; Volume counts shares, prices have no currency.

        Raises:
            UserError: the name could be no ticker, or the calendar does not hold that many sessions.
        """
        import numpy as np
        import pandas as pd

        if not _NAME.fullmatch(ticker):
            raise UserError(
                f"source=synthetic: {ticker!r} could be no ticker; up to 32 letters, digits and . ^ = _ - are"
            )
        key = f"{self.seed}/{ticker}/{self.end}/{self.num_bars}/{self.calendar}"
        if self.interval != "1d":
            key += f"/{self.interval}"
        words = np.frombuffer(hashlib.sha256(key.encode()).digest(), dtype="<u4")
        dates, columns, scale = _axes(self.calendar, self.end, self.num_bars, self.interval, self.seasonality)
        values = _walk(np.random.default_rng(words), self.num_bars, scale)
        return pd.DataFrame(values, index=dates, columns=columns)


@functools.lru_cache(maxsize=8)
def _axes(
    calendar: str, end: str, count: int, interval: Interval, seasonality: float
) -> tuple[pd.Index, pd.Index, np.ndarray | float]:
    """Dates, columns and what volatilities of a day are multiplied by, which all tickers share."""
    import numpy as np
    import pandas as pd

    from forecast.data.grid import DAY, to_local
    from forecast.data.timing import Bars

    check_calendar(calendar, key="source.calendar")
    columns = pd.Index(COLUMNS)
    try:
        bars = Bars(interval=interval, calendar=calendar)
        # To the end of that day on the market's clock, at the latest noon of the next one in UTC.
        times = bars.last_times(np.datetime64(end, "ns") + np.timedelta64(36, "h"), count + 2 * _A_DAY)
        # A week or month may not be over.
        over = np.timedelta64({"1wk": 6, "1mo": 30}.get(interval, 0), "D")
        times = times[bars.sessions_of(times) + over <= np.datetime64(end, "ns")][-count:]
        if len(times) < count:
            raise UserError(f"calendar {calendar} knows too few {bars.label}s up to {end}")
    except UserError as error:
        raise UserError(f"source.num_bars={count}: {error}") from None
    scale = np.sqrt(Bars(calendar=calendar).per_year / bars.per_year)
    if not seasonality or not bars.intraday:
        return pd.DatetimeIndex(times, name="Date"), columns, float(scale)
    hour = (to_local(times, bars.zone).astype(np.int64) % DAY) / (DAY / 24)
    pattern = np.cos(2 * np.pi * (hour - 15) / 24) + 0.6 * np.cos(4 * np.pi * (hour - 9) / 24)
    return pd.DatetimeIndex(times, name="Date"), columns, scale * np.exp(seasonality * pattern)


def _walk(rng: np.random.Generator, count: int, scale: np.ndarray | float) -> np.ndarray:
    """Open, High, Low, Close, Volume of `count` bars, [count, 5] float64."""
    import numpy as np

    usual = rng.uniform(0.008, 0.03)  # daily volatility
    start = np.exp(rng.uniform(np.log(10), np.log(300)))
    shares = np.exp(rng.uniform(np.log(1e5), np.log(2e7)))  # usual volume
    volatility = scale * usual * np.exp(_clusters(rng, count))  # [N]
    gap, day = rng.standard_normal((2, count)) * volatility
    up, down, trade = rng.random((3, count))
    gap *= _GAP
    day *= np.sqrt(1 - _GAP**2)
    bars = np.empty((5, count))  # log prices until exp
    bars[3] = np.log(start) + np.cumsum(gap + day + _DRIFT * np.mean(scale) ** 2)
    bars[0] = bars[3] - day
    bars[1] = np.maximum(bars[0], bars[3]) + up * volatility * _WICK
    bars[2] = np.minimum(bars[0], bars[3]) - down * volatility * _WICK
    # More is traded on days that move much.
    bars[4] = np.log(shares) + trade - 0.5 + 0.25 * np.abs(day) / (usual * np.mean(scale))
    np.exp(bars, out=bars)
    np.ceil(bars[4], out=bars[4])
    return bars.T


def _clusters(rng: np.random.Generator, count: int) -> np.ndarray:
    """Log volatility around 0, [count]."""
    import numpy as np

    longest = _CLUSTERS[-1]
    sums = np.cumsum(rng.standard_normal(count + longest))
    total = np.zeros(count)
    for span in _CLUSTERS:
        total += (sums[longest:] - sums[longest - span : -span]) * span**-0.5
    total *= _CLUSTER_STD / _CLUSTER_SUM_STD
    return np.clip(total, -_CLUSTER_LIMIT, _CLUSTER_LIMIT)
