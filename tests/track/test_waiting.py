from __future__ import annotations

import signal
import time
from threading import Event

import pytest

from forecast.track.connection import call_with_timeout, error_summary


def test_the_answer_comes_back() -> None:
    assert call_with_timeout(5.0, lambda: 3) == 3


def test_what_hangs_is_given_up() -> None:
    release = Event()
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match="no answer within 0 s"):
        call_with_timeout(0.1, release.wait)
    assert time.monotonic() - begun < 2.0
    release.set()


@pytest.mark.parametrize("error", [ValueError("mine"), TimeoutError("mine"), SystemExit("mine")])
def test_the_work_fails_as_it_does_without_a_thread(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error), match="mine"):
        call_with_timeout(5.0, fail)


def test_an_interruption_waits_for_the_last_word() -> None:
    done: list[str] = []

    def interrupted() -> None:
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.2)
        done.append("the run is created")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            call_with_timeout(5.0, interrupted)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == ["the run is created"]


def test_the_reason_is_the_fault_of_the_network_in_one_line() -> None:
    error = RuntimeError("API request to http://host failed:\nlong story")
    error.__context__ = ConnectionError("Max retries exceeded")
    error.__context__.__cause__ = ConnectionRefusedError(111, "Connection refused")
    assert error_summary(error) == "[Errno 111] Connection refused"
    assert error_summary(RuntimeError("\nfirst\nsecond")) == "first"
    assert error_summary(KeyError()) == "KeyError"
    assert (
        error_summary(RuntimeError("postgresql://me:secret@db is away")) == "postgresql://me:***@db is away"
    )
