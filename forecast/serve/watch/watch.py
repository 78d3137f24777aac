"""What a server says of itself: counts, latency, drift, and how well it forecast."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le

from forecast.serve.watch.drift import Drift, drift_of
from forecast.serve.watch.figures import Figures, figures_of
from forecast.serve.watch.outcomes import Outcomes, Told
from forecast.serve.watch.pages import Pages
from forecast.serve.watch.recorder import Recorder
from forecast.serve.watch.requestlog import RequestLog

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from forecast.serve.model_store import LoadedModel

_log = logging.getLogger(__name__)


class Watch:
    """Counts requests and holds forecasts against training and against what came.

    One is made before the processes that share it. Each counts in a page of its own, so that nobody waits, and a
    process that is killed takes nothing along.

    Args:
        log: one line a request; None = none.
        outcomes: what was forecast and what came; None = not kept.
        drift_windows: newest windows that drift is told of.
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
        self.waiting: Callable[[], int] = _nobody  # requests in the queue of this process, or being computed
        self._folder = Path()
        self._pages: Pages | None = None
        self._recorder: Recorder | None = None
        self._making = threading.Lock()

    def attach(self, *, folder: Path, processes: int) -> None:
        """Make what processes share; called once, before there are any.

        Args:
            folder: of the server's own files.
            processes: that will answer requests or compute.
        """
        self._folder = folder
        # Places for as many again: one that takes the place of another may come before that one is gone.
        self._pages = Pages(count=2 * processes + 4)
        if self.outcomes_kept is not None:
            outcomes = self.outcomes_kept.fresh(folder)
            try:
                outcomes.prepare()
            except (sqlite3.Error, OSError) as error:
                _log.warning("outcomes cannot be kept in %s: %s", outcomes.file, error)

    def began(self) -> None:
        """A request came in."""
        if (counting := self._here().counting) is not None:
            counting.began(self.waiting())

    def request(
        self, route: str, method: str, status: int, seconds: float, request_id: str | None = None
    ) -> None:
        """A request was answered, refused or given up; costs a few microseconds.

        Args:
            route: the template that it matched, such as /forecast/{ticker}: there must be few.
            method: such as GET.
            status: of the answer; 499 without one.
            seconds: from its first byte to the answer's last.
            request_id: told by the client, or given by the server.
        """
        here = self._here()
        if here.counting is not None:
            here.counting.ended(method, status, route, seconds, self.waiting())
        if here.log is not None:
            here.log.request(method, route, status, seconds, request_id, here.version or None)
            here.chores.ask()

    def forecasts(
        self,
        served: LoadedModel,
        windows: NDArray[np.float32],
        tickers: Sequence[str | None],
        forecast: NDArray[np.float64],
        bounds: NDArray[np.float64] | None,
        origins: NDArray[np.datetime64] | None = None,
    ) -> None:
        """Windows were forecast together. What is not finite is left out.

        Args:
            served: the model.
            windows: (B, lookback, columns) raw panel rows.
            tickers: (B,) whose they are; None or "" where nobody said.
            forecast: (B, horizon) prices.
            bounds: (2, B, horizon) lower and upper of the first level; None without intervals.
            origins: (B,) days of the last bars, where they are known.
        """
        here = self._here()
        if not here.follows:
            here.serves(served.version)
        here.forecasts(served, windows, tickers, forecast, bounds, origins)

    def outcomes(self, served: LoadedModel, ticker: str, bars: pd.DataFrame) -> None:
        """Fresh bars are at hand: they tell what came of earlier forecasts.

        Args:
            served: the model.
            ticker: whose bars they are.
            bars: Date index, ascending; Close.
        """
        self._here().bars(served, ticker, bars)

    def swapped(self, served: LoadedModel) -> None:
        """A model answers from now on, in this process; one that is never told so goes by its forecasts."""
        here = self._here()
        here.follows = True  # a batch of the model before may still be on its way
        here.serves(served.version)

    def figures(self) -> Figures:
        """What all processes have counted."""
        return figures_of(self._shared())

    def drift(self, served: LoadedModel) -> Drift | None:
        """How requests differ from what a model was trained on; None for a run that did not keep what that was.

        Args:
            served: the model.
        """
        if served.reference is None:
            return None
        pages = (page for page, _ in self._shared().all())
        return drift_of(pages, served.version, served.reference)

    def told(self, version: str) -> Told | None:
        """How well what was served did; None where that is not kept, or cannot be read.

        Args:
            version: of the model.
        """
        return None if self.outcomes_kept is None else self.outcomes_kept.fresh(self._folder).told(version)

    def close(self) -> None:
        """Write what is left; this process ends."""
        if self._recorder is not None and self._recorder.pid == os.getpid():
            self._recorder.chores.finish()

    def _here(self) -> Recorder:
        """This process's recorder: a forked process needs another one than its parent."""
        found = self._recorder
        if found is not None and found.pid == os.getpid():
            return found
        with self._making:
            found = self._recorder
            if found is None or found.pid != os.getpid():
                found = self._recorder = self._made()
        return found

    def _shared(self) -> Pages:
        """What processes share; where nobody said how many there are, a few."""
        if self._pages is None:
            self._pages = Pages(count=4)
        return self._pages

    def _made(self) -> Recorder:
        page = self._shared().own()
        if page is None:
            _log.warning("process %d is not counted: there are more processes than were told of", os.getpid())
        return Recorder(
            page=page,
            log=None if self.log is None else self.log.fresh(self._folder),
            outcomes=None if self.outcomes_kept is None else self.outcomes_kept.fresh(self._folder),
            drift_windows=self.drift_windows,
            a_second=self.a_second,
        )

    def __getstate__(self) -> dict[str, Any]:
        # For a process that is spawned: the pages go along, what belongs to this process does not.
        kept = dict(vars(self))
        del kept["_making"]
        return {**kept, "_recorder": None, "waiting": _nobody}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _making=threading.Lock())


def _nobody() -> int:
    return 0
