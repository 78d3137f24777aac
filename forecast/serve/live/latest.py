"""The sessions that follow a ticker's latest bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Protocol

import numpy as np
from fastapi import HTTPException

from forecast.errors import UserError
from forecast.serve.live import refusals
from forecast.serve.live.bars import LiveBars

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from forecast.serve.served import Served

# Ten years: what a chart of the past can show.
MOST_CLOSES = 2500


@dataclass(frozen=True, kw_only=True)
class Latest:
    """A forecast from the latest bars.

    Args:
        ticker: as the model knows it.
        last_date: day of the last bar.
        last_close: in the bars' own units.
        closes: (bars,) by day, at most the newest `MOST_CLOSES`.
        dates: (horizon,) sessions that follow.
        forecast: (horizon,) prices.
        bounds: (2, horizon) lower and upper of the first level; None without intervals.
        warnings: what a reader must know, in sentences.
    """

    ticker: str
    last_date: date
    last_close: float
    closes: pd.Series[float]
    dates: list[date]
    forecast: NDArray[np.float64]
    bounds: NDArray[np.float64] | None
    warnings: list[str]


class Seeing(Protocol):
    """Who is told of what was forecast, and of bars that show what came."""

    def forecasts(
        self,
        served: Served,
        windows: NDArray[np.float32],
        tickers: Sequence[str],
        forecast: NDArray[np.float64],
        bounds: NDArray[np.float64] | None,
        origins: NDArray[np.datetime64] | None,
    ) -> None:
        """Windows (B, lookback, columns), their forecasts (B, horizon), and the days of their last bars (B,)."""
        ...

    def outcomes(self, served: Served, ticker: str, bars: pd.DataFrame) -> None:
        """Checked bars of a ticker."""
        ...


def latest(bars: LiveBars, watch: Seeing, served: Served, ticker: str, *, stale: bool) -> Latest:
    """Ask the source, and forecast what follows.

    Args:
        bars: who asks it.
        watch: told of the bars and of the forecast.
        served: the model.
        ticker: asked for.
        stale: take what the source's cache holds where its server is down.

    Raises:
        HTTPException: see LiveBars; 409 the model cannot look at these bars.
    """
    from forecast.predict.sessions import days_ahead

    found = bars.of(served, ticker, stale=stale)
    predictor, warnings = served.predictor, list(found.warnings)
    own = found.tables[found.ticker]
    watch.outcomes(served, found.ticker, own)
    try:
        windows = predictor.windows(found.tables)
        for reason in windows.refused.values():
            raise refusals.no_window(reason)
        ahead = days_ahead(windows.origins, predictor.horizon, calendar=found.calendar)[0]
    except UserError as error:
        raise refusals.no_window(error) from error
    _pin_threads(served)
    table = predictor.table(windows)
    forecast = table["forecast"].to_numpy()
    if not np.isfinite(forecast).all():
        raise HTTPException(409, f"{found.ticker}: no finite forecast comes of its bars")
    bounds = table[["lower", "upper"]].to_numpy().T if predictor.levels else None  # (2, h)
    sides = None if bounds is None else bounds[:, None]  # (2, 1, h)
    watch.forecasts(served, windows.windows, [found.ticker], forecast[None], sides, windows.origins)
    last, dates = windows.origins[0], [_day(day) for day in ahead]
    if found.calendar is None:
        warnings.append("the days are weekdays, whether the exchange is open or not")
    if dates[0] < datetime.now(UTC).date():
        warnings.append(f"the last bar is of {_day(last)}: the first day that is forecast is over")
    closes = own["Close"].loc[:last]
    return Latest(
        ticker=found.ticker,
        last_date=_day(last),
        last_close=float(closes.loc[last]),
        closes=closes[np.isfinite(closes)].iloc[-MOST_CLOSES:],
        dates=dates,
        forecast=forecast,
        bounds=bounds,
        warnings=warnings,
    )


def _pin_threads(served: Served) -> None:
    """As many as in training, in the thread that computes: sums in another order differ in the last bits."""
    import torch

    torch.set_num_threads(int(served.config.get("trainer", {}).get("threads", 1)))


def _day(moment: np.datetime64) -> date:
    return date.fromisoformat(str(moment)[:10])
