"""Processes that count, files that fill, and a clock that a test sets."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from service import wait


class Child:
    """A process that does something and then stays, until it is killed or asked to go."""

    def __init__(self, do: Callable[..., Any], *given: Any, how: str = "fork", **named: Any) -> None:
        context = multiprocessing.get_context(how)
        self._done, self._go = context.Event(), context.Event()
        self.process = context.Process(
            target=_child, args=(do, given, named, self._done, self._go), daemon=True
        )
        self.process.start()

    def did(self) -> Child:
        assert self._done.wait(60)
        return self

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join(60)

    def leave(self) -> None:
        self._go.set()
        self.process.join(60)
        assert self.process.exitcode == 0, self.process.exitcode


def _child(do: Callable[..., Any], given: Any, named: Any, done: Any, go: Any) -> None:
    logging.basicConfig(force=True)  # not where pytest would have it
    do(*given, **named)
    done.set()
    go.wait()


def lines(path: Path, count: int) -> list[str]:
    """The lines of a file, once there are so many."""
    wait(lambda: path.exists() and path.read_text().count("\n") >= count, f"{count} lines in {path}")
    return path.read_text().splitlines()


def frozen(monkeypatch: pytest.MonkeyPatch, now: float) -> Callable[[float], None]:
    """Set the clock; what it gives moves it on."""
    clock = [now]
    monkeypatch.setattr(time, "time", lambda: clock[0])

    def pass_(seconds: float) -> None:
        clock[0] += seconds

    return pass_


def requests(monitoring: Any, number: int, status: int = 200, seconds: float = 0.01) -> None:
    """Requests to /infer that came and were answered."""
    for _ in range(number):
        monitoring.began()
        monitoring.request("/infer", "POST", status, seconds)


def begin(monitoring: Any, number: int) -> None:
    """Requests that came and are not answered."""
    for _ in range(number):
        monitoring.began()
