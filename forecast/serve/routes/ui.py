"""GET /ui: the page, and what only it asks for.

GET /ui/model      the served model, its verdict, and what a window for it looks like
GET /ui/record     what it forecast on its test days, and what came
GET /ui/champions  the champion and those kept from earlier
"""

from datetime import time as clock
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import AwareDatetime, Field

from forecast.errors import UserError
from forecast.files import read_json, shown_path
from forecast.serve.model_store import LoadedModel, ModelStore
from forecast.serve.page import page, page_response
from forecast.serve.routes.forecast import loaded_model
from forecast.serve.schemas import UNCHANGED, Answer, finite, problems

_TONES: dict[str, Literal["good", "bad"]] = {"beats": "good", "does not beat": "bad"}
# Metrics in which two champions are shown beside each other.
_COMPARED = ("rmse", "mae", "theil_u", "direction", "r2_oos", "qlike", "rmse_log", "log_loss", "brier", "skill_best",
             "naive_rmse", "coverage", "winkler", "sharpe")  # fmt: skip
_PRICES, _BOUNDS = ("actual", "forecast", "naive"), ("lower", "upper")


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


def router(*, store: ModelStore, champion: Path) -> APIRouter:
    """The routes of the page about what is served; `champion` is the link to the champion."""
    routes = APIRouter(tags=["page"])

    @routes.get("/ui", response_class=HTMLResponse, responses=problems() | UNCHANGED)
    async def ui(request: Request) -> Response:
        """The page: forecasts, the verdict, a window of one's own, champions, and how the server does."""
        return page_response(page(), request)

    @routes.get("/ui/model", responses=problems(404))
    async def model() -> ModelCard:
        """The model that is served, the verdict on it, and what a window for it looks like."""
        try:
            return await anyio.to_thread.run_sync(model_card, loaded_model(store))
        except UserError as error:
            raise HTTPException(404, detail=str(error)) from error

    @routes.get("/ui/record", responses=problems(404, 422))
    async def record(
        ticker: Annotated[str, Query(min_length=1, max_length=32, description="one the model forecast")],
        days: Annotated[int, Query(ge=1, le=2500, description="at most so many, the newest")] = 500,
    ) -> Record:
        """What the model forecast one day ahead on its test days, and what came."""
        read = partial(read_record, loaded_model(store).directory, ticker, days)
        try:
            return await anyio.to_thread.run_sync(read)
        except UserError as error:
            raise HTTPException(404, detail=str(error)) from error

    @routes.get("/ui/champions", responses=problems())
    async def champions() -> Champions:
        """The champion and those kept from earlier, with their figures."""
        return await anyio.to_thread.run_sync(list_champions, champion)

    return routes


def model_card(model: LoadedModel) -> ModelCard:
    """The card of a served model, from the files of its run.

    Raises:
        UserError: its directory is gone.
    """
    from forecast.champion.metadata import summary
    from forecast.data.features import warm_up
    from forecast.evaluate.verdict import Verdict

    predictor, metadata = model.predictor, model.metadata
    choices = model.config.get("provenance", {}).get("choices", {})
    try:
        evaluation = read_json(model.directory / "evaluation.json")
    except FileNotFoundError as error:
        raise UserError(f"{model.version}: its run directory is gone") from error
    verdict = Verdict(
        metrics=model.metrics,
        tickers=predictor.tickers if predictor.scope == "panel" else predictor.tickers[:1],
        strategy=str(choices.get("data") or model.config["data"]["scope"]),
        horizon=predictor.horizon,
        evaluation=evaluation,
        bar=next((market.label for market in predictor.markets.values()), "day"),
    )
    return ModelCard(
        model_version=model.version,
        subject=verdict.subject,
        target=predictor.target.name,
        unit=predictor.target.unit,
        naive=predictor.target.naive_name,
        kind=str(choices.get("model") or model.config["model"].get("_target_", "-").rpartition(".")[2]),
        verdict=verdict.sentence,
        tone=next((tone for start, tone in _TONES.items() if verdict.sentence.startswith(start)), "open"),
        findings=verdict.findings,
        warnings=verdict.warnings,
        table=verdict.cells,
        legend=verdict.legend,
        champion=[]
        if metadata is None
        else summary({**metadata, "run_directory": shown_path(metadata["run_directory"])}),
        closes_alone=predictor.scope != "multiple" and not {"High", "Low", "Volume"} & model.target_columns,
        scope=predictor.scope,
        tickers=predictor.tickers,
        columns=list(model.row_names),
        lookback=predictor.lookback,
        enough=None if warm_up(predictor.features) is None else model.rows_needed,
        bar=model.market.label,
        horizon=predictor.horizon,
        levels=list(predictor.levels),
        adjust=predictor.adjust,
    )


def read_record(directory: Path, ticker: str, days: int) -> Record:
    """One ticker's newest days of a run's forecast table; other tickers are passed over, not held in memory.

    Raises:
        UserError: no test day of such a ticker, or the run's directory is gone.
    """
    import pyarrow.parquet as pq

    path = directory / "forecasts.parquet"
    wanted = [("ticker", "==", ticker), ("split", "==", "test"), ("step", "==", 1)]
    try:
        bounds = [name for name in _BOUNDS if name in pq.read_schema(path).names]
        # one thread: the model has the others
        table = pq.read_table(path, columns=["date", *_PRICES, *bounds], filters=wanted, use_threads=False)
    except FileNotFoundError as error:
        raise UserError(f"{directory.name}: its run directory is gone") from error
    if not table.num_rows:
        raise UserError(f"{ticker}: the model has no test days of it")
    table = table.sort_by("date").slice(max(0, table.num_rows - days))
    columns = {
        name: [finite(value) for value in table[name].to_pylist()] if name in table.column_names else []
        for name in (*_PRICES, *_BOUNDS)
    }
    times = table["date"].cast("timestamp[us]").to_pylist()
    dates = [f"{time:%Y-%m-%d}" if time.time() == clock.min else f"{time:%Y-%m-%dT%H:%MZ}" for time in times]
    return Record(ticker=ticker, dates=dates, **columns)


def list_champions(link: Path) -> Champions:
    """Those of a link, newest first; one whose metadata cannot be read is left out."""
    from forecast.champion.metadata import read_metadata
    from forecast.champion.store import ChampionStore

    store = ChampionStore(link)
    try:
        current, lineage, folders = store.current, store.lineage, store.folders
    except UserError as error:
        return Champions(champions=[], note=str(error).replace(str(link), shown_path(link)))
    found = []
    for folder in reversed(folders):
        try:
            metadata = read_metadata(folder)
        except (OSError, ValueError):
            continue
        value, facts = metadata.get("metric_value"), _facts(folder)
        if facts is None:
            continue
        found.append(
            KeptChampion(
                name=folder.name,
                current=folder == current,
                in_line=folder.name in lineage,
                promoted=metadata.get("exported_at"),
                figure=f"{metadata.get('metric')} {'undefined' if value is None else f'{value:.6g}'}",
                label=str(metadata.get("label")),
                **facts,
            )
        )
    return Champions(champions=found, note=None if found else "there is no champion yet")


def _facts(folder: Path) -> dict[str, Any] | None:
    """What tells one champion from another; None where its files cannot be read."""
    from omegaconf import OmegaConf

    try:
        config = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"), resolve=False)
        metrics = read_json(folder / "metrics.json")
        trained = read_json(folder / "scaler.json")["tickers"]
    except (OSError, ValueError, KeyError):
        return None
    assert isinstance(config, dict)

    def name(node: str, default: str) -> str:
        return str((config.get(node) or {}).get("_target_", default)).rpartition(".")[2]

    choices = (config.get("provenance") or {}).get("choices") or {}
    return {
        "model": str(choices.get("model") or name("model", "-")),
        "target": name("target", "Close").lower(),
        "tickers": ", ".join(trained[:5]) + (", ..." if len(trained) > 5 else ""),
        "figures": {
            f"{split}_{metric}": metrics[f"{split}_{metric}"]
            for split in ("val", "test")
            for metric in _COMPARED
            if f"{split}_{metric}" in metrics
        },
    }
