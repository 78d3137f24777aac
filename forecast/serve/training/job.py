"""One job from end to end: config, run, comparison, promotion. What it leaves is the champion, or as it was."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from forecast.errors import SourceError, UserError
from forecast.serve.training.settings import downloading, newer_bars, settings_of
from forecast.serve.training.state import RUN, JobState

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from forecast.champion import Champion
    from forecast.serve.training.order import Order

log = logging.getLogger(__name__)


class Note(Protocol):
    """Writes the state down."""

    def __call__(self, *, urgent: bool = True) -> None:
        """Unless it is urgent, only if the last time is a while ago."""
        ...


def conduct(
    order: Order, folder: Path, state: JobState, *, champion: Path, allow: list[str], note: Note
) -> None:
    """Train as ordered, and promote what came of it if it may be.

    Args:
        order: what to do.
        folder: of the job; the run goes into `run` in it.
        state: is told how far it got and what became of it.
        champion: link to the champion.
        allow: plug-ins that the config may name.
        note: has the state written down.

    Raises:
        UserError: the config, the data or the disk does not allow it; the old champion is still there.
    """
    from forecast import pipeline

    config = settings_of(order.bundle, allow=allow)
    told: list[str] = []
    if order.kind == "update":
        config, told = _updated(config, order, state, allow, note)
    state.phase, directory = "training", folder / RUN
    note()
    hooks = pipeline.RunHooks(
        on_epoch=_progress(config, state, note),
        tags=lambda _: {"started_by": f"serve.py, {order.kind} {state.job}"},
        draw_plots=False,  # the champion's are drawn when it is promoted
    )
    run = pipeline.run(config, directory, hooks)
    state.metrics = dict(run.metrics)
    state.model_path = str(directory)
    try:
        _judge(config, order, directory, _place(config, champion), state, told, note)
    except UserError as error:  # the request was all right
        log.error("%s", error)
        state.end("failed", f"trained, but not promoted: {error}", status=500)


def _updated(
    config: DictConfig, order: Order, state: JobState, allow: list[str], note: Note
) -> tuple[DictConfig, list[str]]:
    """The config for newer bars, which are fetched; and what is to be said of them."""
    from forecast.runlog import logged

    state.phase = "fetching"
    note()
    asked = settings_of(order.bundle, *newer_bars(config, period=order.period), allow=allow)
    with logged():
        _fetch(asked, anew=order.force_download)
        if order.period is None:
            return asked, []
        short = _too_short(asked)
    if short is None:
        return asked, []
    log.warning("%s", short)
    whole = settings_of(order.bundle, *newer_bars(config, period=None), allow=allow)
    return whole, [
        f"trained on the champion's own period, brought up to date, because period={order.period} ({short})"
    ]


def _fetch(config: DictConfig, *, anew: bool) -> None:
    """Have the source ask for bars now, where it keeps what it was told.

    Raises:
        SourceError: it has none, or no newer ones.
    """
    from forecast.config import build
    from forecast.data.bars import CachingSource

    source = build(downloading(config) if anew else config.source)
    if not isinstance(source, CachingSource):
        return
    for ticker in build(config.data, source=source).tickers:
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

    data = build(config.data, source=build(config.source))
    data.load()
    evaluation = build(config.get("evaluation")) or Holdout()
    try:
        for fold in evaluation.folds(data):
            data.divide(fold.stretches)
    except UserError as error:
        return str(error)
    return None


def _progress(config: DictConfig, state: JobState, note: Note) -> Callable[[int, dict[str, float]], None]:
    walks = "folds" in (config.get("evaluation") or {})
    most = None if walks else int(config.trainer.get("max_epochs") or 0) or None

    def tell(epoch: int, metrics: dict[str, float]) -> None:
        first = not state.progress
        figures = {name: _finite(value) for name, value in metrics.items()}
        state.progress = {"fold" if walks else "epoch": epoch + 1, "max_epochs": most, **figures}
        note(urgent=first)

    return tell


def _judge(
    config: DictConfig,
    order: Order,
    directory: Path,
    place: Champion,
    state: JobState,
    told: list[str],
    note: Note,
) -> None:
    """Promote a run, unless there is something against it."""
    why_not = _unfit(config, directory, state.metrics, place)
    if why_not is None and order.kind == "update":
        state.phase = "comparing"
        note()
        why_not = _worse(config, order, directory, state)
    if why_not is not None:
        state.end("kept", "; ".join([f"not promoted: {why_not}", *told]))
        return
    state.phase = "promoting"
    note()
    _promote(config, directory, place, state, told)


def _unfit(
    config: DictConfig, directory: Path, metrics: dict[str, float | None], place: Champion
) -> str | None:
    """Why a run can be no champion, whatever the champion is worth; None if it can."""
    from forecast.champion.candidate import from_directory
    from forecast.champion.promoting import check_rules

    metric = str(config.objective.metric)
    if metrics.get(metric) is None:
        return f"its {metric} is undefined"
    try:
        check_rules(directory, from_directory(directory), place)
    except UserError as error:
        return str(error)
    return None


def _worse(config: DictConfig, order: Order, directory: Path, state: JobState) -> str | None:
    """How it does worse than what is served; None if it does not."""
    from forecast.serve.training.comparing import compare

    compared = compare(config, newcomer=directory, champion=order.following.resolve())
    if isinstance(compared, str):
        return compared
    state.comparison = compared.told
    return None if compared.holds else compared.text


def _promote(config: DictConfig, directory: Path, place: Champion, state: JobState, told: list[str]) -> None:
    from forecast.champion import promote, registry_of

    registry = registry_of(config) if config.get("champion") is not None else None
    crowned = promote(directory, champion=place, registry=registry, say=log.info)
    state.model_path = str(crowned.folder)
    for line in crowned.notes:
        log.info("%s", line)
    compared = f": {state.comparison['text']}" if state.comparison else ""
    if crowned.changed:
        state.end("promoted", "; ".join([f"promoted as {crowned.folder.name}{compared}", *told]))
    else:
        state.end(
            "kept",
            "; ".join([f"the same model came out again: {crowned.folder.name} stays{compared}", *told]),
        )


def _place(config: DictConfig, link: Path) -> Champion:
    """The champion's place here, with the rules of the config."""
    from forecast.champion import Champion
    from forecast.config import build

    rules: Any = config.get("champion")
    if rules is None:
        return Champion(directory=str(link))
    place: Champion = build(rules, directory=str(link))
    return place


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
