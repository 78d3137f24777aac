"""GET /forecast/{ticker}: the latest bars from the source the model was trained on, and what follows them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import anyio
from fastapi import APIRouter, HTTPException, Query

from forecast.serve.engines import no_model
from forecast.serve.live import MAX_CLOSES, Latest, LiveBars, OverloadedError, SingleFlight, latest
from forecast.serve.model_store import LoadedModel, ModelStore
from forecast.serve.monitoring import Monitoring
from forecast.serve.schemas import LiveForecast, problems

# Of a request's deadline, so that there is time left to say more than that it has passed.
_SHARE = 0.9
# Different tickers asked for at once; one after the other, with a source's own distance between calls.
_MAX_TICKERS = 32
# A source that hangs must not take all the places there are for requests.
_MAX_WAITERS = 128


def loaded_model(store: ModelStore) -> LoadedModel:
    """The model that is served; to be asked for once a request, for it may be replaced at any time.

    Raises:
        HTTPException: 404 there is none.
    """
    if store.current is None:
        raise HTTPException(404, no_model(store))
    return store.current


def router(
    *, store: ModelStore, monitoring: Monitoring, allow: Sequence[str], deadline_s: float
) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["forecast"])
    bars = LiveBars(allow=allow)
    flight: SingleFlight[Latest] = SingleFlight(max_keys=_MAX_TICKERS, max_waiters=_MAX_WAITERS)
    timeout_s = _SHARE * deadline_s

    async def ask(model: LoadedModel, ticker: str, stale: bool) -> Latest:
        question = partial(latest, bars, monitoring, model, ticker, stale=stale)
        try:
            return await flight.call((model.version, ticker, stale), question, timeout_s=timeout_s)
        except TimeoutError:
            held = await anyio.to_thread.run_sync(bars.held, ticker)
            kept = f"; the cache has {held}" if held else ""
            text = f"{ticker}: the source has not answered within {timeout_s:g} s{kept}; ask again"
        except OverloadedError:
            text = "too many wait for the source already; ask again"
        raise HTTPException(503, text, headers={"Retry-After": "5"})

    @routes.get(
        "/forecast/{ticker:path}",
        responses=problems(400, 404, 409, 422, 502),
        response_model_exclude_unset=True,
    )
    async def forecast(
        ticker: str,
        horizon: Annotated[
            int | None, Query(ge=1, description="Bars ahead, not above the model's, which is the default")
        ] = None,
        stale: Annotated[bool, Query(description="Take the source's cache where its server is down")] = False,
        history: Annotated[int, Query(ge=0, le=MAX_CLOSES, description="Closes of so many bars before")] = 0,
    ) -> LiveForecast:
        """Fetch the latest bars of a ticker and forecast those that follow."""
        began = time.perf_counter()
        model = loaded_model(store)
        most = model.predictor.horizon
        if horizon is not None and horizon > most:
            raise HTTPException(
                400, f"horizon={horizon}: more than the model forecasts; expected at most {most}"
            )
        found = await ask(model, ticker, stale)
        own = {
            "forecast": found.answer.forecast[:horizon],
            "timestamp": datetime.now(UTC),
            "latency_ms": round(1e3 * (time.perf_counter() - began), 3),
        }
        return found.answer.model_copy(update=own | ({"history": found.history(history)} if history else {}))

    return routes
