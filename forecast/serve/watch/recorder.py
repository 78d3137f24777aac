"""What one process notes: at once in its page, and a moment later on disk."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forecast.serve.watch import drift
from forecast.serve.watch.chores import Chores
from forecast.serve.watch.counting import Counting

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from forecast.serve.model_store import LoadedModel
    from forecast.serve.watch.outcomes import Outcomes
    from forecast.serve.watch.pages import Page
    from forecast.serve.watch.requestlog import RequestLog

log = logging.getLogger(__name__)

_PAUSE_S = 0.5
# Bars that wait to be looked at; what comes beyond is looked at when its ticker is asked for again.
_MOST_BARS = 256


@dataclass(frozen=True)
class Batch:
    """What a model answered together."""

    served: LoadedModel
    windows: NDArray[np.float32]  # (B, L, C) raw panel rows
    tickers: list[str | None]
    forecast: NDArray[np.float64]  # (B, h)
    bounds: NDArray[np.float64] | None  # (2, B, h)
    origins: list[int | None]  # days since 1970-01-01


class Recorder:
    """Of one process.

    Args:
        page: its own; None: nothing is counted.
        log: of requests; None = none.
        outcomes: None = not kept.
        drift_windows: newest windows that drift is told of.
        a_second: windows that are looked at.
    """

    def __init__(
        self,
        *,
        page: Page | None,
        log: RequestLog | None,
        outcomes: Outcomes | None,
        drift_windows: int,
        a_second: int,
    ) -> None:
        self.pid = os.getpid()
        self.counting = None if page is None else Counting(page)
        self.log = log
        self._page = page
        self._outcomes = outcomes
        self._drift_windows = drift_windows
        self._a_second = a_second
        self.version = ""  # of the model that is served
        self.follows = False  # whether it is told of each model
        self._lock = threading.Lock()
        self._second, self._room = 0.0, a_second
        self._batches: list[Batch] = []
        self._bars: dict[str, tuple[LoadedModel, pd.DataFrame]] = {}
        self._told: set[str] = set()
        self.chores = Chores(self._flush, pause_s=_PAUSE_S)

    def serves(self, version: str) -> None:
        """See Watch.swapped."""
        if version != self.version:
            self.version = version
            if self.counting is not None:
                self.counting.swapped(version)

    def forecasts(
        self,
        served: LoadedModel,
        windows: NDArray[np.float32],
        tickers: Sequence[str | None],
        forecast: NDArray[np.float64],
        bounds: NDArray[np.float64] | None,
        origins: NDArray[np.datetime64] | None,
    ) -> None:
        """See Watch.forecasts."""
        if self.counting is not None:
            self.counting.forecast(len(windows))
        room = self._taken(len(windows))
        if not room:
            return
        some = slice(room)
        self._batches.append(
            Batch(
                served=served,
                windows=windows[some].copy(),
                tickers=list(tickers[some]),
                forecast=forecast[some].copy(),
                bounds=None if bounds is None else bounds[:, some].copy(),
                origins=[None] * room
                if origins is None
                else origins[some].astype("datetime64[D]").astype(int).tolist(),
            )
        )
        self.chores.ask()

    def bars(self, served: LoadedModel, ticker: str, bars: pd.DataFrame) -> None:
        """See Watch.outcomes."""
        if self._outcomes is not None and len(self._bars) < _MOST_BARS:
            self._bars[ticker] = (served, bars)
            self.chores.ask()

    def _taken(self, wanted: int) -> int:
        """How many of so many windows are looked at this second."""
        with self._lock:
            now = time.monotonic()
            if now - self._second >= 1.0:
                self._second, self._room = now, self._a_second
            taken = min(wanted, self._room)
            self._room -= taken
            return taken

    def _flush(self) -> None:
        if self.log is not None:
            self.log.flush()
        batches, self._batches = self._batches, []
        for batch in _joined(batches):
            self._look_at(batch)
        while self._bars:
            ticker, (served, bars) = self._bars.popitem()
            self._keep(lambda outcomes: _came(outcomes, served, ticker, bars))  # noqa: B023 - called at once

    def _look_at(self, batch: Batch) -> None:
        served, predictor = batch.served, batch.served.predictor
        if self._page is not None and served.reference is not None:
            inputs = predictor.inputs(batch.windows)
            drift.add(self._page, served.version, served.reference, inputs, newest=self._drift_windows)
        closes = batch.windows[..., predictor.layout.target]  # (B, L)
        self._keep(
            lambda outcomes: outcomes.remember(
                served.version, batch.tickers, closes, batch.forecast, batch.bounds, batch.origins
            )
        )
        if self.log is not None and self.log.payloads:
            for number, ticker in enumerate(batch.tickers):
                window, told = batch.windows[number].tolist(), batch.forecast[number].tolist()
                self.log.forecast(served.version, ticker or None, window, told)
            self.log.flush()

    def _keep(self, what: Callable[[Outcomes], None]) -> None:
        if self._outcomes is None:
            return
        try:
            what(self._outcomes)
        except (sqlite3.Error, OSError) as error:
            self._outcomes.close()
            if str(error) not in self._told:
                self._told.add(str(error))
                log.warning("outcomes cannot be kept in %s: %s", self._outcomes.file, error)


def _joined(batches: list[Batch]) -> list[Batch]:
    """One batch a model, without windows that could not be forecast."""
    models: dict[str, list[Batch]] = {}
    for batch in batches:
        models.setdefault(batch.served.version, []).append(batch)
    found = []
    for of_model in models.values():
        windows = np.concatenate([batch.windows for batch in of_model])
        forecast = np.concatenate([batch.forecast for batch in of_model])
        bounds = [batch.bounds for batch in of_model if batch.bounds is not None]
        good = np.isfinite(windows).all(axis=(1, 2)) & np.isfinite(forecast).all(axis=1)
        good &= (windows[..., of_model[0].served.predictor.layout.target] > 0).all(axis=1)
        if not good.any():
            continue
        places = np.flatnonzero(good).tolist()
        tickers = [ticker for batch in of_model for ticker in batch.tickers]
        origins = [origin for batch in of_model for origin in batch.origins]
        found.append(
            Batch(
                served=of_model[0].served,
                windows=windows[good],
                tickers=[tickers[place] for place in places],
                forecast=forecast[good],
                bounds=np.concatenate(bounds, axis=1)[:, good] if bounds else None,
                origins=[origins[place] for place in places],
            )
        )
    return found


def _came(outcomes: Outcomes, served: LoadedModel, ticker: str, bars: pd.DataFrame) -> None:
    closes = bars["Close"].to_numpy(np.float64)
    good = np.isfinite(closes) & (closes > 0)
    days = bars.index.to_numpy().astype("datetime64[D]").astype(int)
    outcomes.came(ticker, days[good].tolist(), closes[good], lookback=served.predictor.lookback)
