"""GET /forecast/{ticker}: the latest bars from the source the model was trained on, and the sessions that follow."""

import math
import time
from datetime import UTC, date, datetime
from functools import partial
from typing import Annotated

import anyio
import numpy as np
from fastapi import APIRouter, HTTPException, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from forecast.serve.context import Context
from forecast.serve.current import served_now
from forecast.serve.live import refusals
from forecast.serve.live.bars import LiveBars
from forecast.serve.live.latest import MOST_CLOSES, Latest, latest
from forecast.serve.live.sharing import CrowdedError, Shared
from forecast.serve.problems import problems
from forecast.serve.served import Served

# Of a request's deadline, so that there is time left to say more than that it has passed.
PATIENCE = 0.9
# Different tickers asked for at once; one after the other, with a source's own distance between calls.
MOST_TICKERS = 32
# A source that hangs must not take all the room there is for requests.
MOST_ASKERS = 128


class Day(BaseModel):
    """A session that follows the last bar."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    date: date
    prediction: float = Field(description="Close, in the units of the bars")
    lower: float | None = Field(description="null where the model has no interval")
    upper: float | None


class Past(BaseModel):
    """A session that has been."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    date: date
    close: float


class LiveForecast(BaseModel):
    """The sessions that follow the latest bar."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    ticker: str
    last_date: date
    last_close: float = Field(description='What "tomorrow = today" says of every day')
    forecast: list[Day]
    level: float | None = Field(description="Share of outcomes that lower to upper is to hold")
    warnings: list[str]
    model_version: str
    timestamp: AwareDatetime = Field(description="When this was answered, UTC")
    latency_ms: float = Field(ge=0)
    history: list[Past] = Field(
        default=[], description="The sessions before, oldest first, where they are asked for"
    )


def router(context: Context) -> APIRouter:
    """The route of the future.

    Args:
        context: of the server; its models say which source is asked, its watch is told what came of it.
    """
    routes = APIRouter(tags=["forecast"])
    bars = LiveBars(allow=context.models.allow)
    shared: Shared[Latest] = Shared(most=MOST_TICKERS, askers=MOST_ASKERS)
    patience_s = PATIENCE * context.server.deadline_s

    async def asked(served: Served, ticker: str, stale: bool) -> Latest:
        question = partial(latest, bars, context.watch, served, ticker, stale=stale)
        try:
            return await shared.ask((served.version, ticker, stale), question, patience_s=patience_s)
        except TimeoutError:
            held = await anyio.to_thread.run_sync(bars.held, ticker)
            raise refusals.too_slow(ticker, patience_s, held) from None
        except CrowdedError:
            raise refusals.crowded() from None

    @routes.get(
        "/forecast/{ticker:path}",
        responses=problems(400, 404, 409, 422, 502),
        response_model_exclude_unset=True,
    )
    async def forecast(
        ticker: str,
        horizon: Annotated[
            int | None, Query(ge=1, description="Days ahead, not above the model's, which is the default")
        ] = None,
        stale: Annotated[bool, Query(description="Take the source's cache where its server is down")] = False,
        history: Annotated[
            int, Query(ge=0, le=MOST_CLOSES, description="Closes of so many sessions before")
        ] = 0,
    ) -> LiveForecast:
        """Fetch the latest bars of a ticker and forecast the sessions that follow."""
        began = time.perf_counter()
        served = served_now(context)
        most = served.predictor.horizon
        if horizon is not None and horizon > most:
            raise HTTPException(
                400, f"horizon={horizon}: more than the model forecasts; expected at most {most}"
            )
        found = await asked(served, ticker, stale)
        levels = served.predictor.levels
        return LiveForecast(
            ticker=found.ticker,
            last_date=found.last_date,
            last_close=found.last_close,
            forecast=_days(found)[:horizon],
            level=levels[0] if levels else None,
            warnings=found.warnings,
            model_version=served.version,
            timestamp=datetime.now(UTC),
            latency_ms=round(1e3 * (time.perf_counter() - began), 3),
            **({"history": _past(found, history)} if history else {}),
        )

    return routes


def _days(found: Latest) -> list[Day]:
    count = len(found.dates)
    lower, upper = ([None] * count, [None] * count) if found.bounds is None else found.bounds.tolist()
    return [
        Day(date=day, prediction=price, lower=_finite(low), upper=_finite(high))
        for day, price, low, high in zip(found.dates, found.forecast.tolist(), lower, upper, strict=True)
    ]


def _past(found: Latest, days: int) -> list[Past]:
    closes = found.closes.iloc[-days:]
    dates = [date.fromisoformat(day) for day in np.datetime_as_string(closes.index.to_numpy(), unit="D")]
    return [Past(date=day, close=close) for day, close in zip(dates, closes.tolist(), strict=True)]


def _finite(bound: float | None) -> float | None:
    """A width that the run could not learn is no number."""
    return None if bound is None or not math.isfinite(bound) else bound
