"""What is said in the Open Inference Protocol."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Parameters = dict[str, str | int | float | bool]
Shape = list[Annotated[int, Field(ge=-1)]]


class _Message(BaseModel):
    # The protocol lets either side say more than the other understands.
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class TensorFacts(_Message):
    """What a tensor looks like; -1 = any number."""

    name: str
    datatype: str
    shape: Shape


class Tensor(TensorFacts):
    """A tensor with its values, row after row, nested or flat."""

    shape: list[Annotated[int, Field(ge=0)]] = Field(max_length=8)
    parameters: dict[str, Any] | None = None
    data: list[Any]


class Output(_Message):
    """An output that is wanted."""

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(_Message):
    """Windows to forecast from."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "inputs": [
                        {
                            "name": "sequence",
                            "shape": [1, 2, 4],
                            "datatype": "FP64",
                            "data": [101.2, 99.8, 100.9, 1200000, 102.0, 100.1, 101.7, 980000],
                        }
                    ]
                }
            ]
        }
    )

    id: str | None = None
    parameters: dict[str, Any] | None = None
    inputs: list[Tensor] = Field(min_length=1)
    outputs: list[Output] | None = None


class InferResponse(_Message):
    """Forecasts."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: Parameters = Field(description="`level` of the intervals; `warnings` where there are any")
    outputs: list[Tensor]


class ServerFacts(_Message):
    """What answers here."""

    name: str
    version: str
    extensions: list[str]


class ModelFacts(_Message):
    """What the model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorFacts]
    outputs: list[TensorFacts]


class Live(_Message):
    """Whether the server answers."""

    live: bool


class Ready(_Message):
    """Whether forecasts are given."""

    ready: bool


class ModelReady(Ready):
    """Whether this model gives forecasts."""

    name: str


class Fault(_Message):
    """What is wrong: `error` as the protocol has it, `detail` as every route here does."""

    error: str
    detail: str
