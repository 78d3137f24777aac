"""Pick the best finished run of an experiment and promote it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast import bundle
from forecast.champion.candidate import (
    Candidate,
    check_metric_value,
    fetch,
    from_directory,
    query_finished_runs,
    question,
)
from forecast.champion.metadata import Choice
from forecast.champion.promotion import PromotionResult, no_progress, promote_verified
from forecast.champion.ranking import Ranking, check_metric, of_same_question, rank
from forecast.champion.registry import Registry
from forecast.champion.store import PARTIAL, ChampionStore, Progress
from forecast.config import build, origin, resolved
from forecast.config.champion import ChampionConfig
from forecast.errors import UserError
from forecast.track.delivery import flatten

if TYPE_CHECKING:
    from omegaconf import DictConfig

TEST = "val_dm_p_better"  # Diebold and Mariano's, against naive


def champion_config(config: DictConfig) -> ChampionConfig:
    """The `champion` node of a config.

    Raises:
        UserError: it is switched off.
    """
    if config.get("champion") is None:
        raise UserError("champion=none: no champion is wanted; leave it out, or say champion=default")
    champion: ChampionConfig = build(config.champion)
    return champion


def registry_of(config: DictConfig) -> Registry | None:
    """MLflow's model registry, None without a tracker."""
    store = _store(config)
    return None if store is None else Registry(**store, name=config.champion.registered_model)


def _store(config: DictConfig) -> dict[str, Any] | None:
    """Address and patience of the store where runs are recorded; None where they are not."""
    tracker = config.get("tracker")
    if tracker is None or "uri" not in tracker:
        return None
    return {"uri": str(tracker.uri), "patience_s": float(tracker.get("patience_s", 10.0))}


def candidates(
    config: DictConfig,
    *,
    directories: Iterable[str | Path] | None = None,
    sweep: Iterable[str | Path] = (),
) -> Ranking:
    """The runs that may become champion, best first: those that forecast the same.

    Args:
        config: composed and checked; its `objective` ranks, its `tracker` says where runs are recorded. Where there is
            no sweep, what was typed of target, tickers, horizon and interval says which runs are meant.
        directories: finished runs to rank instead of those MLflow knows.
        sweep: directories of a sweep's runs; runs that forecast something else are left aside.

    Raises:
        UserError: MLflow cannot be asked, nothing is finished, or what there is cannot be ranked.
    """
    metric, mode = str(config.objective.metric), config.objective.mode
    check_metric(metric)
    runs = _list_runs(config, directories)
    own = [from_directory(directory) for directory in map(Path, sweep) if bundle.is_finished(directory)]
    kept = of_same_question(runs, metric=metric, sweep=own, named=_named_question(config))
    ranking = rank(kept, metric=metric, mode=mode)
    return replace(ranking, elsewhere=len(runs) - len(kept))


def _named_question(config: DictConfig) -> dict[str, str]:
    """What was typed of what shall be forecast."""
    typed = {str(word).lstrip("+").partition("=")[0] for word in origin(config)["overrides"]}
    asked = question(flatten(resolved(config)), config.data.get("tickers") or [])
    return {
        part: value
        for part, value in asked.items()
        if any(key == part or key.startswith(f"{part}.") for key in typed)
    }


def select_and_promote(
    config: DictConfig,
    *,
    directories: Iterable[str | Path] | None = None,
    sweep: Iterable[str | Path] = (),
    progress: Progress = no_progress,
) -> PromotionResult:
    """Rank the finished runs of the experiment and make the best of them the champion.

    Args:
        config: composed and checked; `champion`, `objective` and `tracker` are read.
        directories: finished runs to choose from instead of those MLflow knows: where nothing is tracked.

    Raises:
        UserError: see candidates and promote; the old champion stays.
    """
    champion, registry = champion_config(config), registry_of(config)
    store = ChampionStore(Path(champion.directory))
    if directories is not None:
        directories = list(directories)
    sweep = list(sweep)
    candidates(config, directories=directories, sweep=sweep)  # what is refused here leaves no folder behind
    with store.lock(progress):
        # Queried once more: the process that held the lock may have promoted a run that was not there a moment ago.
        ranking = candidates(config, directories=directories, sweep=sweep)
        winner = ranking.winner
        copy = store.folder / f".download{PARTIAL}"
        try:
            with store.writing():
                if directories is None:
                    source, manifest = fetch(winner, **(_store(config) or {}), scratch=copy)
                else:
                    source, manifest = winner.directory, bundle.verify(winner.directory)
            check_metric_value(source, winner, ranking.metric)
            run = replace(
                from_directory(source),
                run_id=winner.run_id,
                experiment_name=winner.experiment_name,
                directory=winner.directory,
            )
            result = promote_verified(source, manifest, run, _choice(ranking), champion, store, registry)
        finally:
            store.discard(copy)
    return replace(result, ranking=ranking)


def _choice(ranking: Ranking) -> Choice:
    """How the best of a ranking was picked."""
    epochs = [run.metrics.get("epochs") for run in ranking.candidates]
    return Choice(
        metric=ranking.metric,
        mode=ranking.mode,
        candidates=len(ranking.candidates),
        p_values=[run.metrics.get(TEST) for run in ranking.candidates],
        # 1 of a forecaster that is not trained in epochs
        epochs=[None if count is None else max(1, int(count)) for count in epochs],
    )


def _list_runs(config: DictConfig, directories: Iterable[str | Path] | None) -> list[Candidate]:
    if directories is not None:
        found = [
            from_directory(directory) for directory in map(Path, directories) if bundle.is_finished(directory)
        ]
        if not found:
            raise UserError("champion: no run is finished, so there is none to choose")
        return found
    store = _store(config)
    if store is None:
        raise UserError(
            "tracker=none: MLflow is asked for the runs; name the tracker they were recorded with, or the run: "
            "python -m forecast.champion export RUN_DIRECTORY"
        )
    return query_finished_runs(**store, experiment_name=str(config.tracker.experiment_name))
