"""What POST /infer takes and gives."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

# Of a hundred thousand wrong numbers the first is named, and the others are not looked at.
Row = Annotated[list[float], Field(min_length=1, fail_fast=True)]
Rows = Annotated[list[Row], Field(fail_fast=True)]
Closes = Annotated[list[float], Field(fail_fast=True)]


class Infer(BaseModel):
    """A window of bars, oldest first."""

    # Numbers as text, true and false are refused. NaN and Infinity get a sentence of their own, further on.
    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [{"sequence": [[101.2, 99.8, 100.9, 1200000.0], [102.0, 100.1, 101.7, 980000.0]]}]
        },
    )

    sequence: Rows | Closes = Field(
        description="Rows of High, Low, Close and Volume as the source delivers them (of several tickers side by "
        "side in the model's order), or closes alone"
    )
    ticker: str | None = Field(
        default=None,
        min_length=1,
        max_length=32,
        pattern=r"^[^\s\x00-\x1f\x7f]+$",
        description="Whose bars they are; by default the model's first",
    )


class Prediction(BaseModel):
    """The forecast of the bars that follow, in the units of the request."""

    model_config = ConfigDict(extra="forbid")

    prediction: float = Field(description="Close of the next bar")
    timestamp: AwareDatetime = Field(description="When this was answered, UTC")
    latency_ms: float = Field(ge=0, description="From the arrival of the body to this answer")
    model_version: str
    forecast: list[float] | None = Field(
        default=None, description="Closes of all steps, where there are several"
    )
    lower: float | list[float | None] | None = Field(
        default=None, description="A list where there are several steps"
    )
    upper: float | list[float | None] | None = None
    level: float | None = Field(default=None, description="Share of outcomes that lower to upper is to hold")
    warnings: list[str] | None = None


def strict_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a body that is read by hand, for the OpenAPI document."""
    return {"content": {"application/json": {"schema": model.model_json_schema()}}, "required": True}
