"""Waiting no longer than a run can afford, and saying in one line what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import TypeVar

from forecast.track.uri import masked

T = TypeVar("T")

LAST_WORD_S = 2.0


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return what the work returns, or give it up.

    The work has a thread of its own because nothing else ends in time whatever hangs: a name lookup, a locked
    database (MLflow waits 20 s a call), a database that is retried for 100 s, a server that never answers.

    Args:
        seconds: how long to wait.
        work: called once; if given up, it goes on unheeded until the process ends.

    Raises:
        TimeoutError: no answer in time.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again by result(), in the caller's thread
            answer.set_exception(error)

    try:
        Thread(target=run, daemon=True, name="mlflow").start()
        return answer.result(timeout=seconds)
    except KeyboardInterrupt:
        # A run that is just being created would else be created again by whoever ends it.
        wait([answer], timeout=LAST_WORD_S)
        raise
    except TimeoutError:
        if answer.done():
            raise  # the work's own
        raise TimeoutError(f"no answer within {seconds:.0f} s") from None


def reason(error: BaseException) -> str:
    """Return what went wrong in one line: the innermost fault of network or disk if there is one."""
    told, cause = error, _cause(error)
    while cause is not None:
        if isinstance(cause, OSError) and str(cause):
            told = cause
        cause = _cause(cause)
    lines = str(told).strip().splitlines() or [type(told).__name__]
    return masked(lines[0])[:300]


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)
