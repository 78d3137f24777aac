"""Train a run's config again, compare the result with the champion, and decide whether it is promoted.

Done behind the server (training_process.py) and by `python -m forecast.update`. Whatever fails leaves the champion.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.errors import SourceError, UserError
from forecast.files import read_json
from forecast.serve.allowlist import ALLOWED, check_built, check_targets
from forecast.serve.training_jobs import RUN, Comparison, JobState

if TYPE_CHECKING:
    import pandas as pd
    from omegaconf import DictConfig

    from forecast.data.target import Target

log = logging.getLogger(__name__)

SPLIT = "val"  # the test split is opened once, and never to choose
_DEFAULT_METRIC = ("val_rmse", "min")
_SAVE_S = 0.5  # between two notes of how far a job got
_SAME_BARS = 1e-5  # share by which two readings of one Close may differ
# Their classes do nothing when they are built, but are named in ALLOWED by the package they are imported from.
_BY_NAME = ("tracker", "champion")
_BUILT = ("source", "data", "target", "model", "trainer", "evaluation", "baselines", "intervals")


def train(state: JobState, folder: Path, *, champion: Path, allow: list[str]) -> None:
    """Run a training job, and promote its run where nothing forbids that; the job's state shows how far it got.

    Raises:
        UserError: the config, the data or the disk does not allow the training; the champion is as it was.
        NotPromotedError: it was trained, and then something failed.
    """
    from forecast.pipeline import RunHooks, run

    bundle, directory = Path(state.bundle), folder / RUN
    config, notes = training_config(bundle, allow=allow), list[str]()
    if state.kind == "update":
        state.note(folder, phase="fetching")
        config, notes = _updated(config, bundle, state.period, state.force_download, allow)
    state.note(folder, phase="training")
    walks = "folds" in (config.get("evaluation") or {})
    max_epochs = None if walks else int(config.trainer.get("max_epochs") or 0) or None
    saved = 0.0

    def on_epoch(epoch: int, metrics: dict[str, float]) -> None:
        nonlocal saved
        figures = {name: float(value) if math.isfinite(value) else None for name, value in metrics.items()}
        state.progress = {"fold" if walks else "epoch": epoch + 1, "max_epochs": max_epochs, **figures}
        if time.monotonic() - saved > _SAVE_S:
            state.note(folder)
            saved = time.monotonic()

    # The champion's plots are drawn when it is promoted.
    hooks = RunHooks(on_epoch=on_epoch, tags=lambda _: {"started_by": _by(state)}, draw_plots=False)
    metrics = dict(run(config, directory, hooks).metrics)
    state.note(folder, phase="comparing", metrics=metrics, model_path=str(directory))
    try:
        promoted, message = _decide(state, folder, config, champion)
    except UserError as error:  # the request was all right
        raise NotPromotedError(f"trained, but not promoted: {error}") from error
    state.end("promoted" if promoted else "kept", "; ".join([message, *notes]))


def _by(state: JobState) -> str:
    return f"{state.by}, {state.kind} {state.job}"


class NotPromotedError(UserError):
    """A run was made, and then something failed."""


def training_config(directory: Path, *overrides: str, allow: list[str]) -> DictConfig:
    """The task config of a run, checked, without what ties it to the bars it was made with.

    Raises:
        UserError: not a whole run, a target that is not allowed, or a value against its rule.
    """
    from omegaconf import OmegaConf

    from forecast import bundle
    from forecast.config import check, compose_saved, resolved

    bundle.verify(directory)
    raw = OmegaConf.to_container(OmegaConf.load(directory / "config.yaml"), resolve=False)
    assert isinstance(raw, dict)
    where = str(directory)
    check_targets({str(name): node for name, node in raw.items()}, where=where, also=allow)
    config = compose_saved(directory, *overrides)
    tree = resolved(config)
    for name in (*_BUILT, *_BY_NAME):
        if name in _BUILT or (tree.get(name) or {}).get("_target_") not in (None, *ALLOWED):
            check_built({name: tree.get(name)}, where=where, also=allow)
    check(config)
    if config.get("provenance") is not None:
        config.provenance.data_request = None  # other bars than the saved run's are what it is for
    return config


def newer_bars(config: DictConfig, *, period: str | None) -> list[str]:
    """Overrides that have a config take all the bars there are by now; without a period, from where the run began.

    Raises:
        UserError: not a period.
    """
    from forecast.data.bars import DateRange

    wanted: dict[str, str | None] = {"end": None}
    if period is not None:
        DateRange(period=period, start=None, end=None)
        wanted |= {"period": period, "start": None}
    return [
        f"data.{name}={value or 'null'}" for name, value in wanted.items() if config.data.get(name) != value
    ]


def downloading(config: DictConfig) -> DictConfig:
    """The `source` node of a config, set to fetch everything anew where it keeps a cache.

    Raises:
        UserError: it must not ask for anything.
    """
    import copy

    source: DictConfig = copy.deepcopy(config.source)
    if "force_download" not in source:
        return source  # it reads its bars anew each time
    if source.get("offline"):
        raise UserError(
            "force_download: the served model's config says source.offline=true; leave force_download out"
        )
    source.force_download = True
    return source


def compare(candidate: Path, champion: Path) -> Comparison | str:
    """Compare a run with the champion, on the run's validation rows.

    The rows are those later than the champion's own training days; where there are none, all of them. The champion
    forecasts them from the same bars, with its own features and lookback. A text says why there is no comparison.

    Raises:
        UserError: one of them is not whole, or the bars cannot be had again.
    """
    asked, held = _question(candidate), _question(champion)
    if differing := [name for name in asked if asked[name] != held[name]]:
        shown = ", ".join(f"{name} {asked[name]} instead of {held[name]}" for name in differing)
        return f"it forecasts something else than the champion {champion.name}: {shown}"
    folds = _read_json(champion / "evaluation.json")["folds"]
    rows = _validation_rows(candidate, since=max(fold["train"][1] for fold in folds if fold["refit"]))
    both = rows.merge(_forecasts_of(champion, candidate, rows), on=["ticker", "date", "step"])
    if both.empty:
        return f"the champion {champion.name} forecasts none of its {len(rows):,} validation rows"
    if ((both["naive"] - both["close"]).abs() > _SAME_BARS * both["naive"].abs()).any():
        return "the bars changed while it was trained; ask again"
    objective = _config(champion).get("objective") or {}
    metric, mode = str(objective.get("metric")), str(objective.get("mode"))
    names = _target(_config(candidate)).metrics
    figures = [
        _metrics(both.assign(forecast=both[column]), names=names, horizon=asked["horizon"])
        for column in ("forecast", "champion")
    ]
    if metric not in figures[0]:
        metric, mode = _DEFAULT_METRIC
    return Comparison.of(
        metric=metric,
        mode="max" if mode == "max" else "min",
        newcomer=figures[0][metric],
        champion=figures[1][metric],
        naive_rmse=figures[0][f"{SPLIT}_naive_rmse"],
        rows=len(both),
        first_day=f"{both['date'].min():%Y-%m-%d}",
        last_day=f"{both['date'].max():%Y-%m-%d}",
    )


def _updated(
    config: DictConfig, bundle: Path, period: str | None, force_download: bool, allow: list[str]
) -> tuple[DictConfig, list[str]]:
    """The config for newer bars, which are fetched; and what is to be said of them."""
    from forecast.runlog import logged

    updated = training_config(bundle, *newer_bars(config, period=period), allow=allow)
    with logged():
        _fetch(updated, anew=force_download)
        if period is None or (short := _too_short(updated)) is None:
            return updated, []
    log.warning("%s", short)
    whole = training_config(bundle, *newer_bars(config, period=None), allow=allow)
    return whole, [
        f"trained on the champion's own period, brought up to date, because period={period} ({short})"
    ]


def _fetch(config: DictConfig, *, anew: bool) -> None:
    """Have a source that keeps a cache fetch newer bars now.

    Raises:
        SourceError: it has none, or no newer ones.
    """
    from forecast.config import build
    from forecast.data.bars import CachingSource

    source = build(downloading(config) if anew else config.source)
    if not isinstance(source, CachingSource):
        return
    for ticker in build(config.data, source=source, target=build(config.get("target"))).tickers:
        source.bars(ticker)
        if (reason := source.stand_in(ticker)) is not None:
            raise SourceError(f"{ticker}: {reason}; there is nothing newer to train on")


def _too_short(config: DictConfig) -> str | None:
    """Why the bars of a config cannot be trained, validated and tested on; None if they can.

    Raises:
        UserError: they cannot be had at all.
    """
    from forecast.config import build
    from forecast.evaluate.folds import Holdout

    data = build(config.data, source=build(config.source), target=build(config.get("target")))
    data.load()
    evaluation = build(config.get("evaluation")) or Holdout()
    try:
        for fold in evaluation.folds(data):
            data.split(fold.ranges)
    except UserError as error:
        return str(error)
    return None


def _decide(state: JobState, folder: Path, config: DictConfig, link: Path) -> tuple[bool, str]:
    """Promote a job's run unless a rule forbids it; whether it was promoted, and why.

    Raises:
        UserError: the champion is damaged, or the disk does not take another.
    """
    from forecast.champion import ChampionChangedError, ChampionConfig, promote, registry_of
    from forecast.champion.candidate import from_directory
    from forecast.champion.promotion import check_rules, refuse
    from forecast.champion.store import ChampionStore
    from forecast.config import build

    directory, started_from = folder / RUN, None if state.champion is None else Path(state.champion)
    # The champion's place here, with the rules of the config.
    rules: Any = config.get("champion")
    registry, run = None if rules is None else registry_of(config), from_directory(directory)

    def rejected(reason: str) -> tuple[bool, str]:
        refuse(ChampionStore(link, by=_by(state), why=reason), registry, run, directory)
        return False, f"not promoted: {reason}"

    place = ChampionConfig(directory=str(link)) if rules is None else build(rules, directory=str(link))
    if state.metrics.get(str(config.objective.metric)) is None:
        return rejected(f"its {config.objective.metric} is undefined")
    try:
        check_rules(directory, run, place)
        _ = ChampionStore(link).current  # one that was put there by hand is not replaced
    except UserError as error:
        return rejected(str(error))
    if started_from is None:
        return rejected(
            f"there was no champion to compare it with; python -m forecast.champion export {directory} makes it "
            "the champion"
        )
    if not link.exists() or link.resolve() != started_from:
        return rejected(f"{started_from.name} was the champion when this began, and no longer is")
    compared = compare(directory, started_from)
    if isinstance(compared, str):
        return rejected(compared)
    state.comparison = compared
    if not compared.holds:
        return rejected(compared.text)
    if compared.is_equal and _bars_of(directory) == _bars_of(started_from):
        return rejected(f"the same model came out again: {started_from.name} stays: {compared.text}")
    state.note(folder, phase="promoting")
    try:
        promotion = promote(
            directory,
            champion=place,
            registry=registry,
            progress=log.info,
            replacing=started_from,
            by=_by(state),
            why=compared.text,
        )
    except ChampionChangedError as error:
        return rejected(str(error))
    for line in promotion.notes:
        log.info("%s", line)
    name, state.model_path = promotion.folder.name, str(promotion.folder)
    became = f"promoted as {name}" if promotion.changed else f"the same model came out again: {name} stays"
    return promotion.changed, f"{became}: {compared.text}"


def _question(directory: Path) -> dict[str, Any]:
    """What a run forecasts."""
    from forecast.serve.monitoring.monitoring import measure_of

    facts, config = _read_json(directory / "scaler.json"), _config(directory)
    return {
        "target": measure_of(_target(config)),
        "interval": str(config.data.get("resample") or config.data.get("interval", "1d")),
        "tickers": sorted(facts["tickers"]) if facts["scope"] == "panel" else facts["tickers"][:1],
        "horizon": int(facts.get("horizon", facts["output_size"])),
    }


def _bars_of(directory: Path) -> str | None:
    """Names the bars that a run was made with."""
    found = (_config(directory).get("provenance") or {}).get("data_fingerprint")
    return None if found is None else str(found)


def _target(config: DictConfig) -> Target:
    """What a run forecasts; of an earlier version the Close."""
    from forecast.config import build
    from forecast.data.target import Close

    found: Target | None = build(config.get("target"))
    return found or Close()


def _validation_rows(candidate: Path, *, since: str) -> pd.DataFrame:
    """Validation rows of a run after a day, all of them where none is: ticker, date, step, actual, forecast, naive."""
    import pandas as pd

    columns = ["ticker", "date", "step", "actual", "forecast", "naive"]
    rows = pd.read_parquet(candidate / "forecasts.parquet", filters=[("split", "==", SPLIT)], columns=columns)
    rows = rows.drop_duplicates(["ticker", "date", "step"], keep="last")  # folds of a walk may overlap
    newer = rows[rows["date"] > pd.Timestamp(since)]
    return rows if newer.empty else newer


def _forecasts_of(champion: Path, candidate: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """What a champion forecasts of the days of some rows: ticker, date, step, champion, close."""
    import pandas as pd

    from forecast import bundle
    from forecast.config import build
    from forecast.data.reader import BarReader
    from forecast.data.timing import Bars
    from forecast.model.building import build_covariates

    predictor = bundle.load(champion)
    config, lead = _config(candidate), predictor.target.lead
    covariates = build_covariates(_config(champion), lead=lead, horizon=predictor.horizon)
    predictor.check_covariates(covariates.columns)
    source, health = build(config.source), build(config.data.get("health"))
    first = rows["date"].min()
    reader = BarReader.of(config.data, source=source, health=health, until_now=True)
    tables: dict[str, pd.DataFrame] = {}
    markets: dict[str, Bars] = {}
    for ticker in predictor.tickers:
        whole = source.bars(ticker)
        judged = reader.prepare(ticker, whole, whole)
        bars, markets[ticker] = judged.table, judged.bars
        if predictor.enough is not None:  # what lies further back changes nothing
            needed = int(bars.index.searchsorted(first)) - predictor.enough - predictor.horizon - lead
            bars = bars.iloc[max(0, needed) :]
        if predictor.covariates_of(ticker):
            bars = covariates.attach(ticker, bars, bars=markets[ticker], source=source)
        tables[ticker] = bars
    if predictor.scope == "multiple":  # they stand on their common dates
        common = sorted(set.intersection(*(set(bars.index) for bars in tables.values())))
        tables = {ticker: bars.loc[common] for ticker, bars in tables.items()}
    found = predictor.with_markets(markets).predict(tables, every=True)
    pieces = []
    for ticker, bars in tables.items():
        own = found[found["ticker"] == ticker]
        ahead = bars.index.get_indexer(pd.Index(own["origin"])) + own["step"].to_numpy() + lead
        own = own[ahead < len(bars)]
        pieces.append(own.assign(date=bars.index[ahead[ahead < len(bars)]]))
    dated = pd.concat(pieces).rename(columns={"forecast": "champion", "naive": "close"})
    dated["date"] = dated["date"].astype(rows["date"].dtype)
    columns = ["ticker", "date", "step", "champion", "close"]
    return pd.DataFrame(dated, columns=columns)


def _metrics(rows: pd.DataFrame, *, names: Sequence[str] | None, horizon: int) -> dict[str, float | None]:
    """Figures of rows as a run's own, `val_rmse` and so on."""
    from dataclasses import replace

    from forecast.evaluate.metrics import Metrics
    from forecast.evaluate.table import from_frame

    table = from_frame(rows.assign(split=SPLIT), split=SPLIT, scale_from=SPLIT)
    return Metrics(names=names).of(replace(table, horizon=horizon))


def _config(directory: Path) -> DictConfig:
    from omegaconf import DictConfig, OmegaConf

    config = OmegaConf.load(directory / "config.yaml")
    assert isinstance(config, DictConfig)
    return config


def _read_json(path: Path) -> Any:
    try:
        return read_json(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
