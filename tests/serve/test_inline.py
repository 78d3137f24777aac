"""The default engine: a request alone is answered on the spot, those that wait are answered together."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace

import pytest

from forecast.serve.engines.inline import Inline


class Api:
    """Answers a number with its double, and remembers what was asked together, and where."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.models = SimpleNamespace(close=lambda: None)
        self.asked = []  # (together, in the thread of the loop)

    def setup(self, device):
        assert device == "cpu"

    def predict(self, windows):
        self.asked.append((len(windows), threading.current_thread() is threading.main_thread()))
        time.sleep(self.seconds)
        if "bad" in windows:
            raise ValueError("bad")
        return [2 * window for window in windows]


def conversation(api, talk, **arguments):
    engine = Inline(**arguments)
    engine.attach(api, None)

    async def all_of_it():
        async with engine.running():
            return await talk(engine)

    found = asyncio.run(all_of_it())
    assert engine.waiting == 0
    return found


def test_one_after_the_other_is_answered_on_the_spot_once_the_model_is_known_to_be_quick():
    async def talk(engine):
        return [await engine.answer(number) for number in range(5)]

    api = Api()
    assert conversation(api, talk) == [0, 2, 4, 6, 8]
    assert api.asked == [(1, False), *[(1, True)] * 4]


def test_a_slow_model_never_holds_up_the_others():
    async def talk(engine):
        return [await engine.answer(number) for number in range(3)]

    api = Api(seconds=0.02)
    assert conversation(api, talk) == [0, 2, 4]
    assert api.asked == [(1, False)] * 3


def test_a_model_that_became_slow_leaves_the_spot():
    async def talk(engine):
        await engine.answer(0)
        await engine.answer(0)
        api.seconds = 0.02
        return [await engine.answer(number) for number in range(3)]

    api = Api()
    assert conversation(api, talk) == [0, 2, 4]
    assert [on_the_spot for _, on_the_spot in api.asked] == [False, True, True, False, False]


@pytest.mark.parametrize("seconds", [0.0, 0.02])
def test_those_that_come_together_are_answered_together(seconds):
    async def talk(engine):
        await engine.answer(0)
        return await asyncio.gather(*(engine.answer(number) for number in range(40)))

    api = Api(seconds)
    assert conversation(api, talk, most=16) == [2 * number for number in range(40)]
    assert not any(on_the_spot for _, on_the_spot in api.asked)
    sizes = [size for size, _ in api.asked]
    assert max(sizes) == 16
    assert sum(sizes) == 41
    assert len(sizes) <= 6


def test_what_goes_wrong_is_told_to_whoever_asked_and_the_next_is_answered():
    async def talk(engine):
        for _ in range(2):  # by the helper, then on the spot
            with pytest.raises(ValueError, match="bad"):
                await engine.answer("bad")
            await engine.answer(1)
        return await engine.answer(2)

    assert conversation(Api(), talk) == 4


def test_a_request_that_was_given_up_is_not_computed():
    async def talk(engine):
        first = asyncio.create_task(engine.answer(0))
        await asyncio.sleep(0.01)
        given_up = asyncio.create_task(engine.answer(1))
        await asyncio.sleep(0.005)
        given_up.cancel()
        return await first

    api = Api(seconds=0.05)
    assert conversation(api, talk) == 0
    assert api.asked == [(1, False)]
