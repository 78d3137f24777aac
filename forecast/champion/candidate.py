"""Finished runs that may become the champion: from MLflow or from their directory, and fetched from there."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast import bundle
from forecast.config.messages import nearest
from forecast.errors import UserError
from forecast.files import disk_error, read_json
from forecast.finished_runs import Subject, describe_target, identity_of, read_config, strategy_name
from forecast.track.connection import (
    call_with_timeout,
    check_uri,
    error_summary,
    redact_password,
    resolved,
    sqlite_file,
)
from forecast.track.delivery import DIRECTORY_TAG, ID_TAG, Record, flatten

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


# Parts of a config that say nothing of what was computed.
_ASIDE = (
    "provenance.",
    "metadata.",
    "tracker",
    "champion",
    "cluster",
    "tuner",
    "source.cache_dir",
    "defaults",
    "hydra",
)
_CUTS = ("data.train_ratio", "data.val_ratio", "data.embargo", "evaluation.")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A finished run."""

    identity: str  # same identity, same result
    strategy: str  # its name, such as range_single
    tickers: str  # of the run, joined by commas
    metrics: Mapping[str, float]  # finite ones
    params: Mapping[str, str]  # its config, flat, values as text
    started: int  # ms since 1970
    run_id: str | None  # MLflow's; None where the run is known from its directory alone
    experiment_name: str | None  # the heading it stands under in MLflow
    directory: Path  # where it was written, perhaps on another machine
    directory_id: str | None  # tells whether what stands there now is still this run
    # the content of evaluation.json; empty where the run is known from MLflow alone
    evaluation: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """What it is called on the screen."""
        return self.run_id[:8] if self.run_id else str(self.directory)

    def skill(self, split: str) -> float | None:
        """Percent by which its RMSE lies below that of "tomorrow = today", None where that is undefined."""
        ratio = self.metrics.get(f"{split}_theil_u")
        return None if ratio is None else 100 * (1 - ratio)

    @property
    def dates(self) -> tuple[str, str]:
        """The settings that decide which days are validated, as text."""
        first = self.params.get("data.start", "null")
        period = self.params.get("data.period", "") if first == "null" else first
        cuts = {key: value for key, value in self.params.items() if key.startswith(_CUTS)}
        return period, f"{self.params.get('data.end', 'null')} {sorted(cuts.items())}"

    @property
    def question(self) -> dict[str, str]:
        """What it forecast, as far as its config says: target, tickers, horizon and interval, as text."""
        return question(self.params, self.tickers.split(", "))

    @property
    def subject(self) -> Subject:
        """What it forecast, and how wrong "tomorrow = today" was there; days unknown."""
        return Subject(
            target=describe_target(_target(self.params)),
            tickers=_forecast_tickers(self.params, self.tickers.split(", ")),
            horizon=int(self.params.get("data.horizon", 1)),
            dates=("", ""),
            naive=tuple(self.metrics.get(f"val_{name}") for name in ("rows", "naive_rmse", "naive_mae")),
        )


def question(params: Mapping[str, str], tickers: Sequence[str]) -> dict[str, str]:
    """What a config forecasts: target, tickers, horizon and interval, as text."""
    return {
        "target": describe_target(_target(params)),
        "data.tickers": ", ".join(_forecast_tickers(params, tickers)),
        "data.horizon": params.get("data.horizon", "1"),
        "data.interval": params.get("data.interval", "1d"),
    }


def _target(params: Mapping[str, str]) -> dict[str, str]:
    """The `target` node of a config."""
    return {key.removeprefix("target."): value for key, value in params.items() if key.startswith("target.")}


def _forecast_tickers(params: Mapping[str, str], tickers: Sequence[str]) -> tuple[str, ...]:
    """Those that are forecast: side by side only the first is."""
    return tuple(sorted(tickers)) if params.get("data.scope") == "panel" else tuple(tickers[:1])


def from_mlflow(run: Run, experiment_name: str) -> Candidate | None:
    """A candidate from a run of an MLflow store; None for one that this package did not record."""
    tags = run.data.tags
    if "identity" not in tags or DIRECTORY_TAG not in tags:
        return None
    return Candidate(
        identity=tags["identity"],
        strategy=tags.get("strategy", ""),
        tickers=tags.get("tickers", ""),
        metrics=_finite(run.data.metrics),
        params=_task(run.data.params),
        started=run.info.start_time,
        run_id=run.info.run_id,
        experiment_name=experiment_name,
        directory=Path(tags[DIRECTORY_TAG]),
        directory_id=tags.get(ID_TAG),
    )


def from_directory(directory: Path) -> Candidate:
    """A candidate from a finished run directory, whether or not MLflow knows it."""
    config = read_config(directory)
    facts = read_json(directory / "scaler.json")
    record = Record.find(directory)
    return Candidate(
        identity=str(config["provenance"]["identity"]),
        strategy=strategy_name(config),
        tickers=", ".join(facts["tickers"][:50]),
        metrics=_finite(read_json(directory / "metrics.json")),
        params=_task(flatten(config)),
        started=record.start_time if record else int((directory / "metrics.json").stat().st_mtime * 1000),
        run_id=record.run_id if record else None,
        experiment_name=record.experiment_name if record else None,
        directory=directory,
        directory_id=record.run_directory_id if record else None,
        evaluation=_evaluation(directory),
    )


def is_of(directory: Path, candidate: Candidate) -> bool:
    """Whether what stands in a directory is the candidate's run, and not a later one that took the folder."""
    record = Record.find(directory)
    if record is not None and candidate.directory_id is not None:
        return record.run_directory_id == candidate.directory_id
    return identity_of(directory) == candidate.identity


def _evaluation(directory: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = read_json(directory / "evaluation.json")
    except (OSError, ValueError):  # is refused by name where the run is verified
        return {}
    return found


def _task(params: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in params.items() if not key.startswith(_ASIDE)}


def _finite(metrics: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(v) for name, v in metrics.items() if v is not None and math.isfinite(v)}


PAGE = 500  # runs an answer
PAGE_S = 60.0  # seconds a page may take, once the store has answered at all
_WITHOUT = "python -m forecast.champion export RUN_DIRECTORY needs no MLflow"


def query_finished_runs(*, uri: str, experiment_name: str, patience_s: float) -> list[Candidate]:
    """The finished runs of an experiment that this package recorded.

    Raises:
        UserError: the store cannot be asked, there is no such experiment, or none of its runs is finished.
    """
    check_uri(uri)
    database = sqlite_file(uri)
    if database is not None and not database.is_file():
        raise UserError(f"tracker.uri={uri}: no such database ({database}); {_WITHOUT}")
    began = time.monotonic()
    try:
        from forecast.track.connection import connect

        client = connect(resolved(uri), patience_s=patience_s)
        left_s = max(1.0, patience_s - (time.monotonic() - began))
        experiment = call_with_timeout(left_s, lambda: client.get_experiment_by_name(experiment_name))
        if experiment is None or experiment.lifecycle_stage != "active":
            raise _no_experiment(client, uri, experiment_name, deleted=experiment is not None)
        runs = _list_runs(client, experiment.experiment_id)
    except UserError:
        raise
    except Exception as error:  # MLflow, its drivers and the network raise anything
        raise UserError(
            f"tracker.uri={redact_password(uri)}: cannot be asked ({error_summary(error)}); {_WITHOUT}"
        ) from error
    done = [run for run in runs if run.info.status == "FINISHED"]
    found = [made for run in done if (made := from_mlflow(run, experiment_name)) is not None]
    if not found:
        raise UserError(
            f"tracker.experiment_name={experiment_name}: no finished run in it ({_status_counts(runs)}); "
            "python run.py makes one"
        )
    return found


def _list_runs(client: MlflowClient, experiment_id: str) -> list[Any]:
    runs: list[Any] = []
    token = None
    while True:
        ask = partial(client.search_runs, [experiment_id], max_results=PAGE, page_token=token)
        page: Any = call_with_timeout(PAGE_S, ask)
        runs += page
        token = page.token
        if not token:
            return runs


def _no_experiment(client: MlflowClient, uri: str, name: str, *, deleted: bool) -> UserError:
    if deleted:
        return UserError(
            f"tracker.experiment_name={name}: was deleted in {redact_password(uri)}; restore it there"
        )
    known = [
        str(other.name)
        for other in call_with_timeout(PAGE_S, lambda: client.search_experiments(max_results=50))
    ]
    near = nearest(name, known)
    hint = f"did you mean {near}? " if near else ""
    shown = ", ".join(sorted(known)) or "none"
    return UserError(
        f"tracker.experiment_name={name}: no such experiment in {redact_password(uri)}; {hint}known: {shown}"
    )


def _status_counts(runs: list[Any]) -> str:
    """`2 FAILED, 1 RUNNING`."""
    counts = Counter(str(run.info.status) for run in runs)
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "it is empty"


_MANIFEST_S = 60.0
_BYTES_A_SECOND = 1e5  # a store slower than this is given up
_LEAST_S = 120.0


def fetch(
    candidate: Candidate, *, uri: str, patience_s: float, scratch: Path
) -> tuple[Path, Mapping[str, Any]]:
    """A verified run directory of a candidate, and its manifest.

    A directory that holds this very run is taken or refused; only where there is none (the run was made on
    another machine, or its folder is gone or was taken by a later run) MLflow's copy is downloaded.

    Raises:
        UserError: a file is missing or was altered, here or in MLflow's copy; or the copy cannot be had.
    """
    directory = candidate.directory
    if directory.is_dir() and is_of(directory, candidate):
        try:
            return directory, bundle.verify(directory)
        except UserError as error:
            raise UserError(
                f"{error}; restore it, or move {directory} away to have MLflow's copy checked and taken"
            ) from error
    download(candidate, uri=uri, patience_s=patience_s, scratch=scratch)
    try:
        manifest = bundle.verify(scratch)
    except UserError as error:
        message = str(error).replace(str(scratch), f"MLflow's copy of run {candidate.run_id}")
        raise UserError(f"{message}; {directory}, where it was written, is not on this machine") from error
    if not is_of(scratch, candidate):
        raise UserError(f"run {candidate.run_id}: MLflow's copy is that of another run; send it again")
    return scratch, manifest


def download(candidate: Candidate, *, uri: str, patience_s: float, scratch: Path) -> None:
    """Put MLflow's copy of a run into a new folder.

    Raises:
        UserError: it is not there whole, or MLflow does not answer.
        OSError: the disk does not take it.
    """
    assert candidate.run_id is not None, "known from its directory alone, which is not there"
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from forecast.track.connection import connect

    run_id = candidate.run_id
    scratch.mkdir()
    try:
        client = connect(resolved(uri), patience_s=patience_s)
        listed = call_with_timeout(_MANIFEST_S, lambda: client.list_artifacts(run_id))
        if bundle.MANIFEST not in {item.path for item in listed}:
            raise UserError(
                f"run {run_id}: its directory {candidate.directory} is not on this machine, and MLflow has no "
                "copy of it; copy the directory here and name it: python -m forecast.champion export DIR"
            )
        size = sum(item.file_size or 0 for item in listed)
        seconds = _LEAST_S + size / _BYTES_A_SECOND
        call_with_timeout(seconds, lambda: client.download_artifacts(run_id, "", str(scratch)))
    except UserError:
        raise
    except Exception as error:  # MLflow, its drivers and the network raise anything
        if (full := disk_error(error)) is not None:
            raise full from error
        raise UserError(
            f"tracker.uri={redact_password(uri)}: the copy of run {run_id} cannot be had "
            f"({error_summary(error)}), and its directory {candidate.directory} is not on this machine; try again later"
        ) from error


def check_metric_value(directory: Path, candidate: Candidate, metric: str) -> None:
    """Refuse a run whose metrics.json has another figure than the one it was ranked by.

    Raises:
        UserError: it does.
    """
    ranked = candidate.metrics[metric]
    there = read_json(directory / "metrics.json").get(metric)
    if there is None or not math.isclose(there, ranked, rel_tol=1e-9):
        raise UserError(
            f"run {candidate.name}: MLflow says {metric}={ranked:.9g}, its metrics.json says {there}; "
            "somebody changed one of them, so it is not ranked by it; delete the run in MLflow or send it anew"
        )
