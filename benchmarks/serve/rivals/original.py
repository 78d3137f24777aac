"""The usual tutorial's way, and the original project's: FastAPI, a sync handler, the network run eagerly on one window.

In its favour: no access log, no check of what it is sent beyond its shape, and one torch thread in each of its 40
handlers' threads, which the environment must say (OMP_NUM_THREADS=1): torch.set_num_threads holds in one thread alone.
"""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from benchmarks.serve.rivals.eager import price
from forecast import bundle

predictor = bundle.load(Path(sys.argv[1]))
forecaster, lookback = predictor.forecaster, predictor.lookback
app = FastAPI()
spent: list[float] = []


class Question(BaseModel):
    """A window, oldest row first."""

    sequence: list[list[float]]


class Answer(BaseModel):
    """What comes next."""

    prediction: float
    timestamp: str
    latency_ms: float


@app.post("/infer")
def infer(question: Question) -> Answer:
    """One window, one forward."""
    began = time.perf_counter()
    if len(question.sequence) != lookback:
        raise HTTPException(400, f"expected {lookback} rows")
    window = torch.tensor(question.sequence, dtype=torch.float32)[None]  # (1, L, C)
    with torch.no_grad():
        told = price(forecaster, window).item()
    ms = 1000 * (time.perf_counter() - began)
    spent.append(ms)
    return Answer(prediction=told, timestamp=datetime.now(UTC).isoformat(), latency_ms=ms)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
