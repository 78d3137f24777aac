"""Counts requests, and holds forecasts against training and what came of them: in memory, then on disk."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing import util
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge, Le

from forecast.serve.monitoring.counters import MetricsSnapshot, ProcessCounters, read_figures
from forecast.serve.monitoring.drift import Drift, DriftCounts, read_drift
from forecast.serve.monitoring.outcomes import PRICE, Outcomes, OutcomeSummary
from forecast.serve.monitoring.request_log import RequestLog

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from forecast.data.target import Target
    from forecast.serve.model_store import LoadedModel

    # windows (B, L, C) raw panel rows, tickers (B,), forecast (B, h), bounds (B, 2, h), origins (B,) days since 1970
    _Columns = tuple[NDArray[Any], ...]

log = logging.getLogger(__name__)

_NOT_KEPT = "outcomes cannot be kept in %s: %s"
_PAUSE_S = 0.5  # from the first event to the write that takes it to the disk
_MAX_BARS = 256  # tables that wait; what comes beyond is looked at when its ticker is asked for again


class Monitoring:
    """Monitoring of a server, see conf/serve.yaml. Made and opened before the processes that share it."""

    def __init__(
        self,
        *,
        log: RequestLog | None = None,
        outcomes: Outcomes | None = None,
        drift_windows: Annotated[int, Ge(100)] = 1000,
        a_second: Annotated[int, Ge(1), Le(100_000)] = 500,
    ) -> None:
        self.log = log
        self.outcomes_kept = outcomes
        self.drift_windows = drift_windows
        self.a_second = a_second
        self._folder: Path | None = None
        self._recorder: _Recorder | None = None
        self._making = threading.Lock()

    def open(self, folder: Path) -> None:
        """Make the files that all processes share, in the server's own folder; called once, before they are forked.

        Raises:
            OSError: the disk does not take the counters.
        """
        shared = Path(tempfile.mkdtemp(prefix="forecast-"))
        # At the end of this process alone.
        util.Finalize(None, shutil.rmtree, args=(shared, True), exitpriority=0)
        self._folder = shared
        self.log = self.log and self.log.in_folder(folder)
        if self.outcomes_kept is not None:
            self.outcomes_kept = self.outcomes_kept.in_folder(folder)
            try:
                self.outcomes_kept.prepare()
            except (sqlite3.Error, OSError) as error:
                log.warning(_NOT_KEPT, self.outcomes_kept.file, error)

    @property
    def folder(self) -> Path:
        """Of the files in which all processes count."""
        assert self._folder is not None, "open() comes first"
        return self._folder

    def began(self, waiting: int = 0) -> None:
        """A request came in; so many windows wait in this process, or are being computed."""
        self._here().counts.began(waiting)

    def request(self, route: str, method: str, status: int, seconds: float, *, waiting: int = 0) -> None:
        """A request was answered, refused or given up; called before the answer leaves.

        Args:
            route: the template that it matched, such as /forecast/{ticker}: there must be few.
            status: of the answer; 499 without one.
            seconds: from its first byte to the answer's last.
            waiting: windows that still wait.
        """
        self._here().counts.ended(method, status, route, seconds, waiting)

    def log_request(
        self, route: str, method: str, status: int, seconds: float, request_id: str | None = None
    ) -> None:
        """Add the request to the log; called after the answer was sent.

        Args:
            request_id: sent by the client, or given by the server.
        """
        here = self._here()
        if here.log is not None:
            here.log.request(method, route, status, seconds, request_id, here.version or None)
            here.ask()

    def forecasts(
        self,
        model: LoadedModel,
        windows: NDArray[np.float32],
        tickers: Sequence[str | None],
        forecast: NDArray[np.float64],
        bounds: NDArray[np.float64] | None,
        origins: NDArray[np.datetime64] | None = None,
    ) -> None:
        """Record windows that were forecast together, but for those whose forecast is not finite.

        Args:
            windows: (B, lookback, columns) raw panel rows.
            tickers: (B,) whose they are; None or "" where nobody said.
            forecast: (B, horizon) prices.
            bounds: (2, B, horizon) lower and upper of the first level; None without intervals.
            origins: (B,) days of the last bars, where they are known.
        """
        here = self._here()
        if not here.follows:
            here.loaded(model.version)
        here.counts.forecast(len(windows))
        here.note(model, windows, tickers, forecast, bounds, origins)

    def bars(self, model: LoadedModel, ticker: str, bars: pd.DataFrame) -> None:
        """Fresh bars (Date index, ascending; Close) are at hand: they say what came of earlier forecasts."""
        here = self._here()
        if here.outcomes is not None and len(here.tables) < _MAX_BARS:
            here.tables[ticker] = (model, bars)
            here.ask()

    def model_loaded(self, model: LoadedModel) -> None:
        """A model answers from now on, in this process; one without such news goes by its forecasts."""
        here = self._here()
        here.follows = True  # a batch of the model before may still be on its way
        here.loaded(model.version)

    def training_ended(self, kind: str, state: str) -> None:
        """A training that this process started came to an end."""
        self._here().counts.training_ended(kind, state)

    def figures(self) -> MetricsSnapshot:
        """What all processes have counted."""
        return read_figures(self.folder)

    def drift(self, model: LoadedModel) -> Drift | None:
        """How requests differ from the training windows; None for a run that kept no reference."""
        if model.reference is None:
            return None
        return read_drift(self.folder, model.version, model.reference)

    def outcomes(self, model: LoadedModel) -> OutcomeSummary | None:
        """How well what was served did; None where that is not kept, or cannot be read."""
        if self.outcomes_kept is None:
            return None
        return self.outcomes_kept.summary(model.version, measure_of(model.predictor.target))

    def close(self) -> None:
        """Write what is left; this process counts no more."""
        if self._recorder is not None and self._recorder.pid == os.getpid():
            self._recorder.finish()
            self._recorder.counts.close()

    def _here(self) -> _Recorder:
        """This process's recorder: a forked process needs another one than its parent."""
        if self._recorder is None or self._recorder.pid != os.getpid():
            with self._making:
                if self._recorder is None or self._recorder.pid != os.getpid():
                    self._recorder = _Recorder(self)
        return self._recorder

    def __getstate__(self) -> dict[str, Any]:
        # For a process that is spawned: where the files lie goes along, what belongs to this process does not.
        return {**vars(self), "_recorder": None, "_making": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _making=threading.Lock())


class _Recorder:
    """What one process notes; it goes to the disk in a thread a moment later, for nobody's answer waits for a disk."""

    def __init__(self, monitoring: Monitoring) -> None:
        self.pid = os.getpid()
        self.counts = ProcessCounters(monitoring.folder)
        self.log = monitoring.log and monitoring.log.in_folder(Path())
        self.outcomes = monitoring.outcomes_kept and monitoring.outcomes_kept.in_folder(Path())
        self.version = ""  # of the model that is served
        self.follows = False  # whether it hears of each model
        self.tables: dict[str, tuple[LoadedModel, pd.DataFrame]] = {}
        self._drift = DriftCounts(monitoring.folder, newest=monitoring.drift_windows)
        self._a_second = self._left = monitoring.a_second
        self._second = 0.0
        self._lock = threading.Lock()
        self._batches: list[tuple[LoadedModel, tuple[Any, ...]]] = []
        self._warned: set[str] = set()
        self._due = False
        self._asked, self._ending = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        # Forked processes end without what `atexit` knows of.
        self._last = util.Finalize(None, self._end, exitpriority=10)

    def loaded(self, version: str) -> None:
        """See Monitoring.model_loaded."""
        if version != self.version:
            self.version = version
            self.counts.model_loaded(version)

    def note(
        self,
        model: LoadedModel,
        windows: NDArray[np.float32],
        tickers: Sequence[str | None],
        forecast: NDArray[np.float64],
        bounds: NDArray[np.float64] | None,
        origins: NDArray[np.datetime64] | None,
    ) -> None:
        """Keep some windows for the drift figures: at most so many a second."""
        with self._lock:
            now = time.monotonic()
            if now - self._second >= 1.0:
                self._second, self._left = now, self._a_second
            taken = min(len(windows), self._left)
            self._left -= taken
        if not taken:
            return
        # They are put together when they are written: here somebody waits for an answer.
        own = None if bounds is None else bounds.copy()
        batch = windows[:taken].copy(), list(tickers), forecast[:taken].copy(), own, origins
        self._batches.append((model, batch))
        self.ask()

    def ask(self) -> None:
        """Ask for what was noted to be written soon; cheap where it has been asked for already."""
        if self._due:
            return
        self._due = True
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="monitoring", daemon=True)
            self._thread.start()
        self._asked.set()

    def finish(self) -> None:
        """Write now what is left, and nothing after it."""
        self._ending.set()
        self._asked.set()
        if self._thread is not None:
            self._thread.join()
        self._last()

    def _work(self) -> None:
        while not self._ending.is_set():
            self._asked.wait()
            self._ending.wait(_PAUSE_S)
            self._asked.clear()
            self._due = False  # what is noted from here on is asked for anew
            self._flush()

    def _end(self) -> None:
        self._ending.set()
        self._asked.set()
        self._flush()

    def _flush(self) -> None:
        if self.log is not None:
            self.log.flush()
        batches, self._batches = self._batches, []
        of_model: dict[str, tuple[LoadedModel, list[_Columns]]] = {}
        for model, columns in batches:
            own = of_model.setdefault(model.version, (model, []))[1]
            own.append(_in_columns(*columns, intraday=model.market.intraday))
        for model, parts in of_model.values():
            self._look_at(model, *(np.concatenate(column) for column in zip(*parts, strict=True)))
        while self.tables:
            ticker, (model, bars) = self.tables.popitem()
            closes = bars["Close"].to_numpy(np.float64)
            closes = np.where(closes > 0, closes, np.nan)
            days = _days(bars.index.to_numpy(), intraday=model.market.intraday)
            lookback, target = model.predictor.lookback, model.predictor.target
            measure, values = measure_of(target), None
            if measure != PRICE:
                values = target.in_unit(target.values(bars).to_numpy(np.float64))
            more: dict[str, Any] = {"lookback": lookback, "measure": measure, "values": values}
            self._keep(methodcaller("resolve", ticker, days, closes, **more))

    def _look_at(
        self,
        model: LoadedModel,
        windows: NDArray[Any],
        tickers: NDArray[Any],
        forecast: NDArray[Any],
        bounds: NDArray[Any],
        origins: NDArray[Any],
    ) -> None:
        """Everything a model forecast since the last time, without windows that could not be forecast."""
        predictor = model.predictor
        target, layout = predictor.target, predictor.layout
        closes = windows[..., layout.close]  # (B, L)
        good = np.isfinite(windows).all(axis=(1, 2)) & np.isfinite(forecast).all(axis=1)
        good &= (closes > 0).all(axis=1)
        if not good.any():
            return
        windows, closes, forecast = windows[good], closes[good], forecast[good]
        names = tickers[good].tolist()
        if model.reference is not None:
            self._drift.add(model.version, model.reference, predictor.inputs(windows))
        sides, days = bounds[good].swapaxes(0, 1), origins[good].tolist()
        more: dict[str, Any] = {"measure": measure_of(target), "lead": target.lead}
        if more["measure"] != PRICE:
            values = windows[..., layout.target].astype(np.float64)
            more |= {"values": target.in_unit(values), "naive": target.naive(values)}
        self._keep(lambda kept: kept.remember(model.version, names, closes, forecast, sides, days, **more))
        if self.log is not None and self.log.payloads:
            for name, window, own in zip(names, windows.tolist(), forecast.tolist(), strict=True):
                self.log.forecast(model.version, name or None, window, own)
            self.log.flush()

    def _keep(self, write: Callable[[Outcomes], None]) -> None:
        if self.outcomes is None:
            return
        try:
            write(self.outcomes)
        except (sqlite3.Error, OSError) as error:
            self.outcomes.close()
            if str(error) not in self._warned:
                self._warned.add(str(error))
                log.warning(_NOT_KEPT, self.outcomes.file, error)


def _in_columns(
    windows: NDArray[np.float32],
    tickers: Sequence[str | None],
    forecast: NDArray[np.float64],
    bounds: NDArray[np.float64] | None,
    origins: NDArray[np.datetime64] | None,
    *,
    intraday: bool,
) -> _Columns:
    """One batch that was noted, a row a window."""
    count = len(windows)
    sides = np.full((2, *forecast.shape), np.nan) if bounds is None else bounds[:, :count]
    days = [None] * count if origins is None else _days(origins[:count], intraday=intraday)
    names = np.array(list(tickers[:count]), object)
    return windows, names, forecast, sides.swapaxes(0, 1), np.array(days, object)


def measure_of(target: Target) -> str:
    """A name of the quantity that a target forecasts: outcomes of another span or estimator are others."""
    if target.name == PRICE:
        return PRICE
    return "/".join(map(str, (target.name, target.lead + 1, getattr(target, "estimator", ""))))


def _days(moments: NDArray[np.datetime64], *, intraday: bool) -> list[Any]:
    """Days since 1970-01-01; of intraday bars, minutes."""
    days: list[Any] = moments.astype(f"datetime64[{'m' if intraday else 'D'}]").astype(int).tolist()
    return days
