"""Start the load generator and read what it measured."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked.

    Args:
        port: of the server, on 127.0.0.1.
        bodies: JSON texts, sent in turn.
        expected: model version -> the answer to each body; a single entry stands for whatever version answers.
        connections: kept open at once, each with one question in flight.
        seconds: measured, after the warm-up.
        warm_s: seconds not measured.
        most: questions altogether.
        path: asked with POST.
        field: of the answer, that is compared.
        tolerance: relative; 0: the very same number.
        patience_s: seconds an open question is waited for when the time is up.
    """

    port: int
    bodies: list[str]
    expected: dict[str, list[float]]
    connections: int
    seconds: float
    warm_s: float = 1.0
    most: float = 10**9
    path: str = "/infer"
    field: str = "prediction"
    tolerance: float = 0.0
    patience_s: float = 40.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """One row a question, in the order of the answers; times are seconds of CLOCK_MONOTONIC.

    Args:
        begin: when measuring began.
        sent: (questions,).
        taken: (questions,) when the answer was whole.
        status: (questions,) of HTTP; 0 where the connection was cut, -1 where no answer came.
        version: (questions,) number of the expected version that answered, -1 for another or none.
        right: (questions,) whether the figure was that version's.
    """

    begin: float
    sent: NDArray[np.float64]
    taken: NDArray[np.float64]
    status: NDArray[np.int16]
    version: NDArray[np.int16]
    right: NDArray[np.bool_]

    @property
    def answered(self) -> NDArray[np.bool_]:
        """(questions,) answered with the right figure."""
        found: NDArray[np.bool_] = (self.status == 200) & self.right
        return found

    @property
    def per_second(self) -> float:
        """Right answers a second."""
        taken = self.taken[self.answered]
        return len(taken) / (taken.max() - self.begin) if len(taken) else 0.0

    def ms(self, percent: float) -> float:
        """Percentile of the time from question to answer."""
        spent = (self.taken - self.sent)[self.answered]
        return float(1000 * np.percentile(spent, percent)) if len(spent) else float("nan")

    @property
    def faults(self) -> dict[str, int]:
        """What went wrong how often: a status, `cut`, `no answer`, `wrong figure`; empty when nothing did."""
        names = {0: "cut", -1: "no answer", 200: "wrong figure"}
        found, counts = np.unique(self.status[~self.answered], return_counts=True)
        return {names.get(int(one), str(one)): int(count) for one, count in zip(found, counts, strict=True)}


class Asking:
    """The load generator, running."""

    def __init__(self, plan: Plan) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._result = Path(self._folder.name, "result.npz")
        question = Path(self._folder.name, "plan.json")
        question.write_text(json.dumps(asdict(plan)), "utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serve.load", str(question), str(self._result)], cwd=REPOSITORY
        )

    @property
    def running(self) -> bool:
        """Whether it is still asking."""
        return self._process.poll() is None

    def result(self) -> Result:
        """Wait for its end."""
        if self._process.wait():
            raise SystemExit("the load generator failed")
        with np.load(self._result) as rows:
            found = Result(
                begin=float(rows["begin"]), sent=rows["sent"], taken=rows["taken"], status=rows["status"],
                version=rows["version"], right=rows["right"].astype(bool),
            )  # fmt: skip
        self._folder.cleanup()
        return found


def ask(plan: Plan) -> Result:
    """Ask and wait."""
    return Asking(plan).result()
