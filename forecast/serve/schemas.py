"""What routes take and give, errors included; the Open Inference Protocol's messages are in v2.py."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from forecast.serve.monitoring.counters import Process
from forecast.serve.monitoring.drift import Drift
from forecast.serve.monitoring.outcomes import Skill
from forecast.serve.training_jobs import Comparison, Figures

_MEANING = {
    400: "The request cannot be answered as it is",
    401: "No key, or a wrong one, in the header X-API-Key",
    403: "Sent by a page of another site",
    404: "Nothing of that name here",
    405: "Not a method of this path",
    408: "The request did not arrive in time",
    409: "Not possible in the present state",
    413: "The request is too large",
    415: "The body is no JSON",
    422: "The body is not of the schema",
    429: "Too many requests in flight",
    500: "The server failed",
    502: "The source of market data failed",
    503: "Not ready",
    504: "Not answered in time",
}
UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "As it was, by If-None-Match"}}
_PATH = re.compile(r"(?<![\w:/.])/[^\s:;,'\"()]+")
_SIGN = r"[^\s\x00-\x1f\x7f]"
TICKER = re.compile(f"{_SIGN}{{1,32}}")
_ANY_ROUTE = (400, 401, 403, 408, 413, 429, 503, 504)

# Of a hundred thousand wrong numbers the first is named, and the others are not looked at.
Row = Annotated[list[float], Field(min_length=1, fail_fast=True)]
Rows = Annotated[list[Row], Field(fail_fast=True)]
Closes = Annotated[list[float], Field(fail_fast=True)]


def utc_text(moment: datetime) -> str:
    """ISO 8601 in UTC, ending in Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


Moment = Annotated[AwareDatetime, PlainSerializer(utc_text, return_type=str, when_used="json")]


class Answer(BaseModel):
    """What a route gives: nothing that is not described, and no NaN and no Infinity, for which JSON has no word."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())


class Problem(Answer):
    """What is wrong, and the way out."""

    detail: str


def finite(value: float | None) -> float | None:
    """None for what is no number: a bound whose width the run could not learn."""
    return None if value is None or not math.isfinite(value) else value


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that may end in these statuses, besides those that any route may end in."""
    return {
        status: {"model": Problem, "description": _MEANING[status]}
        for status in sorted({*_ANY_ROUTE, *statuses})
    }


def in_line(text: str, most: int = 200) -> str:
    """What a caller sent, fit to be repeated in an error: in one line, and not all of it."""
    return " ".join(text[:most].split())


def without_folders(text: str) -> str:
    """A text with names of files instead of absolute paths: where the server keeps its files is its own affair."""

    def name(found: re.Match[str]) -> str:
        path = Path(found.group())
        is_file = Path("/", *path.parts[1:2]).exists()  # and no path of a route
        return path.name if is_file else found.group()

    return _PATH.sub(name, text)


def validation_line(faults: Sequence[Any]) -> str:
    """One of pydantic's complaints about a body. Nothing of the body is repeated.

    Of the members of a union each has its own; that of the one which got furthest was meant.
    """
    furthest = max(faults, key=lambda fault: [part for part in fault["loc"] if isinstance(part, int)])
    # A member of a union that was tried is named by pydantic like list[float].
    parts = [str(part) for part in furthest["loc"] if not (isinstance(part, str) and "[" in part)]
    where = ".".join(parts[1:] if parts[:1] == ["body"] and len(parts) > 1 else parts) or "body"
    return f"{in_line(where)}: {furthest['msg']}"


class Infer(BaseModel):
    """A window of bars, oldest first."""

    # Numbers as text, true and false are refused. NaN and Infinity get a sentence of their own, further on.
    model_config = ConfigDict(strict=True, extra="forbid")

    sequence: Rows | Closes = Field(
        description="Rows of High, Low, Close and Volume as the source delivers them (with Open before them where the "
        "model looks at it; of several tickers side by side in the model's order), or closes alone"
    )
    ticker: str | None = Field(
        default=None,
        min_length=1,
        max_length=32,
        pattern=f"^{_SIGN}+$",
        description="Whose bars they are; by default the model's first",
    )


class Prediction(Answer):
    """The forecast of the bars that follow, in the units of the request."""

    prediction: float = Field(description="Of the next bar")
    timestamp: Moment = Field(description="When this was answered, UTC")
    latency_ms: float = Field(ge=0, description="From the arrival of the body to this answer")
    model_version: str
    target: str = Field(description="What is forecast, such as close")
    unit: str = Field(description="Of the forecast, such as price")
    forecast: list[float] | None = Field(default=None, description="Of all steps, where there are several")
    lower: float | list[float | None] | None = Field(
        default=None, description="A list where there are several steps"
    )
    upper: float | list[float | None] | None = None
    level: float | None = Field(default=None, description="Share of outcomes that lower to upper is to hold")
    warnings: list[str] | None = None


_DATE = "When the bar begins: YYYY-MM-DD; of a bar shorter than a day YYYY-MM-DDTHH:MMZ"


class ForecastDay(Answer):
    """A bar that follows the last one."""

    date: str = Field(description=_DATE)
    prediction: float = Field(description="In the unit of the target")
    lower: float | None = Field(description="null where the model has no interval")
    upper: float | None


class PastDay(Answer):
    """A bar that has been."""

    date: str = Field(description=_DATE)
    close: float


class LiveForecast(Answer):
    """What follows the latest bar."""

    ticker: str
    last_date: str = Field(description=_DATE)
    last_close: float
    forecast: list[ForecastDay]
    naive: float | None = Field(
        default=None,
        description="The forecast that needs no model, in the same unit; of a Close the last one",
    )
    target: str = Field(description="What is forecast, such as close")
    unit: str = Field(description="Of the forecast, such as price")
    level: float | None = Field(description="Share of outcomes that lower to upper is to hold")
    warnings: list[str]
    model_version: str
    timestamp: Moment = Field(description="When this was answered, UTC")
    latency_ms: float = Field(ge=0)
    history: list[PastDay] = Field(
        default=[], description="The bars before, oldest first, where they are asked for"
    )


class Ready(Answer):
    """The server answers requests."""

    status: Literal["ready"] = "ready"
    model_version: str


class Alive(Answer):
    """The process answers."""

    status: Literal["alive"] = "alive"


class About(Answer):
    """What answers here."""

    model_config = ConfigDict(title="Root")

    title: str
    description: str
    version: str = Field(description="Of the server; the model's own is in every answer")


class Composed(BaseModel):
    """The config of the served model; its other groups (source, objective, provenance, ...) stand beside these."""

    model_config = ConfigDict(extra="allow")

    metadata: dict[str, Any] = Field(description="How it became the champion, and which model it is")
    model: dict[str, Any]
    training: dict[str, Any] = Field(description="The node `trainer` of the config")
    data: dict[str, Any]


# POST /train, /champion/rollback


class Update(BaseModel):
    """What to retrain on."""

    model_config = ConfigDict(
        strict=True, extra="forbid", json_schema_extra={"examples": [{"period": "10y"}]}
    )

    period: str | None = Field(
        default=None,
        description="Of the bars, back from the latest: max, ytd, or a number with d, wk, mo, y; by default what "
        "the champion's config says. One too short to train on is named in the message, and the config's own used",
    )
    force_download: bool = Field(
        default=False, description="Fetch the whole history again, where the source keeps a cache"
    )


class Accepted(Answer):
    """A job that has begun."""

    job: str
    status_url: str


class Trained(Answer):
    """What came of a training."""

    status: Literal["success"] = "success"
    message: str
    metrics: Figures = Field(
        description="final_train_loss, final_val_loss, and those of the run's metrics.json"
    )
    model_path: str = Field(
        description="Folder of the model: of the champion where it was promoted, else of the run"
    )
    training_duration_seconds: float = Field(ge=0)
    job: str
    promoted: bool = Field(description="Whether it is the champion now, which is served from then on")
    comparison: Comparison | None = Field(description="None where none was made")


class Updated(Trained):
    """What came of a training on newer bars."""

    timestamp: AwareDatetime


class JobLog(Answer):
    """What a job printed, oldest first."""

    job: str
    lines: list[str]


class RolledBack(Answer):
    """The bundle now served."""

    status: Literal["success"] = "success"
    message: str
    model_version: str = Field(description="As answers name it from now on")
    model_path: str = Field(description="Folder of the champion now served")


# GET /monitor

Milliseconds = Annotated[float, Field(ge=0)] | None


class _Percentiles(Answer):
    p50_latency_ms: Milliseconds
    p95_latency_ms: Milliseconds
    p99_latency_ms: Milliseconds


class LastMinute(_Percentiles):
    """Forecasts from windows that were given, in the last 60 to 70 seconds."""

    inferences: int


class Route(Answer):
    """Requests of one kind since the start."""

    route: str
    method: str
    status: int
    requests: int
    avg_latency_ms: Milliseconds
    p99_latency_ms: Milliseconds


class Model(Answer):
    """Whose forecasts these are."""

    version: str
    directory: str
    tickers: list[str] = Field(description="at most 20 of those it was trained on")
    scope: Literal["single", "multiple", "panel"]
    lookback: int
    horizon: int
    loaded_at: AwareDatetime
    exported_at: AwareDatetime | None = Field(
        description="when it became the champion; null for a run that is none"
    )
    age_seconds: float = Field(ge=0, description="since it became the champion, or else since it was loaded")
    swaps: int = Field(description="models that took the place of another since the start")


class Outcomes(Answer):
    """What came of what was forecast."""

    model: Skill = Field(description="of the model that is served")
    all: Skill = Field(description="of all models that were")
    level: float | None = Field(description="what the coverage of the model's intervals should be")
    awaited: int = Field(description="steps forecast whose outcome is not known yet")


class Monitor(Answer):
    """Latency is that of POST /infer and of the protocol's infer, answered with 200, since the start."""

    status: Literal["healthy", "no model"]
    total_inferences: int
    avg_latency_ms: Milliseconds
    min_latency_ms: Milliseconds
    max_latency_ms: Milliseconds
    last_inference_timestamp: AwareDatetime | None
    p50_latency_ms: Milliseconds
    p95_latency_ms: Milliseconds
    p99_latency_ms: Milliseconds
    last_minute: LastMinute
    requests: int = Field(description="to any route, however they ended")
    errors: dict[str, int] = Field(description="requests that were refused or failed, by status")
    routes: list[Route]
    in_flight: int = Field(description="requests being answered, this one among them")
    queue: int = Field(description="windows that wait or are being computed")
    processes: list[Process]
    model: Model | None
    drift: Drift | None = Field(
        description="the 20 features that differ most; null without a model, or where its run kept no reference.json"
    )
    outcomes: Outcomes | None = Field(description="null without a model, or where they are not kept")


# GET /ui/...


class ModelCard(Answer):
    """The model that is served, and the verdict on it."""

    model_version: Annotated[str, Field(description="as answers name it")]
    subject: Annotated[str, Field(description="what was forecast, in one line")]
    target: Annotated[str, Field(description="what is forecast, such as close")]
    unit: Annotated[str, Field(description="of forecasts, such as price")]
    naive: Annotated[str, Field(description="the forecast that needs no model, in words")]
    kind: Annotated[str, Field(description="of model: the option that it was chosen by, or its class")]
    verdict: Annotated[str, Field(description="whether it beats tomorrow = today on test")]
    tone: Annotated[Literal["good", "bad", "open"], Field(description="the verdict in one word")]
    findings: Annotated[list[str], Field(description="what the tests, intervals and folds say")]
    warnings: Annotated[list[str], Field(description="suspicions: a leak, a copy of the last price")]
    table: Annotated[list[list[str]], Field(description="figures on val and test, header first")]
    legend: Annotated[list[str], Field(description="what the words of the table mean")]
    champion: Annotated[
        list[str], Field(description="how it was chosen; empty for a run that is no champion")
    ]
    scope: Annotated[Literal["single", "multiple", "panel"], Field(description="of its strategy")]
    tickers: Annotated[list[str], Field(description="it was trained on; of multiple, the first is forecast")]
    closes_alone: Annotated[bool, Field(description="whether a window may be closes and nothing else")]
    columns: Annotated[list[str], Field(description="of a row of `sequence`, in order")]
    lookback: Annotated[int, Field(ge=1, description="bars a window holds")]
    enough: Annotated[
        int | None, Field(description="bars that suffice for a window; null: give all there are")
    ]
    bar: Annotated[str, Field(description="what a bar spans: day, week, hour, 30-minute bar")]
    horizon: Annotated[int, Field(ge=1, description="bars forecast at once")]
    levels: Annotated[list[float], Field(description="nominal coverage of its intervals, 0 to 1")]
    adjust: Annotated[bool, Field(description="whether its prices were adjusted by Adj Close in training")]


class Record(Answer):
    """What the model forecast one day ahead on its newest test days, and what came; oldest first."""

    ticker: str
    dates: Annotated[
        list[str], Field(description="the bars being forecast, YYYY-MM-DD, or YYYY-MM-DDTHH:MMZ")
    ]
    actual: list[float | None]
    forecast: list[float | None]
    naive: Annotated[list[float | None], Field(description="the forecast that needs no model")]
    lower: Annotated[list[float | None], Field(description="empty without intervals")]
    upper: list[float | None]


class KeptChampion(Answer):
    """The champion, or one that was."""

    name: str
    current: bool
    in_line: bool = Field(description="whether it was never rolled back: a rollback goes along this line")
    promoted: AwareDatetime | None = Field(description="when it was made from its run")
    figure: str = Field(description="metric it was chosen by, and its value")
    label: str = Field(description='whether it is ahead of "tomorrow = today"')
    model: str = Field(description="the option that it was chosen by, or its class")
    target: str = Field(description="what it forecasts")
    tickers: str = Field(description="it was trained on, at most five of them")
    figures: dict[str, float | None] = Field(description="of its metrics, those that compare champions")


class Champions(Answer):
    """Newest first."""

    champions: list[KeptChampion]
    note: str | None = Field(description="why there are none to show")
