"""The latest bars of a ticker, checked by the policies that the model was trained with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastapi import HTTPException

from forecast.data.bars import CachingSource, Source
from forecast.errors import UserError
from forecast.serve.live import refusals
from forecast.serve.live.tickers import is_ticker

if TYPE_CHECKING:
    import pandas as pd

    from forecast.data.health import HealthCheck
    from forecast.serve.served import Served


@dataclass(kw_only=True)
class Bars:
    """What a source delivered.

    Args:
        ticker: asked for, as the model knows it.
        calendar: exchange_calendars' name; None = Monday to Friday.
        tables: ticker -> checked bars; several where the model looks at several.
        warnings: what a reader must know, in sentences.
    """

    ticker: str
    calendar: str | None
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class LiveBars:
    """Asks the source of the served model; `of` is for one thread, `held` for any.

    Args:
        allow: modules or classes of plug-ins that a bundle may name, besides this package's own.
    """

    def __init__(self, *, allow: Sequence[str]) -> None:
        self.allow = tuple(allow)
        # Built once: a source remembers that its server is down, and keeps its distance between calls.
        self._built: tuple[str, Source, HealthCheck | None] | None = None

    def of(self, served: Served, ticker: str, *, stale: bool) -> Bars:
        """The latest bars that the model looks at to forecast a ticker.

        Args:
            served: whose source and policies are used.
            ticker: asked for.
            stale: take what the source's cache holds where its server is down.

        Raises:
            HTTPException: 400 it is no ticker, 404 the source does not know it, 409 the model does not forecast it,
                502 or 503 the source fails.
        """
        predictor = served.predictor
        if not is_ticker(ticker, predictor.tickers):
            raise refusals.no_ticker(ticker)
        source, health = self._parts(served)
        asked = _as_trained(source, ticker, predictor.tickers)
        found = Bars(ticker=asked, calendar=None if health is None else health.calendar)
        if predictor.scope != "panel" and asked != predictor.tickers[0]:
            self._raw(source, asked, asked=asked)  # is there such a ticker at all?
            beside = predictor.tickers[1:] if predictor.scope == "multiple" else []
            raise refusals.other_ticker(asked, target=predictor.tickers[0], beside=beside)
        if asked not in predictor.tickers:
            known = ", ".join(predictor.tickers[:5]) + (", ..." if len(predictor.tickers) > 5 else "")
            found.warnings.append(f"not trained on {asked}, but on {known}")
        for name in predictor.tickers if predictor.scope == "multiple" else [asked]:
            whole = self._raw(source, name, asked=asked)
            reason = source.stand_in(name) if isinstance(source, CachingSource) else None
            if reason is not None:
                held = self.held(name)
                if not stale:
                    raise refusals.stale(name, reason, held)
                found.warnings.append(f"{name}: {refusals.line(reason)}; {held}")
            found.tables[name] = self._checked(served, health, name, whole, asked=asked)
        return found

    def held(self, ticker: str) -> str | None:
        """What the source's cache has of a ticker, in words."""
        source = None if self._built is None else self._built[1]
        if not isinstance(source, CachingSource):
            return None
        try:
            return source.held(ticker)
        except UserError:
            return None

    def _parts(self, served: Served) -> tuple[Source, HealthCheck | None]:
        """Source and policies, built again only where the config says something else than before."""
        from forecast.config import build
        from forecast.serve.targets import check_built

        # New bars come without it; the whole history again with every question would only be slow.
        node = {
            name: False if name == "force_download" else value
            for name, value in served.config["source"].items()
        }
        policies = served.config["data"].get("health")
        key = json.dumps([node, policies], sort_keys=True, default=str)
        if self._built is None or self._built[0] != key:
            try:
                for part in (node, policies):
                    check_built(part, where=str(served.directory), also=self.allow)
                self._built = (key, build(node), build(policies))
            except UserError as error:
                raise HTTPException(502, refusals.line(error)) from error
        return self._built[1], self._built[2]

    def _raw(self, source: Source, ticker: str, *, asked: str) -> pd.DataFrame:
        try:
            return source.bars(ticker)
        except (UserError, OSError) as error:
            raise refusals.from_source(error, asked=asked, ticker=ticker, held=self.held(ticker)) from error

    def _checked(
        self, served: Served, health: HealthCheck | None, ticker: str, whole: pd.DataFrame, *, asked: str
    ) -> pd.DataFrame:
        from forecast.data.period import DateRange

        data = served.config["data"]
        # A model that was trained up to a day forecasts from the latest one all the same.
        span = DateRange(period=data.get("period"), start=data.get("start"), end=None)
        bars = span.cut(whole)
        if bars.empty:
            told = f"{ticker}: the source has no bars since data.start={span.start}"
            raise HTTPException(404 if ticker == asked else 502, told)
        if health is None:
            return bars
        try:
            return health.check(ticker, bars)[0]
        except UserError as error:
            raise HTTPException(502, refusals.line(error)) from error


def _as_trained(source: Source, ticker: str, known: Sequence[str]) -> str:
    """The name that the model knows a ticker by, else the one its source does."""
    if ticker in known or not isinstance(source, CachingSource):
        return ticker
    try:
        symbol = source.symbol(ticker)
        return {source.symbol(name): name for name in known}.get(symbol, symbol)
    except UserError as error:
        raise HTTPException(400, refusals.line(error)) from error
