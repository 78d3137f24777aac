"""What the page's own routes answer."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Answer(BaseModel):
    # no NaN and no Infinity: JSON has none
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())


class ModelCard(_Answer):
    """The model that is served, and the verdict on it."""

    model_version: Annotated[str, Field(description="as answers name it")]
    subject: Annotated[str, Field(description="what was forecast, in one line")]
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
    columns: Annotated[list[str], Field(description="of a row of `sequence`, in order")]
    lookback: Annotated[int, Field(ge=1, description="bars a window holds")]
    enough: Annotated[
        int | None, Field(description="bars that suffice for a window; null: give all there are")
    ]
    horizon: Annotated[int, Field(ge=1, description="bars forecast at once")]
    levels: Annotated[list[float], Field(description="nominal coverage of its intervals, 0 to 1")]
    adjust: Annotated[bool, Field(description="whether its prices were adjusted by Adj Close in training")]


class Record(_Answer):
    """What the model said one day ahead on its newest test days, and what came; oldest first."""

    ticker: str
    dates: Annotated[list[str], Field(description="the days being forecast, YYYY-MM-DD")]
    actual: list[float | None]
    forecast: list[float | None]
    naive: Annotated[list[float | None], Field(description="the Close of the day before")]
    lower: Annotated[list[float | None], Field(description="empty without intervals")]
    upper: list[float | None]
