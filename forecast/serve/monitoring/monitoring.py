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
from dataclasses import dataclass
from multiprocessing import util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge, Le

from forecast.serve.monitoring.counters import Counters, Figures, ProcessCounters, close_counters
from forecast.serve.monitoring.drift import Drift, DriftCounts, read_drift
from forecast.serve.monitoring.outcomes import Outcomes, OutcomeSummary
from forecast.serve.monitoring.request_log import RequestLog

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from forecast.serve.model_store import LoadedModel


log = logging.getLogger(__name__)

_PAUSE_S = 0.5  # from the first event to the write that takes it to the disk
_MAX_BARS = 256  # tables that wait; what comes beyond is looked at when its ticker is asked for again


class Monitoring:
    """What a server knows of itself. Made and opened before the processes that share it.

    Args:
        log: one line a request; None = none.
        outcomes: what was forecast and what came; None = not kept.
        drift_windows: newest windows that drift is computed from.
        a_second: windows a second that each process looks at, for drift and for outcomes; more are counted only.
    """

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
        self.queue: Callable[[], int] = _nothing  # windows that wait in this process, or are being computed
        self._counters: Counters | None = None
        self._recorder: _Recorder | None = None
        self._making = threading.Lock()

    def open(self, folder: Path) -> None:
        """Make what processes share; called once, before there are any.

        Args:
            folder: of the server's own files.

        Raises:
            OSError: there is no room for the counters.
        """
        shared = Path(tempfile.mkdtemp(prefix="forecast-"))
        util.Finalize(self, _discard, args=(shared,), exitpriority=0)  # in this process alone
        self._counters = Counters(shared)
        self.log = None if self.log is None else self.log.in_folder(folder)
        self.outcomes_kept = None if self.outcomes_kept is None else self.outcomes_kept.in_folder(folder)
        if self.outcomes_kept is not None:
            try:
                self.outcomes_kept.prepare()
            except (sqlite3.Error, OSError) as error:
                log.warning("outcomes cannot be kept in %s: %s", self.outcomes_kept.file, error)

    @property
    def counters(self) -> Counters:
        """Those of all processes."""
        assert self._counters is not None, "open() comes first"
        return self._counters

    def began(self) -> None:
        """A request came in."""
        self._here().counts.began(self.queue())

    def request(
        self, route: str, method: str, status: int, seconds: float, request_id: str | None = None
    ) -> None:
        """A request was answered, refused or given up; called before the answer leaves.

        Args:
            route: the template that it matched, such as /forecast/{ticker}: there must be few.
            method: such as GET.
            status: of the answer; 499 without one.
            seconds: from its first byte to the answer's last.
            request_id: sent by the client, or given by the server.
        """
        here = self._here()
        here.counts.ended(method, status, route, seconds, self.queue())
        if here.log is not None:
            here.log.request(method, route, status, seconds, request_id, here.version or None)
            here.flusher.ask()

    def forecasts(
        self,
        model: LoadedModel,
        windows: NDArray[np.float32],
        tickers: Sequence[str | None],
        forecast: NDArray[np.float64],
        bounds: NDArray[np.float64] | None,
        origins: NDArray[np.datetime64] | None = None,
    ) -> None:
        """Windows were forecast together. What is not finite is left out.

        Args:
            model: that forecast them.
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
        """Fresh bars are at hand: they say what came of earlier forecasts.

        Args:
            model: that is served.
            ticker: whose bars they are.
            bars: Date index, ascending; Close.
        """
        here = self._here()
        if here.outcomes is not None and len(here.tables) < _MAX_BARS:
            here.tables[ticker] = (model, bars)
            here.flusher.ask()

    def model_loaded(self, model: LoadedModel) -> None:
        """A model answers from now on, in this process; one that is never told so goes by its forecasts."""
        here = self._here()
        here.follows = True  # a batch of the model before may still be on its way
        here.loaded(model.version)

    def figures(self) -> Figures:
        """What all processes have counted."""
        return self.counters.read()

    def drift(self, model: LoadedModel) -> Drift | None:
        """How requests differ from what a model was trained on; None for a run that did not keep what that was.

        Args:
            model: that is served.
        """
        if model.reference is None:
            return None
        return read_drift(self.counters.folder, model.version, model.reference)

    def outcomes(self, version: str) -> OutcomeSummary | None:
        """How well what was served did; None where that is not kept, or cannot be read.

        Args:
            version: of the model.
        """
        return None if self.outcomes_kept is None else self.outcomes_kept.summary(version)

    def close(self) -> None:
        """Write what is left; this process counts no more."""
        if self._recorder is not None and self._recorder.pid == os.getpid():
            self._recorder.flusher.finish()
            close_counters()

    def _here(self) -> _Recorder:
        """This process's recorder: a forked process needs another one than its parent."""
        found = self._recorder
        if found is not None and found.pid == os.getpid():
            return found
        with self._making:
            found = self._recorder
            if found is None or found.pid != os.getpid():
                found = self._recorder = _Recorder(self)
        return found

    def __getstate__(self) -> dict[str, Any]:
        # For a process that is spawned: where the files lie goes along, what belongs to this process does not.
        state = {**vars(self), "_recorder": None, "queue": _nothing, "_counters": self.counters.folder}
        del state["_making"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _making=threading.Lock(), _counters=Counters(state["_counters"]))


@dataclass(frozen=True)
class _Batch:
    """What a model forecast together."""

    model: LoadedModel
    windows: NDArray[np.float32]  # (B, L, C) raw panel rows
    tickers: list[str | None]
    forecast: NDArray[np.float64]  # (B, h)
    bounds: NDArray[np.float64] | None  # (2, B, h)
    origins: list[int | None]  # days since 1970-01-01

    def rows(self, keep: slice | NDArray[np.intp]) -> _Batch:
        """Some of the windows, copied."""
        numbers = np.arange(len(self.windows))[keep].tolist()
        return _Batch(
            self.model,
            self.windows[keep].copy(),
            [self.tickers[number] for number in numbers],
            self.forecast[keep].copy(),
            None if self.bounds is None else self.bounds[:, keep].copy(),
            [self.origins[number] for number in numbers],
        )


class _Recorder:
    """What one process notes."""

    def __init__(self, monitoring: Monitoring) -> None:
        self.pid = os.getpid()
        self.counts = ProcessCounters(monitoring.counters)
        self.log = None if monitoring.log is None else monitoring.log.in_folder(Path())
        kept = monitoring.outcomes_kept
        self.outcomes = None if kept is None else kept.in_folder(Path())
        self.version = ""  # of the model that is served
        self.follows = False  # whether it is told of each model
        self.tables: dict[str, tuple[LoadedModel, pd.DataFrame]] = {}
        self.flusher = BackgroundFlusher(self._flush, pause_s=_PAUSE_S)
        self._drift = DriftCounts(monitoring.counters.folder, newest=monitoring.drift_windows)
        self._a_second = self._room = monitoring.a_second
        self._second = 0.0
        self._lock = threading.Lock()
        self._batches: list[_Batch] = []
        self._warned: set[str] = set()

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
        """Keep as many of them as may be looked at this second."""
        with self._lock:
            now = time.monotonic()
            if now - self._second >= 1.0:
                self._second, self._room = now, self._a_second
            taken = min(len(windows), self._room)
            self._room -= taken
        if not taken:
            return
        days = [None] * len(windows) if origins is None else _days(origins)
        batch = _Batch(model, windows, list(tickers), forecast, bounds, days)
        self._batches.append(batch.rows(slice(taken)))
        self.flusher.ask()

    def _flush(self) -> None:
        if self.log is not None:
            self.log.flush()
        batches, self._batches = self._batches, []
        for batch in _joined(batches):
            self._look_at(batch)
        while self.tables:
            ticker, (model, bars) = self.tables.popitem()
            closes = bars["Close"].to_numpy(np.float64)
            closes = np.where(closes > 0, closes, np.nan)
            days, lookback = _days(bars.index.to_numpy()), model.predictor.lookback
            self._keep(lambda kept: kept.resolve(ticker, days, closes, lookback=lookback))  # noqa: B023 - at once

    def _look_at(self, batch: _Batch) -> None:
        model, predictor = batch.model, batch.model.predictor
        if model.reference is not None:
            self._drift.add(model.version, model.reference, predictor.inputs(batch.windows))
        closes = batch.windows[..., predictor.layout.target]  # (B, L)
        self._keep(
            lambda kept: kept.remember(
                model.version, batch.tickers, closes, batch.forecast, batch.bounds, batch.origins
            )
        )
        if self.log is not None and self.log.payloads:
            for number, ticker in enumerate(batch.tickers):
                window, forecast = batch.windows[number].tolist(), batch.forecast[number].tolist()
                self.log.forecast(model.version, ticker or None, window, forecast)
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
                log.warning("outcomes cannot be kept in %s: %s", self.outcomes.file, error)


class BackgroundFlusher:
    """Does something a moment after it was asked for, once for all who asked meanwhile; rests otherwise.

    Args:
        flush: what there is to do, in a thread: nobody's answer waits for a disk.
        pause_s: seconds from the first request to it.
    """

    def __init__(self, flush: Callable[[], None], *, pause_s: float) -> None:
        self._flush = flush
        self._pause_s = pause_s
        self._due = False
        self._asked, self._ending = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        # Forked processes end without what `atexit` knows of.
        self._last = util.Finalize(self, _finish, args=(self._ending, self._asked, flush), exitpriority=10)

    def ask(self) -> None:
        """Have it done soon; costs next to nothing where it was asked for already."""
        if self._due:
            return
        self._due = True
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="monitoring", daemon=True)
            self._thread.start()
        self._asked.set()

    def finish(self) -> None:
        """Do now what is left, and nothing after it."""
        self._ending.set()
        self._asked.set()
        if self._thread is not None:
            self._thread.join()
        self._last()

    def _work(self) -> None:
        while not self._ending.is_set():
            self._asked.wait()
            self._ending.wait(self._pause_s)
            self._asked.clear()
            self._due = False  # what is noted from here on is asked for anew
            self._flush()


def _finish(ending: threading.Event, asked: threading.Event, flush: Callable[[], None]) -> None:
    ending.set()
    asked.set()
    flush()


def _discard(folder: Path) -> None:
    close_counters()
    shutil.rmtree(folder, ignore_errors=True)


def _joined(batches: list[_Batch]) -> list[_Batch]:
    """One batch a model, without windows that could not be forecast."""
    models: dict[str, list[_Batch]] = {}
    for batch in batches:
        models.setdefault(batch.model.version, []).append(batch)
    found = []
    for own in models.values():
        bounds = [batch.bounds for batch in own if batch.bounds is not None]
        whole = _Batch(
            own[0].model,
            np.concatenate([batch.windows for batch in own]),
            [ticker for batch in own for ticker in batch.tickers],
            np.concatenate([batch.forecast for batch in own]),
            np.concatenate(bounds, axis=1) if bounds else None,
            [origin for batch in own for origin in batch.origins],
        )
        good = np.isfinite(whole.windows).all(axis=(1, 2)) & np.isfinite(whole.forecast).all(axis=1)
        target = whole.model.predictor.layout.target
        good &= (whole.windows[..., target] > 0).all(axis=1)
        if good.any():
            found.append(whole.rows(np.flatnonzero(good)))
    return found


def _days(moments: NDArray[np.datetime64]) -> list[Any]:
    """Days since 1970-01-01."""
    days: list[Any] = moments.astype("datetime64[D]").astype(int).tolist()
    return days


def _nothing() -> int:
    return 0
