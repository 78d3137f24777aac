"""What MLflow is told of a run, in few calls, each of which may be made twice without harm."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from forecast.track import process
from forecast.track.fields import MAX_METRICS_A_CALL, MAX_PARAMS_A_CALL, batches
from forecast.track.record import FILE, Epoch, Record
from forecast.track.store import artifact_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient

ID_TAG = "forecast.run_directory_id"
DIRECTORY_TAG = "forecast.directory"
JOB_FILE = "job.json"  # stands in the directory of each job of a sweep
_ROWS = 1000  # runs a search may return; more are never RUNNING on one host

logger = logging.getLogger(__name__)


def experiment_of(client: MlflowClient, record: Record) -> str:
    """Return the id of the record's experiment, made if there is none.

    Raises:
        ValueError: the experiment keeps its files where only a server can put them.
    """
    experiment = client.get_experiment_by_name(record.experiment_name)
    if experiment is None:
        from mlflow.exceptions import MlflowException

        try:
            client.create_experiment(
                record.experiment_name, artifact_location=artifact_folder(record.uri, record.experiment_name)
            )
        except MlflowException:
            # Another process was quicker, or it was deleted; the next line tells.
            if client.get_experiment_by_name(record.experiment_name) is None:
                raise
        experiment = client.get_experiment_by_name(record.experiment_name)
    if experiment.lifecycle_stage != "active":
        raise ValueError(
            f"experiment {record.experiment_name!r} was deleted there; restore it or name another one "
            "in tracker.experiment_name"
        )
    if experiment.artifact_location.startswith("mlflow-artifacts:") and not record.uri.startswith("http"):
        raise ValueError(
            f"experiment {record.experiment_name!r} was made through a server and keeps its files behind it; "
            "give that server as tracker.uri or name another experiment"
        )
    return str(experiment.experiment_id)


def find_run(client: MlflowClient, experiment_id: str, record: Record) -> str | None:
    """Return the id of the run that was created for this directory, None if there is none."""
    found = client.search_runs(
        [experiment_id], f"tags.`{ID_TAG}` = '{record.run_directory_id}'", max_results=1
    )
    return str(found[0].info.run_id) if found else None


def deliver(client: MlflowClient, record: Record, directory: Path) -> None:
    """Send all that is known of a run that has ended; what is there already is not doubled.

    Args:
        client: of the record's store.
        record: its status must be known; without a run_id the store is asked for the run first.
        directory: the run directory.
    """
    if record.run_id is None:
        record.experiment_id = experiment_of(client, record)
        record.run_id = find_run(client, record.experiment_id, record)
        open_run(client, record)
    assert record.run_id is not None
    assert record.status is not None, "only a run that has ended is sent whole"
    assert record.end_time is not None
    # Of two values at the same step MLflow shows the later one: the final figures stand beside the run.
    final = Epoch(record.last_epoch, record.end_time, record.metrics or {})
    send_epochs(client, record.run_id, [*record.epochs, final])
    for file in files_of(directory):
        folder = file.parent.relative_to(directory).as_posix()
        client.log_artifact(record.run_id, str(file), None if folder == "." else folder)
    client.set_terminated(record.run_id, record.status, record.end_time)


def open_run(client: MlflowClient, record: Record) -> None:
    """Create the run unless `record.run_id` names it, and send tags and params.

    Args:
        client: of the record's store.
        record: its experiment_id must be known; its run_id is filled in.
    """
    from mlflow.entities import Param

    if record.run_id is None:
        run = client.create_run(
            record.experiment_id, start_time=record.start_time, tags=record.tags, run_name=record.name
        )
        record.run_id = str(run.info.run_id)
    params = [(Param(key, value), len(key) + len(value)) for key, value in record.params.items()]
    for batch in batches(params, MAX_PARAMS_A_CALL):
        client.log_batch(record.run_id, params=batch)


def send_epochs(client: MlflowClient, run_id: str, epochs: list[Epoch]) -> None:
    """Send per-epoch metrics; those the store has already, time included, are not doubled."""
    from mlflow.entities import Metric

    points = [
        (Metric(key, value, epoch.time, epoch.epoch), len(key))
        for epoch in epochs
        for key, value in epoch.metrics.items()
    ]
    for batch in batches(points, MAX_METRICS_A_CALL):
        client.log_batch(run_id, metrics=batch)


def files_of(directory: Path) -> Iterator[Path]:
    """Yield the files of a run directory, sorted, without the record itself and without runs inside it.

    Of a finished run, those its manifest names: whatever else stands in the folder is not the run's.
    """
    manifest = directory / "manifest.json"
    if manifest.is_file():
        names = [*json.loads(manifest.read_text("utf-8")).get("files", {}), manifest.name, "run.log"]
        yield from (directory / name for name in sorted(names) if (directory / name).is_file())
        return
    for folder, folders, files in os.walk(directory):
        if {FILE, JOB_FILE} & set(files) and Path(folder) != directory:
            folders.clear()  # a job of a sweep: a run of its own
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(files) if not name.lstrip(".").startswith(FILE))


def allowance_s(record: Record, directory: Path) -> float:
    """Return how much longer than a single answer sending all this may take, in seconds.

    A store slower than a megabyte and a hundred metrics a second is not worth waiting for.
    """
    size = sum(file.stat().st_size for file in files_of(directory))
    return size / 1e6 + sum(len(epoch.metrics) for epoch in record.epochs) / 100


def end_dead_runs(client: MlflowClient, experiment_id: str) -> None:
    """End the runs as KILLED whose process on this host died without ending them."""
    host = process.identity()[process.HOST]
    running = client.search_runs(
        [experiment_id],
        f"attributes.status = 'RUNNING' and tags.`{process.HOST}` = '{host}'",
        max_results=_ROWS,
    )
    for run in running:
        # Asked again once it is known to be dead: it may have ended its run properly since the search.
        if process.is_dead(run.data.tags) and client.get_run(run.info.run_id).info.status == "RUNNING":
            logger.info("run %s in MLflow was left by a dead process: KILLED", run.info.run_name)
            client.set_terminated(run.info.run_id, "KILLED")
