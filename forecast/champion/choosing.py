"""Pick the best finished run of an experiment and give it the title."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from forecast import bundle
from forecast.champion.asking import finished_runs
from forecast.champion.candidate import Candidate, from_directory
from forecast.champion.fetching import check_metric_value, fetch
from forecast.champion.metadata import Choice
from forecast.champion.place import Champion
from forecast.champion.promoting import Crowned, Say, install, silent
from forecast.champion.ranking import Ranking, check_metric, rank
from forecast.champion.registry import Registry
from forecast.champion.shelf import PARTIAL, Shelf
from forecast.config import build
from forecast.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

TEST = "val_dm_p_better"  # Diebold and Mariano's, against naive


def place_of(config: DictConfig) -> Champion:
    """The `champion` node of a config.

    Raises:
        UserError: it is switched off.
    """
    if config.get("champion") is None:
        raise UserError("champion=none: no champion is wanted; leave it out, or say champion=default")
    champion: Champion = build(config.champion)
    return champion


def registry_of(config: DictConfig) -> Registry | None:
    """Where MLflow is told, None without a tracker."""
    tracker = config.get("tracker")
    if tracker is None or "uri" not in tracker:
        return None
    name = config.champion.registered_model
    return Registry(uri=str(tracker.uri), patience_s=float(tracker.get("patience_s", 10.0)), name=name)


def candidates(config: DictConfig, *, directories: Iterable[str | Path] | None = None) -> Ranking:
    """The runs that may become champion, best first.

    Args:
        config: composed and checked; its `objective` ranks, its `tracker` says where runs are recorded.
        directories: finished runs to rank instead of those MLflow knows.

    Raises:
        UserError: MLflow cannot be asked, nothing is finished, or what there is cannot be ranked.
    """
    metric, mode = str(config.objective.metric), config.objective.mode
    check_metric(metric)
    return rank(_runs(config, directories), metric=metric, mode=mode)


def crown(
    config: DictConfig, *, directories: Iterable[str | Path] | None = None, say: Say = silent
) -> Crowned:
    """Rank the finished runs of the experiment and make the best of them the champion.

    Args:
        config: composed and checked; `champion`, `objective` and `tracker` are read.
        directories: finished runs to choose from instead of those MLflow knows: where nothing is tracked.
        say: told what there is to wait for.

    Raises:
        UserError: see candidates and promote; the old champion stays.
    """
    champion, registry = place_of(config), registry_of(config)
    shelf = Shelf(Path(champion.directory))
    if directories is not None:
        directories = list(directories)
    candidates(config, directories=directories)  # what is refused here leaves no folder behind
    with shelf.held(say):
        # Asked once more: whoever was waited for may have promoted a run that was not there a moment ago.
        ranking = candidates(config, directories=directories)
        winner = ranking.winner
        copy = shelf.folder / f".download{PARTIAL}"
        try:
            with shelf.writing():
                source = winner.directory if directories is not None else _fetched(winner, config, copy)
            check_metric_value(source, winner, ranking.metric)
            run = replace(
                from_directory(source),
                run_id=winner.run_id,
                experiment_name=winner.experiment_name,
                directory=winner.directory,
            )
            choice = Choice(
                metric=ranking.metric,
                mode=ranking.mode,
                candidates=len(ranking.candidates),
                p_values=[other.metrics.get(TEST) for other in ranking.candidates],
            )
            crowned = install(source, run, choice, champion, shelf, registry)
        finally:
            shelf.discard(copy)
    return replace(crowned, ranking=ranking)


def _runs(config: DictConfig, directories: Iterable[str | Path] | None) -> list[Candidate]:
    if directories is not None:
        found = []
        for directory in map(Path, directories):
            bundle.verify(directory)
            found.append(from_directory(directory))
        if not found:
            raise UserError("champion: no run is finished, so there is none to choose")
        return found
    tracker = config.get("tracker")
    if tracker is None or "uri" not in tracker:
        raise UserError(
            "tracker=none: MLflow is asked for the runs; name the tracker they were recorded with, or the run: "
            "python -m forecast.champion export RUN_DIRECTORY"
        )
    return finished_runs(
        uri=str(tracker.uri),
        experiment_name=str(tracker.experiment_name),
        patience_s=float(tracker.get("patience_s", 10.0)),
    )


def _fetched(winner: Candidate, config: DictConfig, copy: Path) -> Path:
    tracker = config.tracker
    return fetch(
        winner, uri=str(tracker.uri), patience_s=float(tracker.get("patience_s", 10.0)), scratch=copy
    )
