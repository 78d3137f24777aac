"""The load generator: python -m benchmarks.serve.load PLAN RESULT, started by `Asking` in a process of its own.

It shares no interpreter with what it measures. Each connection is kept open, sends its next question when the last is
answered, and opens again when it is cut. Every answer is read and compared.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
from array import array
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import httptools
import numpy as np
import uvloop

if TYPE_CHECKING:
    from numpy.typing import NDArray

REPOSITORY = Path(__file__).parents[2]
LOST, HUNG = 0, -1  # instead of a status: the connection was cut; no answer when the time was up


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked.

    Args:
        port: of the server, on 127.0.0.1.
        bodies: JSON texts, sent in turn.
        expected: model version -> the answer to each body; a single entry stands for whatever version answers. What
            is known only later is given to `Asking.result`.
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
        self._plan = plan
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

    def result(self, expected: dict[str, list[float]] | None = None) -> Result:
        """Wait for its end, and compare the answers.

        Args:
            expected: as of Plan; None = the plan's own.
        """
        if self._process.wait():
            raise SystemExit("the load generator failed")
        with np.load(self._result) as rows:
            found = dict(rows)
        self._folder.cleanup()
        wanted = expected or self._plan.expected
        versions = list(wanted)
        # number of a name that answered -> number of the version; the last one, -1, is no answer
        order = [
            0 if len(versions) == 1 else versions.index(name) if name in wanted else -1
            for name in found["names"].tolist()
        ]
        version = np.array([*order, -1], np.int16)[found["name"]]
        figures = np.array(list(wanted.values()))[version, found["number"]]  # (questions,)
        within = self._plan.tolerance * np.maximum(np.abs(figures), np.abs(found["value"]))
        return Result(
            begin=float(found["begin"]), sent=found["sent"], taken=found["taken"], status=found["status"],
            version=version, right=(version >= 0) & (np.abs(found["value"] - figures) <= within),
        )  # fmt: skip


def ask(plan: Plan) -> Result:
    """Ask and wait."""
    return Asking(plan).result()


class Load:
    """What all connections share: the questions, the clock and the record.

    Args:
        plan: of Plan.
    """

    def __init__(self, *, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.questions = [_request(plan, body) for body in plan["bodies"]]
        self.names: dict[str, int] = {}  # versions that answered, in the order of their first answer
        self.turn = itertools.count()
        self.asked = 0
        self.begin = self.end = math.inf
        self.sent, self.taken = array("d"), array("d")
        self.status, self.name, self.number, self.value = array("h"), array("h"), array("l"), array("d")

    def more(self) -> bool:
        """Whether to ask again."""
        return self.asked < self.plan["most"] and time.monotonic() < self.end

    def record(self, sent: float, number: int, status: int, body: bytes) -> None:
        """Write down one question's end."""
        taken = time.monotonic()
        name, value = -1, math.nan
        if status == 200:
            answer = json.loads(body)
            value = answer[self.plan["field"]]
            while isinstance(value, list):  # MLflow: {"predictions": [[x]]}
                value = value[0]
            name = self.names.setdefault(answer.get("model_version", ""), len(self.names))
        if sent < self.begin:
            return
        self.sent.append(sent)
        self.taken.append(taken)
        self.status.append(status)
        self.name.append(name)
        self.number.append(number)
        self.value.append(value)


class Connection(asyncio.Protocol):
    """One kept connection."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.busy = False
        self.sent, self.number, self.body = 0.0, 0, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask at once."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own says so of itself to nobody
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.parser = httptools.HttpResponseParser(self)
        self._ask()

    def _ask(self) -> None:
        if not self.load.more():
            self._finish(again=False)
            return
        self.load.asked += 1
        self.number = next(self.load.turn) % len(self.load.questions)
        self.body, self.busy, self.sent = b"", True, time.monotonic()
        self.transport.write(self.load.questions[self.number])

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer."""
        self.parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        """The parser's: a piece of the body."""
        self.body += data

    def on_message_complete(self) -> None:
        """The parser's: the answer is whole."""
        self.busy = False
        self.load.record(self.sent, self.number, self.parser.get_status_code(), self.body)
        if self.parser.should_keep_alive():
            # Not from inside the parser, which is not yet ready for the next answer.
            asyncio.get_running_loop().call_soon(self._ask)
        else:
            self._finish(again=True)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's
        """The server closed, perhaps with a question open."""
        if self.busy:
            self.busy = False
            self.load.record(self.sent, self.number, LOST, b"")
        self._finish(again=True)

    def give_up(self) -> None:
        """The time is up and the question is still open."""
        self.busy = False
        self.load.record(self.sent, self.number, HUNG, b"")

    def _finish(self, *, again: bool) -> None:
        if not self.done.done():
            self.done.set_result(again)
            self.transport.close()


async def keep_asking(load: Load) -> None:
    """One connection after another, until the time is up."""
    loop = asyncio.get_running_loop()
    while load.more():
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(load), "127.0.0.1", load.plan["port"]
            )
        except OSError:
            load.asked += 1
            load.record(time.monotonic(), 0, LOST, b"")
            await asyncio.sleep(0.05)
            continue
        patience = load.end + load.plan["patience_s"] - time.monotonic()
        finished, _ = await asyncio.wait(
            [connection.done], timeout=None if math.isinf(patience) else patience
        )
        if not finished:
            connection.give_up()
            return


async def generate(plan: dict[str, Any]) -> Load:
    """Run the plan."""
    asyncio.get_running_loop().set_exception_handler(_fail)
    load = Load(plan=plan)
    load.begin = time.monotonic() + plan["warm_s"]
    load.end = load.begin + plan["seconds"]
    async with asyncio.TaskGroup() as group:
        for _ in range(plan["connections"]):
            group.create_task(keep_asking(load))
    return load


def _fail(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> NoReturn:
    """A fault of this program must not look like one of the server's."""
    loop.default_exception_handler(context)
    os._exit(3)


def _request(plan: dict[str, Any], body: str) -> bytes:
    payload = body.encode()
    head = (
        f"POST {plan['path']} HTTP/1.1\r\nHost: 127.0.0.1:{plan['port']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


def main(plan: Path, result: Path) -> None:
    """Ask, then write one row a question."""
    gc.disable()  # a collection here would be measured as the server's
    load = uvloop.run(generate(json.loads(plan.read_text("utf-8"))))
    with result.open("wb") as file:
        np.savez(
            file, begin=load.begin, sent=load.sent, taken=load.taken,
            status=load.status, name=load.name, number=load.number, value=load.value, names=list(load.names),
        )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
