"""Questions to a slow source: asked once for all who wait, one after the other."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest
from commands import REPOSITORY, environment

from forecast.serve.live import OverloadedError, SingleFlight

LONG = 60.0


class Slow:
    """A question that is answered when the test says so."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.at_once = self.most_at_once = 0
        self.go = threading.Event()

    def __call__(self, name: str = "x") -> str:
        self.calls.append(name)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.go.wait(LONG)
        self.at_once -= 1
        if name == "bad":
            raise ValueError(name)
        return name.upper()


@pytest.fixture
def slow():
    question = Slow()
    yield question
    question.go.set()  # no thread is left behind


async def begun(slow: Slow, count: int = 1) -> None:
    while len(slow.calls) < count:
        await asyncio.sleep(0.001)


def test_many_who_ask_the_same_share_one_answer(slow):
    async def ask() -> list[str]:
        shared: SingleFlight[str] = SingleFlight(max_keys=1, max_waiters=50)
        asked = [asyncio.create_task(shared.call("x", slow, timeout_s=LONG)) for _ in range(20)]
        await begun(slow)
        slow.go.set()
        return await asyncio.gather(*asked)

    assert asyncio.run(ask()) == ["X"] * 20
    assert slow.calls == ["x"]


def test_asked_again_later_it_is_asked_again(slow):
    async def ask() -> None:
        shared: SingleFlight[str] = SingleFlight(max_keys=1, max_waiters=50)
        for _ in range(3):
            await shared.call("x", slow, timeout_s=LONG)

    slow.go.set()
    asyncio.run(ask())
    assert len(slow.calls) == 3


def test_different_questions_are_asked_one_after_the_other(slow):
    async def ask() -> list[str]:
        shared: SingleFlight[str] = SingleFlight(max_keys=5, max_waiters=50)
        names = "abcde"
        asked = [shared.call(name, lambda name=name: slow(name), timeout_s=LONG) for name in names]
        waiting = asyncio.gather(*asked)
        await begun(slow)
        slow.go.set()
        return await waiting

    assert asyncio.run(ask()) == list("ABCDE")
    assert (slow.calls, slow.most_at_once) == (list("abcde"), 1)


def test_who_loses_patience_leaves_the_question_to_the_next(slow):
    async def ask() -> str:
        shared: SingleFlight[str] = SingleFlight(max_keys=1, max_waiters=50)
        with pytest.raises(TimeoutError):
            await shared.call("x", slow, timeout_s=0.01)
        await begun(slow)
        later = asyncio.create_task(shared.call("x", slow, timeout_s=LONG))
        await asyncio.sleep(0)
        slow.go.set()
        return await later

    assert asyncio.run(ask()) == "X"
    assert slow.calls == ["x"]


def test_one_who_goes_takes_the_answer_from_nobody(slow):
    async def ask() -> str:
        shared: SingleFlight[str] = SingleFlight(max_keys=1, max_waiters=50)
        first, second = (asyncio.create_task(shared.call("x", slow, timeout_s=LONG)) for _ in range(2))
        await begun(slow)
        first.cancel()
        await asyncio.wait([first])
        slow.go.set()
        return await second

    assert asyncio.run(ask()) == "X"


def test_too_many_different_questions(slow):
    async def ask() -> None:
        shared: SingleFlight[str] = SingleFlight(max_keys=2, max_waiters=50)
        waiting = [asyncio.create_task(shared.call(name, slow, timeout_s=LONG)) for name in "ab"]
        await begun(slow)
        with pytest.raises(OverloadedError):
            await shared.call("c", slow, timeout_s=LONG)
        same = asyncio.create_task(shared.call("a", slow, timeout_s=LONG))
        await asyncio.sleep(0)
        slow.go.set()
        assert await asyncio.gather(*waiting, same) == ["X"] * 3
        assert await shared.call("c", slow, timeout_s=LONG) == "X"  # there is room again

    asyncio.run(ask())


def test_too_many_who_wait(slow):
    async def ask() -> None:
        shared: SingleFlight[str] = SingleFlight(max_keys=1, max_waiters=2)
        waiting = [asyncio.create_task(shared.call("x", slow, timeout_s=LONG)) for _ in range(2)]
        await begun(slow)
        with pytest.raises(OverloadedError):
            await shared.call("x", slow, timeout_s=LONG)
        slow.go.set()
        await asyncio.gather(*waiting)
        for _ in range(3):  # there is room again
            assert await shared.call("x", slow, timeout_s=LONG) == "X"

    asyncio.run(ask())


def test_a_failure_reaches_all_who_asked_and_none_after_them(slow):
    async def ask() -> None:
        shared: SingleFlight[str] = SingleFlight(max_keys=1, max_waiters=50)
        both = asyncio.gather(
            *(shared.call("x", lambda: slow("bad"), timeout_s=LONG) for _ in range(2)), return_exceptions=True
        )
        await begun(slow)
        slow.go.set()
        assert [repr(error) for error in await both] == ["ValueError('bad')"] * 2
        assert await shared.call("x", slow, timeout_s=LONG) == "X"

    asyncio.run(ask())


def test_a_question_without_an_answer_does_not_hold_up_the_end_of_the_process():
    script = (
        "import asyncio, threading\n"
        "from forecast.serve.live import SingleFlight\n"
        "shared = SingleFlight(max_keys=1, max_waiters=50)\n"
        "try:\n"
        "    asyncio.run(shared.call('x', threading.Event().wait, timeout_s=0.01))\n"
        "except TimeoutError:\n"
        "    print('gone')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "gone\n", "")
