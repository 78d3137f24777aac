"""What the protocol makes of an engine's answers, those it seldom gives among them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from fastapi import HTTPException

from forecast.data.features import NoProcessing
from forecast.serve.api import Answer
from forecast.serve.v2.inference import infer
from forecast.serve.v2.messages import InferRequest

SERVED = SimpleNamespace(
    version="v1",
    predictor=SimpleNamespace(
        features=NoProcessing(), scope="single", tickers=["A"], lookback=2, horizon=1, levels=(0.9,)
    ),
)


def answer(version="v1", problem=None, bounds=(1.0, 3.0)) -> Answer:
    return Answer(np.array([2.0]), np.array(bounds)[:, None], 0.9, version, (), problem)


class Scripted:
    """An engine that gives the answers of a list, one after the other."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)

    async def answer(self, _) -> Answer:
        return self.answers.pop(0)


def asked(engine: Scripted, windows: int = 2):
    data = np.full((windows, 2, 4), 5.0)
    tensor = {
        "name": "sequence",
        "shape": list(data.shape),
        "datatype": "FP64",
        "data": data.ravel().tolist(),
    }
    return asyncio.run(infer(InferRequest.model_validate({"inputs": [tensor]}), SERVED, engine))


def test_a_window_that_cannot_be_answered_is_named():
    with pytest.raises(HTTPException, match=r"^400: window 2: no finite forecast"):
        asked(Scripted(answer(), answer(problem="no finite forecast")))


def test_all_answers_are_of_one_model():
    engine = Scripted(answer(), answer("v2"), answer("v2"), answer("v2"))
    assert asked(engine).model_version == "v2"
    assert engine.answers == []


def test_a_model_that_changes_all_the_time():
    with pytest.raises(HTTPException, match=r"^503: the model is being replaced") as caught:
        asked(Scripted(answer(), answer("v2"), answer("v2"), answer("v3")))
    assert caught.value.headers == {"Retry-After": "1"}


def test_a_bound_that_is_not_known_is_left_out_and_that_is_said():
    told = asked(Scripted(answer(), answer(bounds=(np.nan, 3.0))))
    assert [output.name for output in told.outputs] == ["forecast", "upper"]
    assert told.parameters["warnings"] == "lower: left out, for the width of some window is not known"
