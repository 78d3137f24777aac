"""Train a run's config again, hold the result against the champion, and promote it or not.

Done behind the server (training_process.py) and by `python -m forecast.update`. Whatever fails leaves the champion.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from forecast.errors import SourceError, UserError
from forecast.serve.allowlist import ALLOWED, check_built, check_targets

if TYPE_CHECKING:
    import pandas as pd
    from omegaconf import DictConfig

    from forecast.champion import ChampionConfig

log = logging.getLogger(__name__)

SPLIT = "val"  # the test split is opened once, and never to choose
_DEFAULT_METRIC = ("val_rmse", "min")
_SAME_BARS = 1e-5  # share by which two readings of one Close may differ
# Their classes do nothing when they are built, but are named in ALLOWED by the package they are imported from.
_BY_NAME = ("tracker", "champion")
_BUILT = ("source", "data", "target", "model", "trainer", "evaluation", "baselines", "intervals")

Progress = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A candidate and the champion on the same validation rows.

    Args:
        metric: of validation, the one the champion was trained by.
        mode: `min` or `max`.
        newcomer: the candidate's figure.
        champion: the other's.
        naive_rmse: of "tomorrow = today" there, in price units.
        rows: forecasts compared.
        first_day: of them, YYYY-MM-DD.
        last_day: likewise.
    """

    metric: str
    mode: Literal["min", "max"]
    newcomer: float | None
    champion: float | None
    naive_rmse: float | None
    rows: int
    first_day: str
    last_day: str

    @property
    def holds(self) -> bool:
        """Whether the candidate does no worse."""
        if self.newcomer is None or self.champion is None:
            return self.champion is None
        return self.newcomer <= self.champion if self.mode == "min" else self.newcomer >= self.champion

    @property
    def text(self) -> str:
        """Both figures, and whose they are."""
        newcomer, champion = (
            "undefined" if value is None else f"{value:.6g}" for value in (self.newcomer, self.champion)
        )
        return (
            f"{self.metric} of the new model {newcomer}, of the champion {champion}, on the same {self.rows:,} "
            f"validation rows, {self.first_day} to {self.last_day}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "text": self.text}


@dataclass(kw_only=True)
class Decision:
    """What came of a training.

    Args:
        promoted: whether the trained model is the champion now.
        message: why, in a line.
        model_path: folder of the champion where it was promoted, else of the run.
        metrics: of the run.
        comparison: with the champion; None where there was none.
        notes: what else there is to say.
    """

    promoted: bool
    message: str
    model_path: Path
    metrics: dict[str, float | None]
    comparison: Comparison | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of it in a line."""
        return "; ".join([self.message, *self.notes])


def retrain(
    bundle: Path,
    directory: Path,
    *,
    link: Path,
    started_from: Path | None,
    update: bool,
    period: str | None = None,
    force_download: bool = False,
    allow: list[str],
    started_by: str,
    progress: Progress,
) -> Decision:
    """Train with the config of a run, and promote what came of it if it may be.

    Args:
        bundle: run directory whose config is trained with.
        directory: of the run that is made.
        link: to the champion.
        started_from: folder of the champion when this was asked for; no other one is replaced.
        update: on all the bars there are by now, fetched first.
        period: of the bars of an update, as `data.period`; None = from where the run began.
        force_download: have the source fetch the whole history again where it keeps a cache.
        allow: plug-ins that the config may name.
        started_by: who asked, for the tracker.
        progress: called with `phase=`, while training with `progress=` (figures of an epoch), and after it with
            `metrics=` and `model_path=`.

    Raises:
        UserError: the config, the data or the disk does not allow the training.
        NotPromotedError: it was trained, and then something failed.
    """
    from forecast.pipeline import RunHooks, run

    config, notes = training_config(bundle, allow=allow), list[str]()
    if update:
        progress(phase="fetching")
        config, notes = _updated(config, bundle, period, force_download, allow)
    progress(phase="training")
    hooks = RunHooks(
        on_epoch=_on_epoch(config, progress),
        tags=lambda _: {"started_by": started_by},
        draw_plots=False,  # the champion's are drawn when it is promoted
    )
    metrics = dict(run(config, directory, hooks).metrics)
    progress(phase="comparing", metrics=metrics, model_path=str(directory))
    try:
        decision = _decide(config, directory, metrics, link, started_from, started_by, progress)
    except UserError as error:  # the request was all right
        raise NotPromotedError(f"trained, but not promoted: {error}") from error
    decision.notes += notes
    return decision


class NotPromotedError(UserError):
    """A run was made, and then something failed."""


def training_config(directory: Path, *overrides: str, allow: list[str]) -> DictConfig:
    """The task config of a run, checked, free to be run on other bars than those it was made with.

    Args:
        directory: of a finished run.
        overrides: `key=value`, noted in what comes of it.
        allow: modules or classes of plug-ins that it may name.

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
    for name in _BUILT:
        check_built({name: tree.get(name)}, where=where, also=allow)
    for name in _BY_NAME:
        target = (tree.get(name) or {}).get("_target_")
        if target is not None and target not in ALLOWED:
            check_built({name: tree[name]}, where=where, also=allow)
    check(config)
    if config.get("provenance") is not None:
        config.provenance.data_request = None  # other bars than the saved run's are what it is for
    return config


def newer_bars(config: DictConfig, *, period: str | None) -> list[str]:
    """Overrides that have a config take all the bars there are by now.

    Args:
        config: of a run.
        period: as `data.period`; None = from where the run began.

    Raises:
        UserError: not a period.
    """
    from forecast.data.bars import DateRange

    wanted: dict[str, str | None] = {"end": None}
    if period is not None:
        DateRange(period=period, start=None, end=None)
        wanted |= {"period": period, "start": None}
    return [
        f"data.{name}={'null' if value is None else value}"
        for name, value in wanted.items()
        if config.data.get(name) != value
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
    """Hold a run against the champion, on the run's validation rows.

    The rows are those later than the champion's own training days; where there are none, all of them. The champion
    forecasts them from the same bars, with its own features and lookback.

    Args:
        candidate: its run directory.
        champion: the other's.

    Returns:
        the comparison, or why there can be none.

    Raises:
        UserError: one of them is not whole, or the bars cannot be had again.
    """
    asked, held = _question(candidate), _question(champion)
    if differing := [name for name in asked if asked[name] != held[name]]:
        shown = ", ".join(f"{name} {asked[name]} instead of {held[name]}" for name in differing)
        return f"it forecasts something else than the champion {champion.name}: {shown}"
    rows = _validation_rows(candidate, since=_last_trained(champion))
    both = rows.merge(_forecasts_of(champion, candidate, rows), on=["ticker", "date", "step"])
    if both.empty:
        return f"the champion {champion.name} forecasts none of its {len(rows):,} validation rows"
    if ((both["naive"] - both["close"]).abs() > _SAME_BARS * both["naive"].abs()).any():
        return "the bars changed while it was trained; ask again"
    objective = _config(champion).get("objective") or {}
    metric, mode = str(objective.get("metric")), str(objective.get("mode"))
    figures = [
        _metrics(both.assign(forecast=both[column]), horizon=asked["horizon"])
        for column in ("forecast", "champion")
    ]
    if metric not in figures[0]:
        metric, mode = _DEFAULT_METRIC
    return Comparison(
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
    """Have the source ask for bars now, where it keeps a cache.

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


def _on_epoch(config: DictConfig, progress: Progress) -> Callable[[int, dict[str, float]], None]:
    walks = "folds" in (config.get("evaluation") or {})
    max_epochs = None if walks else int(config.trainer.get("max_epochs") or 0) or None

    def report(epoch: int, metrics: dict[str, float]) -> None:
        figures = {name: float(value) if math.isfinite(value) else None for name, value in metrics.items()}
        progress(progress={"fold" if walks else "epoch": epoch + 1, "max_epochs": max_epochs, **figures})

    return report


def _decide(
    config: DictConfig,
    directory: Path,
    metrics: dict[str, float | None],
    link: Path,
    started_from: Path | None,
    started_by: str,
    progress: Progress,
) -> Decision:
    """Promote a run, unless there is something against it.

    Raises:
        UserError: the champion is damaged, or the disk does not take another.
    """
    from forecast.champion import ChampionChangedError, promote, registry_of
    from forecast.champion.store import ChampionStore

    place = _place(config, link)

    def rejected(reason: str, comparison: Comparison | None = None) -> Decision:
        ChampionStore(link, by=started_by, why=reason).log_decision("refused", _shown(directory))
        return Decision(
            promoted=False,
            message=f"not promoted: {reason}",
            model_path=directory,
            metrics=metrics,
            comparison=comparison,
        )

    if (reason := _rejection_reason(config, directory, metrics, place)) is not None:
        return rejected(reason)
    if started_from is None:
        return rejected(
            f"there was no champion to compare it with; python -m forecast.champion export {_shown(directory)} "
            "makes it the champion"
        )
    if not link.exists() or link.resolve() != started_from:
        return rejected(f"{started_from.name} was the champion when this began, and no longer is")
    compared = compare(directory, started_from)
    if isinstance(compared, str):
        return rejected(compared)
    if not compared.holds:
        return rejected(compared.text, compared)
    progress(phase="promoting")
    registry = registry_of(config) if config.get("champion") is not None else None
    try:
        promotion = promote(
            directory,
            champion=place,
            registry=registry,
            progress=log.info,
            replacing=started_from,
            by=started_by,
            why=compared.text,
        )
    except ChampionChangedError as error:
        return rejected(str(error), compared)
    for line in promotion.notes:
        log.info("%s", line)
    became = (
        f"promoted as {promotion.folder.name}"
        if promotion.changed
        else f"the same model came out again: {promotion.folder.name} stays"
    )
    return Decision(
        promoted=promotion.changed,
        message=f"{became}: {compared.text}",
        model_path=promotion.folder,
        metrics=metrics,
        comparison=compared,
    )


def _rejection_reason(
    config: DictConfig, directory: Path, metrics: dict[str, float | None], place: ChampionConfig
) -> str | None:
    """Why a run can be no champion, whatever the champion is worth; None if it can."""
    from forecast.champion.candidate import from_directory
    from forecast.champion.promotion import check_rules

    metric = str(config.objective.metric)
    if metrics.get(metric) is None:
        return f"its {metric} is undefined"
    try:
        check_rules(directory, from_directory(directory), place)
    except UserError as error:
        return str(error)
    return None


def _place(config: DictConfig, link: Path) -> ChampionConfig:
    """The champion's place here, with the rules of the config."""
    from forecast.champion import ChampionConfig
    from forecast.config import build

    rules: Any = config.get("champion")
    if rules is None:
        return ChampionConfig(directory=str(link))
    place: ChampionConfig = build(rules, directory=str(link))
    return place


def _question(directory: Path) -> dict[str, Any]:
    """What a run forecasts."""
    facts, config = _json(directory / "scaler.json"), _config(directory)
    target = (config.get("target") or {}).get("_target_", "close")
    return {
        "target": str(target).rpartition(".")[2].lower(),
        "interval": str(config.data.get("interval", "1d")),
        "tickers": sorted(facts["tickers"]) if facts["scope"] == "panel" else facts["tickers"][:1],
        "horizon": int(facts.get("horizon", facts["output_size"])),
    }


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

    predictor = bundle.load(champion)
    config = _config(candidate)
    source, health = build(config.source), build(config.data.get("health"))
    first = rows["date"].min()
    tables: dict[str, pd.DataFrame] = {}
    for ticker in predictor.tickers:
        bars = source.bars(ticker)
        if health is not None:
            bars, _ = health.check(ticker, bars)
        if predictor.enough is not None:  # what lies further back changes nothing
            needed = int(bars.index.searchsorted(first)) - predictor.enough - predictor.horizon
            bars = bars.iloc[max(0, needed) :]
        tables[ticker] = bars
    if predictor.scope == "multiple":  # they stand on their common dates
        common = sorted(set.intersection(*(set(bars.index) for bars in tables.values())))
        tables = {ticker: bars.loc[common] for ticker, bars in tables.items()}
    found = predictor.predict(tables, every=True)
    pieces = []
    for ticker, bars in tables.items():
        own = found[found["ticker"] == ticker]
        ahead = bars.index.get_indexer(pd.Index(own["origin"])) + own["step"].to_numpy()
        own = own[ahead < len(bars)]
        pieces.append(own.assign(date=bars.index[ahead[ahead < len(bars)]]))
    dated = pd.concat(pieces).rename(columns={"forecast": "champion", "naive": "close"})
    dated["date"] = dated["date"].astype(rows["date"].dtype)
    columns = ["ticker", "date", "step", "champion", "close"]
    return pd.DataFrame(dated, columns=columns)


def _metrics(rows: pd.DataFrame, *, horizon: int) -> dict[str, float | None]:
    """Figures of rows as a run's own, `val_rmse` and so on."""
    from dataclasses import replace

    from forecast.evaluate.metrics import Metrics
    from forecast.evaluate.table import from_frame

    table = from_frame(rows.assign(split=SPLIT), split=SPLIT, scale_from=SPLIT)
    return Metrics().of(replace(table, horizon=horizon))


def _last_trained(champion: Path) -> str:
    """The last day a champion was trained on, YYYY-MM-DD."""
    folds = _json(champion / "evaluation.json")["folds"]
    return str(max(fold["train"][1] for fold in folds if fold["refit"]))


def _config(directory: Path) -> DictConfig:
    from omegaconf import DictConfig, OmegaConf

    config = OmegaConf.load(directory / "config.yaml")
    assert isinstance(config, DictConfig)
    return config


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
