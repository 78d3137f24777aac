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

from forecast.errors import UserError
from forecast.files import read_json, shown_path
from forecast.serve.model_store import LoadedModel, ModelStore
from forecast.serve.page import page, page_response
from forecast.serve.routes.forecast import loaded_model
from forecast.serve.schemas import UNCHANGED, Champions, KeptChampion, ModelCard, Record, finite, problems

_TONES: dict[str, Literal["good", "bad"]] = {"beats": "good", "does not beat": "bad"}
# Metrics in which two champions are shown beside each other.
_COMPARED = ("rmse", "mae", "theil_u", "direction", "r2_oos", "qlike", "rmse_log", "log_loss", "brier", "skill_best",
             "naive_rmse", "coverage", "winkler", "sharpe")  # fmt: skip
_PRICES, _BOUNDS = ("actual", "forecast", "naive"), ("lower", "upper")


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
