"""A request in the Open Inference Protocol, answered by the engine that answers all others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
from fastapi import HTTPException

from forecast.errors import UserError
from forecast.serve.v2 import tensors
from forecast.serve.v2.messages import InferRequest, InferResponse, ModelFacts, Tensor, TensorFacts
from forecast.serve.windows import DELIVERED, Window, fitted

if TYPE_CHECKING:
    from forecast.serve.api import Answer
    from forecast.serve.engines import Engine
    from forecast.serve.served import Served

MODEL = "champion"
PLATFORM = "forecast_pytorch"
# A request has one answer; larger batches would only hold up those of others.
MOST_WINDOWS = 256
# Handed to the engine at once, so that others get their turn in between.
_TOGETHER = 32


def facts(served: Served) -> ModelFacts:
    """What the model takes and gives.

    Args:
        served: the model.
    """
    predictor = served.predictor
    width = len(DELIVERED) * (len(predictor.tickers) if predictor.scope == "multiple" else 1)
    bounds = ["lower", "upper"] if predictor.levels else []
    return ModelFacts(
        name=MODEL,
        versions=[served.version],
        platform=PLATFORM,
        inputs=[TensorFacts(name="sequence", datatype="FP64", shape=[-1, -1, width])],
        outputs=[
            TensorFacts(name=name, datatype="FP64", shape=[-1, predictor.horizon])
            for name in ("forecast", *bounds)
        ],
    )


async def infer(request: InferRequest, served: Served, engine: Engine) -> InferResponse:
    """Forecast from every window of a request.

    Args:
        request: tensor `sequence` (batch, rows, columns) of bars, or of closes where it has one column; and, where
            it matters whose bars they are, tensor `ticker` (batch,).
        served: the model they are held against.
        engine: that answers.

    Raises:
        HTTPException: 400 the request is none for this model, 503 it was replaced again and again meanwhile, or what
            the engine raises.
    """
    try:
        wanted = _wanted(request, served)
        windows = await _windows(request, served)
    except UserError as error:
        raise HTTPException(400, str(error)) from error
    answers = await _answers(windows, engine)
    if len({answer.version for answer in answers}) > 1:  # the model was replaced in between
        answers = await _answers(windows, engine)
    if len({answer.version for answer in answers}) > 1:
        raise HTTPException(503, "the model is being replaced; ask again", headers={"Retry-After": "1"})
    for place, answer in enumerate(answers):
        if answer.problem is not None:
            raise HTTPException(400, f"window {place + 1}: {answer.problem}")
    return _told(request, answers, wanted)


async def _windows(request: InferRequest, served: Served) -> list[Window]:
    given = {}
    for tensor in request.inputs:
        if tensor.name not in ("sequence", "ticker") or tensor.name in given:
            again = " again" if tensor.name in given else ""
            raise UserError(f"inputs: {tensor.name!r}{again}; expected sequence, and ticker where it matters")
        given[tensor.name] = tensor
    if "sequence" not in given:
        raise UserError("inputs: no sequence; expected it with shape [batch, rows, columns]")
    sequence = given["sequence"]
    if len(sequence.shape) != 3:
        raise UserError(f"sequence: shape is {sequence.shape}; expected [batch, rows, columns]")
    count = sequence.shape[0]
    if not 1 <= count <= MOST_WINDOWS:
        raise UserError(f"sequence: a batch of {count} windows; expected 1 to {MOST_WINDOWS}")
    values = tensors.numbers(sequence)
    tickers: list[str] | list[None] = [None] * count
    if "ticker" in given:
        tickers = tensors.texts(given["ticker"])
        if len(tickers) != count:
            raise UserError(f"ticker: {len(tickers)} names for {count} windows; expected one for each")
    windows = []
    for place, (rows, ticker) in enumerate(zip(values, tickers, strict=True)):
        try:
            windows.append(fitted(rows[:, 0] if rows.shape[1] == 1 else rows, ticker, served))
        except UserError as error:
            raise UserError(f"window {place + 1}: {error}" if count > 1 else str(error)) from error
        if place % _TOGETHER == 0:
            await asyncio.sleep(0)
    return windows


async def _answers(windows: list[Window], engine: Engine) -> list[Answer]:
    answers: list[Answer] = []
    for start in range(0, len(windows), _TOGETHER):
        some = windows[start : start + _TOGETHER]
        answers += await asyncio.gather(*(engine.answer(window) for window in some))
    return answers


def _wanted(request: InferRequest, served: Served) -> set[str]:
    """Names of the outputs to give."""
    known = [output.name for output in facts(served).outputs]
    if not request.outputs:
        return set(known)
    wanted = {output.name for output in request.outputs}
    if strange := sorted(wanted - set(known)):
        raise UserError(f"outputs: {', '.join(map(repr, strange))}; expected of {', '.join(known)}")
    return wanted


def _told(request: InferRequest, answers: list[Answer], wanted: set[str]) -> InferResponse:
    outputs: list[Tensor] = []
    if "forecast" in wanted:
        outputs.append(tensors.tensor("forecast", np.stack([answer.forecast for answer in answers])))
    warnings = list(dict.fromkeys(warning for answer in answers for warning in answer.warnings))
    bounds = [answer.bounds for answer in answers if answer.bounds is not None]
    if len(bounds) == len(answers):
        for name, side in zip(("lower", "upper"), np.stack(bounds, axis=1), strict=True):  # (B, h) each
            if name in wanted and np.isfinite(side).all():
                outputs.append(tensors.tensor(name, side))
            elif name in wanted:
                warnings.append(f"{name}: left out, for the width of some window is not known")
    parameters: dict[str, str | int | float | bool] = {}
    if (level := answers[0].level) is not None:
        parameters["level"] = level
    if warnings:
        parameters["warnings"] = "; ".join(warnings)
    return InferResponse(
        model_name=MODEL,
        model_version=answers[0].version,
        id=request.id,
        parameters=parameters,
        outputs=outputs,
    )
