"""GET /forecast/{ticker} without HTTP: the latest bars from the source that the served model was trained on, checked by
the policies of its run, and the forecast of the bars that follow. Slow questions to a source are shared.
"""

from __future__ import annotations

import asyncio
import json
import queue
import re
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from fastapi import HTTPException

from forecast.config.messages import one_line
from forecast.data.bars import CachingSource, Source
from forecast.data.reader import BarReader, TickerBars
from forecast.data.timing import Bars
from forecast.errors import SourceError, UserError
from forecast.serve.allowlist import check_built
from forecast.serve.model_store import LoadedModel
from forecast.serve.monitoring import Monitoring
from forecast.serve.monitoring.outcomes import PRICE
from forecast.serve.schemas import ForecastDay, LiveForecast, PastDay, finite

if TYPE_CHECKING:
    import pandas as pd

    from forecast.data.health import HealthCheck

T = TypeVar("T")

# Ten years: what a chart of the past can show.
MAX_CLOSES = 2500
# Seconds after which asking again makes sense; sources keep off a server that is down for minutes.
_RETRY_S = 60
_TICKER = re.compile(r"[A-Za-z0-9^][A-Za-z0-9.\-=^&_]{0,31}")


class OverloadedError(Exception):
    """Too many wait already."""


class SingleFlight(Generic[T]):
    """Makes calls one after the other; a call that is asked for again while it is under way is made once.

    One thread, because the clients of market data servers are not made for several, and keep their distance between
    calls anyway. It does not hold up the end of the process, whatever it waits for.

    Args:
        max_keys: different questions that may wait or be under way.
        max_waiters: callers that may wait, all questions together.
    """

    def __init__(self, *, max_keys: int, max_waiters: int) -> None:
        self.max_keys, self.max_waiters = max_keys, max_waiters
        self._waiters = 0
        self._pending: dict[Hashable, Future[T]] = {}
        self._queue: queue.SimpleQueue[tuple[Hashable, Future[T], Callable[[], T]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def call(self, key: Hashable, question: Callable[[], T], *, timeout_s: float) -> T:
        """The result of a call, which may be shared with the same call made earlier and not ended yet.

        Args:
            timeout_s: after which the caller goes; the question stays, so that the next may find it answered.

        Raises:
            OverloadedError: too many others wait.
            TimeoutError: no answer in time.
            Exception: whatever the question raised.
        """
        if self._waiters >= self.max_waiters:
            raise OverloadedError
        answer = self._pending.get(key)
        if answer is None:
            if len(self._pending) >= self.max_keys:
                raise OverloadedError
            answer = self._pending[key] = Future()
            self._queue.put((key, answer, question))
            self._start()
        self._waiters += 1
        try:
            async with asyncio.timeout(timeout_s):
                # Whoever goes must not take the answer from the others.
                return await asyncio.shield(asyncio.wrap_future(answer))
        finally:
            self._waiters -= 1

    def _start(self) -> None:
        """Not before the first question: a thread does not survive the fork of the HTTP processes."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="live bars", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            key, answer, question = self._queue.get()
            try:
                found = question()
            except BaseException as error:  # noqa: BLE001  whoever asked gets it; the thread lives on
                del self._pending[key]
                answer.set_exception(error)
                del error
            else:
                del self._pending[key]
                answer.set_result(found)
                del found
            del answer, question


@dataclass(kw_only=True)
class Delivered:
    """What a source delivered."""

    ticker: str  # as the model knows it
    # ticker -> checked bars; several where the model looks at several
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    markets: dict[str, Bars] = field(default_factory=dict)  # ticker -> what its bars are
    warnings: list[str] = field(default_factory=list)  # what a reader must know, in sentences


class LiveBars:
    """Asks the source of the served model; `of` is for one thread, `held` for any."""

    def __init__(self, *, allow: Sequence[str]) -> None:
        self.allow = tuple(allow)
        # Built once: a source remembers that its server is down, and keeps its distance between calls.
        self._built: tuple[str, Source, HealthCheck | None] | None = None

    def of(self, model: LoadedModel, ticker: str, *, stale: bool) -> Delivered:
        """The latest bars that the model looks at to forecast a ticker.

        Raises:
            HTTPException: 400 it is no ticker, 404 the source does not know it, 409 the model does not forecast it,
                502 or 503 the source fails.
        """
        predictor = model.predictor
        if not is_ticker(ticker, predictor.tickers):
            shown = ticker if len(ticker) <= 40 else f"{ticker[:40]}..."
            raise HTTPException(
                400,
                f"{shown!r} is no ticker: up to 32 letters, digits and . - = ^ & _, as in AAPL, BRK-B, ^GSPC",
            )
        source, health = self._parts(model)
        name = _as_trained(source, ticker, predictor.tickers)
        found = Delivered(ticker=name)
        if predictor.scope != "panel" and name != predictor.tickers[0]:
            self._raw(source, name, requested=name)  # is there such a ticker at all?
            beside = predictor.tickers[1:] if predictor.scope == "multiple" else []
            sees = f" (it only looks at {', '.join(beside)} beside it)" if beside else ""
            raise HTTPException(
                409,
                f"{name}: the model forecasts {predictor.tickers[0]}{sees}; ask for that, or serve a panel model",
            )
        if name not in predictor.tickers:
            known = ", ".join(predictor.tickers[:5]) + (", ..." if len(predictor.tickers) > 5 else "")
            found.warnings.append(f"not trained on {name}, but on {known}")
        for needed in predictor.tickers if predictor.scope == "multiple" else [name]:
            whole = self._raw(source, needed, requested=name)
            reason = source.stand_in(needed) if isinstance(source, CachingSource) else None
            if reason is not None:
                held = self.held(needed)
                if not stale:
                    raise HTTPException(
                        503,
                        f"{needed}: {one_line(reason)}; the cache has {held or 'older bars'}: ?stale=true forecasts "
                        "from those",
                        headers={"Retry-After": str(_RETRY_S)},
                    )
                found.warnings.append(f"{needed}: {one_line(reason)}; {held}")
            checked = self._checked(model, source, health, needed, whole, requested=name)
            found.tables[needed] = self._beside(model, needed, checked.table, checked.bars, source)
            found.markets[needed] = checked.bars
            found.warnings += checked.warnings
        return found

    def _beside(
        self, model: LoadedModel, ticker: str, table: pd.DataFrame, bars: Bars, source: Source
    ) -> pd.DataFrame:
        """A ticker's bars with the covariates that the model looks at as further columns."""
        predictor = model.predictor
        if not predictor.covariates_of(ticker):
            return table
        from omegaconf import OmegaConf

        from forecast.model.building import build_covariates

        node = {"data": {"covariates": model.config["data"].get("covariates")}}
        try:
            check_built(node, where=model.version, also=self.allow)
            covariates = build_covariates(
                OmegaConf.create(node), lead=predictor.target.lead, horizon=predictor.horizon
            )
            predictor.check_covariates(covariates.columns)
            return covariates.attach(ticker, table, bars=bars, source=source)
        except SourceError as error:
            raise HTTPException(503 if error.may_pass else 502, one_line(error)) from error
        except UserError as error:
            raise HTTPException(502, one_line(error)) from error

    def held(self, ticker: str) -> str | None:
        """What the source's cache has of a ticker, in words."""
        source = None if self._built is None else self._built[1]
        if not isinstance(source, CachingSource):
            return None
        try:
            return source.held(ticker)
        except UserError:
            return None

    def _parts(self, model: LoadedModel) -> tuple[Source, HealthCheck | None]:
        """Source and policies, built again only where the config differs from before."""
        from forecast.config import build

        # New bars come without it; the whole history again with every question would only be slow.
        node = {
            name: False if name == "force_download" else value
            for name, value in model.config["source"].items()
        }
        policies = model.config["data"].get("health")
        key = json.dumps([node, policies], sort_keys=True, default=str)
        if self._built is None or self._built[0] != key:
            try:
                for part in (node, policies):
                    check_built(part, where=model.version, also=self.allow)
                self._built = (key, build(node), build(policies))
            except UserError as error:
                raise HTTPException(502, one_line(error)) from error
        return self._built[1], self._built[2]

    def _raw(self, source: Source, ticker: str, *, requested: str) -> pd.DataFrame:
        try:
            return source.bars(ticker)
        except (UserError, OSError) as error:
            text = (
                one_line(error)
                if isinstance(error, UserError)
                else f"{ticker}: {type(error).__name__}: {one_line(error.strerror or error)}"
            )
            held = self.held(ticker)
            kept = f"; the cache has {held}" if held else ""
            if isinstance(error, SourceError) and error.unknown and ticker == requested:
                raise HTTPException(404, text) from error
            if isinstance(error, SourceError) and error.may_pass:
                raise HTTPException(503, text + kept, headers={"Retry-After": str(_RETRY_S)}) from error
            raise HTTPException(502, text + kept) from error

    def _checked(
        self,
        model: LoadedModel,
        source: Source,
        health: HealthCheck | None,
        ticker: str,
        whole: pd.DataFrame,
        *,
        requested: str,
    ) -> TickerBars:
        # A model that was trained up to a day forecasts from the latest one all the same.
        reader = BarReader.of(model.config["data"], source=source, health=health, until_now=True)
        bars = reader.cut(ticker, whole)
        if bars.empty:
            raise HTTPException(
                404 if ticker == requested else 502,
                f"{ticker}: the source has no bars in {reader.range.text}",
            )
        try:
            return reader.prepare(ticker, bars, whole)
        except UserError as error:
            raise HTTPException(502, one_line(error)) from error


@dataclass(frozen=True, kw_only=True)
class Latest:
    """A forecast from the latest bars."""

    answer: LiveForecast  # without `history`
    closes: pd.Series[float]  # (bars,) by time, at most the newest `MAX_CLOSES`
    bars: Bars  # what a bar spans

    def history(self, count: int) -> list[PastDay]:
        """The newest closes, oldest first."""
        closes = self.closes.iloc[-count:]
        dates = map(self.bars.text, closes.index.to_numpy())
        return [PastDay(date=day, close=close) for day, close in zip(dates, closes.tolist(), strict=True)]


def latest(bars: LiveBars, monitoring: Monitoring, model: LoadedModel, ticker: str, *, stale: bool) -> Latest:
    """Fetch the latest bars, and forecast the next ones.

    Raises:
        HTTPException: see LiveBars; 409 the model cannot look at these bars.
    """
    import torch

    began = time.perf_counter()
    found = bars.of(model, ticker, stale=stale)
    predictor, warnings = model.predictor.with_markets(found.markets), list(found.warnings)
    own, market = found.tables[found.ticker], found.markets[found.ticker]
    monitoring.bars(model, found.ticker, own)
    torch.set_num_threads(model.threads)
    try:
        windows = predictor.windows(found.tables)
        for reason in windows.refused.values():
            raise HTTPException(409, one_line(reason))
        ahead = predictor.next_times([found.ticker], windows.origins)[0]
        table = predictor.table(windows)
    except UserError as error:
        raise HTTPException(409, one_line(error)) from error
    forecast = table["forecast"].to_numpy()
    if not np.isfinite(forecast).all():
        raise HTTPException(409, f"{found.ticker}: no finite forecast comes of its bars")
    bounds = table[["lower", "upper"]].to_numpy().T if predictor.levels else None  # (2, h)
    sides = None if bounds is None else bounds[:, None]  # (2, 1, h)
    monitoring.forecasts(model, windows.windows, [found.ticker], forecast[None], sides, windows.origins)
    last, now, target = windows.origins[0], datetime.now(UTC), predictor.target
    today = np.datetime64(now.replace(tzinfo=None), "ns" if market.intraday else "D")
    if market.calendar is None:
        warnings.append("the days are the bars' own weekdays, whether the exchange is open or not")
    warnings += market.unlikely(ahead)
    if ahead[0] < today:
        warnings.append(
            f"the last bar is of {market.text(last)}: the first {market.label} that is forecast is over"
        )
    if bounds is not None:
        warnings += model.interval_warnings
    closes = own["Close"].loc[:last]
    lower, upper = [[None] * len(ahead)] * 2 if bounds is None else bounds.tolist()
    more: dict[str, Any] = {}
    if target.name != PRICE:
        more["naive"] = float(predictor.naive(windows.windows)[0])
    answer = LiveForecast(
        ticker=found.ticker,
        last_date=market.text(last),
        last_close=float(closes.loc[last]),
        forecast=[
            ForecastDay(date=market.text(day), prediction=value, lower=finite(low), upper=finite(high))
            for day, value, low, high in zip(ahead, forecast.tolist(), lower, upper, strict=True)
        ],
        target=target.name,
        unit=target.unit,
        level=predictor.levels[0] if predictor.levels else None,
        warnings=warnings,
        model_version=model.version,
        timestamp=now,
        latency_ms=round(1e3 * (time.perf_counter() - began), 3),
        **more,
    )
    return Latest(answer=answer, closes=closes[np.isfinite(closes)].iloc[-MAX_CLOSES:], bars=market)


def is_ticker(text: str, known: Sequence[str]) -> bool:
    """Whether a source may be asked for it.

    Args:
        text: of the path, percent signs decoded.
        known: names that a source was asked for already, and so may be again, whatever their letters.
    """
    return text in known or bool(_TICKER.fullmatch(text) and any(letter.isalnum() for letter in text))


def _as_trained(source: Source, ticker: str, known: Sequence[str]) -> str:
    """The name that the model knows a ticker by, else the one its source does."""
    if ticker in known or not isinstance(source, CachingSource):
        return ticker
    try:
        symbol = source.symbol(ticker)
        return {source.symbol(name): name for name in known}.get(symbol, symbol)
    except UserError as error:
        raise HTTPException(400, one_line(error)) from error
