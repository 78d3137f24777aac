"""FastAPI that computes nothing: what HTTP and JSON in Python cost by themselves."""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Question(BaseModel):
    """A window, oldest row first."""

    sequence: list[list[float]]


@app.post("/infer")
async def infer(question: Question) -> dict[str, float]:
    """Always the same."""
    return {"prediction": float(len(question.sequence))}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
