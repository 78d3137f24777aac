"""What all processes have counted, added up."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from forecast.serve.watch.counting import is_inference, parsed
from forecast.serve.watch.latency import BUCKETS, percentile
from forecast.serve.watch.pages import PIECE_S, PIECES, Pages

if TYPE_CHECKING:
    from forecast.serve.watch.pages import Page


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Requests of one kind, or of several added up.

    Args:
        counts: in the buckets of latency.EDGES.
        seconds: their sum.
        least: of a request, in seconds; None without requests.
        most: likewise.
    """

    counts: list[int]
    seconds: float = 0.0
    least: float | None = None
    most: float | None = None

    @property
    def number(self) -> int:
        """Of requests."""
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        """Seconds a request; None without requests."""
        return self.seconds / self.number if self.number else None

    def percentile(self, share: float) -> float | None:
        """Seconds that a share of the requests did not exceed; None without requests."""
        found = percentile(self.counts, share)
        if found is None or self.least is None or self.most is None:
            return found
        return min(max(found, self.least), self.most)

    def __add__(self, other: Answers) -> Answers:
        least = [value for value in (self.least, other.least) if value is not None]
        most = [value for value in (self.most, other.most) if value is not None]
        return Answers(
            counts=[one + more for one, more in zip(self.counts, other.counts, strict=True)],
            seconds=self.seconds + other.seconds,
            least=min(least, default=None),
            most=max(most, default=None),
        )


NONE = Answers(counts=[0] * BUCKETS)


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process that lives and counts."""

    pid: int
    version: str
    in_flight: int
    waiting: int
    forecasts: int


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Of all processes, those that died among them.

    Args:
        answers: (method, status, route) -> requests.
        last_minute: forecasts from windows that were given, in the last 60 to 70 seconds.
        last_inference: when the newest of them was answered; None without any.
        forecasts: windows that went through the network.
        batches: in so many batches.
        swaps: of models; the most that any process made.
        processes: that live.
    """

    answers: dict[tuple[str, int, str], Answers]
    last_minute: Answers
    last_inference: datetime | None
    forecasts: int
    batches: int
    swaps: int
    processes: list[Process]

    @property
    def inferences(self) -> Answers:
        """Forecasts from windows that were given."""
        return sum((own for key, own in self.answers.items() if is_inference(*key)), NONE)

    @property
    def errors(self) -> dict[int, int]:
        """Requests that were refused or failed, by status."""
        found = Counter[int]()
        for (_, status, _), own in self.answers.items():
            if status >= 400:
                found[status] += own.number
        return dict(sorted(found.items()))

    @property
    def in_flight(self) -> int:
        """Requests being answered."""
        return sum(process.in_flight for process in self.processes)

    @property
    def waiting(self) -> int:
        """Windows in a queue or in the network."""
        return sum(process.waiting for process in self.processes)


def figures_of(pages: Pages) -> Figures:
    """Add up all pages.

    Args:
        pages: of the server.
    """
    answers: dict[tuple[str, int, str], Answers] = {}
    recent, newest, forecasts, batches, swaps = NONE, 0.0, 0, 0, 0
    processes = []
    for page, alive in pages.all():
        for row in page["rows"][: page["used"]]:
            key = parsed(row["name"])
            total, least, most = row["seconds"].tolist()
            own = Answers(counts=row["counts"].tolist(), seconds=total, least=least, most=most)
            if own.number:  # else it is being added
                answers[key] = answers.get(key, NONE) + own
        recent += _last_minute(page)
        newest = max(newest, float(page["last_inference"][0]))
        forecasts += int(page["forecasts"][0])
        batches += int(page["batches"][0])
        swaps = max(swaps, int(page["swaps"]))
        if alive:
            processes.append(
                Process(
                    pid=int(page["pid"]),
                    version=page["version"].item().decode("utf-8", "replace"),
                    in_flight=int(page["in_flight"][0]),
                    waiting=int(page["waiting"][0]),
                    forecasts=int(page["forecasts"][0]),
                )
            )
    return Figures(
        answers=answers,
        last_minute=recent,
        last_inference=datetime.fromtimestamp(newest, UTC) if newest else None,
        forecasts=forecasts,
        batches=batches,
        swaps=swaps,
        processes=processes,
    )


def _last_minute(page: Page) -> Answers:
    now = int(time.time()) // PIECE_S
    fresh = page["last_minute"]["number"] > now - PIECES
    counts = page["last_minute"]["counts"][fresh].sum(axis=0, dtype=np.int64)
    return Answers(counts=counts.tolist())
