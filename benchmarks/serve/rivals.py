"""Other ways to serve a run directory: python -m benchmarks.serve.rivals NAME DIRECTORY PORT, of NAME one of

original   the usual tutorial's way, and the original project's: FastAPI, a sync handler, the network run eagerly on one
           window; in its favour no access log, no check of what it is sent beyond its shape, and one torch thread
litserve   LitServe as its README has it: a LitAPI of four methods, defaults for everything else
starlette  the least there can be: an async route, JSON, the network alone; no check, no interval, nothing counted
nothing    FastAPI that computes nothing: what HTTP and JSON in Python cost by themselves
"""

import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import litserve
import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from pydantic_core import from_json, to_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from torch import Tensor, nn

from forecast import bundle
from forecast.model.layers import Recurrent
from forecast.model.neural import NetworkForecaster


def price(forecaster: NetworkForecaster, windows: Tensor) -> Tensor:
    """(B, L, C) raw rows -> (B, 1) prices."""
    recurrent, head = cast(nn.Sequential, forecaster.network)
    normaliser = forecaster.fitted
    assert isinstance(recurrent, Recurrent)
    inputs = normaliser.inputs(windows)  # (B, L, F)
    steps, _ = recurrent.cell(inputs.transpose(0, 1))  # -> (L, B, W)
    answers: Tensor = head(steps[-1])
    linear = forecaster.start(inputs)  # the map that the network started from
    return normaliser.values(windows, answers if linear is None else answers + linear)


class Question(BaseModel):
    """A window, oldest row first."""

    sequence: list[list[float]]


class Answer(BaseModel):
    """What comes next."""

    prediction: float
    timestamp: str
    latency_ms: float


def original(directory: Path, port: int) -> None:
    """A sync handler that runs the network on one window."""
    predictor = bundle.load(directory)
    forecaster, lookback = predictor.forecaster, predictor.lookback
    app = FastAPI()
    spent: list[float] = []

    @app.post("/infer")
    def infer(question: Question) -> Answer:
        """One window, one forward."""
        began = time.perf_counter()
        if len(question.sequence) != lookback:
            raise HTTPException(400, f"expected {lookback} rows")
        window = torch.tensor(question.sequence, dtype=torch.float32)[None]  # (1, L, C)
        with torch.no_grad():
            value = price(forecaster, window).item()
        ms = 1000 * (time.perf_counter() - began)
        spent.append(ms)
        return Answer(prediction=value, timestamp=datetime.now(UTC).isoformat(), latency_ms=ms)

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


def starlette(directory: Path, port: int) -> None:
    """An async route that runs the network on one window, and nothing besides."""
    forecaster = bundle.load(directory).forecaster

    async def infer(request: Request) -> Response:
        window = np.asarray(from_json(await request.body())["sequence"], np.float32)[None]  # (1, L, C)
        with torch.inference_mode():
            value = price(forecaster, torch.from_numpy(window)).item()
        return Response(to_json({"prediction": value}), media_type="application/json")

    app = Starlette(routes=[Route("/infer", infer, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


def nothing(_: Path, port: int) -> None:
    """Always the same."""
    app = FastAPI()

    @app.post("/infer")
    async def infer(question: Question) -> dict[str, float]:
        return {"prediction": float(len(question.sequence))}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


class Forecasts(litserve.LitAPI):
    """One window, one forward, in LitServe's worker process."""

    def setup(self, device: str) -> None:  # noqa: ARG002  LitServe's
        """Load the run once a worker."""
        torch.set_num_threads(1)
        self.forecaster = bundle.load(Path(sys.argv[2])).forecaster

    def decode_request(self, request: dict[str, Any]) -> torch.Tensor:
        """(1, L, C) raw rows."""
        return torch.from_numpy(np.asarray(request["sequence"], np.float32)[None])

    @torch.inference_mode()
    def predict(self, window: torch.Tensor) -> float:
        """The price that comes next."""
        return float(price(self.forecaster, window).item())

    def encode_response(self, value: float) -> dict[str, float]:
        """As our answers name it."""
        return {"prediction": value}


def stock_litserve(_: Path, port: int) -> None:
    """LitServe's own server."""
    # LitServe leaves its workers behind when it is told to end in any other way.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = litserve.LitServer(Forecasts(api_path="/infer"), accelerator="cpu")
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    ways = {"original": original, "litserve": stock_litserve, "starlette": starlette, "nothing": nothing}
    ways[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
