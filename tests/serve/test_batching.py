"""The micro-batcher: an item alone is computed on the spot, those that wait are computed together."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace

import pytest

from forecast.serve import batching
from forecast.serve.batching import LARGE, MicroBatcher, Turns

NOW = [0.0]  # what a machine that is busy with something else cannot slow down


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr(batching, "time", SimpleNamespace(thread_time=lambda: NOW[0]))


class Model:
    """Answers a number with its double, and remembers what was asked together, and where."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.calls = []  # (together, in the thread of the loop)

    def __call__(self, items):
        self.calls.append((len(items), threading.current_thread() is threading.main_thread()))
        time.sleep(self.seconds)
        NOW[0] += self.seconds
        if "bad" in items:
            raise ValueError("bad")
        return [2 * item for item in items]


def conversation(model, talk, max_batch_size=64):
    async def all_of_it():
        batcher = MicroBatcher(model, max_batch_size=max_batch_size)
        batcher.start()
        try:
            return await talk(batcher)
        finally:
            await batcher.stop()
            assert batcher.queue_size == 0

    return asyncio.run(all_of_it())


def test_one_after_the_other_is_computed_on_the_spot_once_the_model_is_known_to_be_quick():
    async def talk(batcher):
        return [await batcher.submit(number) for number in range(5)]

    model = Model()
    assert conversation(model, talk) == [0, 2, 4, 6, 8]
    assert model.calls == [(1, False), *[(1, True)] * 4]


def test_a_slow_model_never_holds_up_the_others():
    async def talk(batcher):
        return [await batcher.submit(number) for number in range(3)]

    model = Model(seconds=0.02)
    assert conversation(model, talk) == [0, 2, 4]
    assert model.calls == [(1, False)] * 3


def test_a_model_that_became_slow_leaves_the_spot():
    async def talk(batcher):
        await batcher.submit(0)
        await batcher.submit(0)
        model.seconds = 0.02
        return [await batcher.submit(number) for number in range(3)]

    model = Model()
    assert conversation(model, talk) == [0, 2, 4]
    assert [on_the_spot for _, on_the_spot in model.calls] == [False, True, True, False, False]


@pytest.mark.parametrize("seconds", [0.0, 0.02])
def test_those_that_come_together_are_computed_together(seconds):
    async def talk(batcher):
        await batcher.submit(0)
        return await asyncio.gather(*(batcher.submit(number) for number in range(40)))

    model = Model(seconds)
    assert conversation(model, talk, max_batch_size=16) == [2 * number for number in range(40)]
    assert not any(on_the_spot for _, on_the_spot in model.calls)
    sizes = [size for size, _ in model.calls]
    assert max(sizes) == 16
    assert sum(sizes) == 41
    assert len(sizes) <= 6


def test_a_failure_reaches_everybody_who_waits_and_the_next_is_answered():
    async def talk(batcher):
        for _ in range(2):  # by the helper, then on the spot
            with pytest.raises(ValueError, match="bad"):
                await batcher.submit("bad")
            await batcher.submit(1)
        together = await asyncio.gather(*map(batcher.submit, [1, "bad", 2]), return_exceptions=True)
        assert [type(one) for one in together] == [int, ValueError, ValueError]  # the first one went ahead
        return await batcher.submit(2)

    assert conversation(Model(), talk) == 4


def test_a_request_that_was_given_up_is_not_computed():
    begun, go = threading.Event(), threading.Event()
    model = Model()

    def slow(items):
        begun.set()
        assert go.wait(60)
        return model(items)

    async def talk(batcher):
        first = asyncio.create_task(batcher.submit(0))
        await asyncio.to_thread(begun.wait, 60)
        given_up = asyncio.create_task(batcher.submit(1))
        await asyncio.sleep(0)
        given_up.cancel()
        go.set()
        return await first

    assert conversation(slow, talk) == 0
    assert model.calls == [(1, False)]


def test_large_requests_take_turns_and_leave_room_for_small_ones():
    async def talk():
        turns, order = Turns(), []

        async def ask(name, size):
            turns.small += size <= LARGE
            async with turns.of(size):
                order.append(name)
                NOW[0] += 0.02  # of the event loop's time

        await ask("small 0", LARGE)
        large = [asyncio.create_task(ask(f"large {place}", LARGE + 1)) for place in range(2)]
        await asyncio.sleep(0.001)
        await ask("small 1", LARGE)  # in the pause behind the first large one
        await asyncio.gather(*large)
        began = asyncio.get_running_loop().time()
        for place in range(2, 12):  # nobody beside them: no pause but the one behind the turn before
            await ask(f"large {place}", LARGE + 1)
        return order[:4], asyncio.get_running_loop().time() - began

    order, seconds = asyncio.run(talk())
    assert order == ["small 0", "large 0", "small 1", "large 1"]
    assert seconds < 1.0  # with pauses it would be 1.4


def test_more_large_requests_than_may_wait():
    async def talk():
        turns = Turns()

        async def ask():
            async with turns.of(LARGE + 1):
                await asyncio.sleep(0)

        found = await asyncio.gather(*(ask() for _ in range(66)), return_exceptions=True)
        return [error for error in found if error is not None]

    (error,) = asyncio.run(talk())
    assert (error.status_code, error.headers) == (429, {"Retry-After": "1"})
