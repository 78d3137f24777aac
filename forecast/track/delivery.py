"""What MLflow is sent of a run: kept in mlflow.json until it has been sent, in calls that may be repeated."""

from __future__ import annotations

import json
import logging
import math
import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from forecast.files import read_json, replacing
from forecast.track import process
from forecast.track.connection import artifact_folder, redact_password

if TYPE_CHECKING:
    from mlflow import MlflowClient


# MLflow's own limits (mlflow.utils.validation).
MAX_KEY, MAX_PARAM, MAX_TAG = 250, 6000, 8000

logger = logging.getLogger(__name__)


def flatten(tree: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Return nested mappings as one level, keys joined by dots, lists as JSON, values cut to MLflow's limit."""
    flat: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[name_of(f"{prefix}{key}")] = cut(redact_password(_text(value)), MAX_PARAM)
    return flat


def tags_of(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags with names and lengths MLflow takes."""
    return {name_of(key): cut(redact_password(str(value)), MAX_TAG) for key, value in tags.items()}


def finite(metrics: Mapping[str, float | None], *, noted: set[str]) -> dict[str, float]:
    """Return the metrics that are finite numbers; None is left out, NaN and infinities too but with a note.

    Args:
        noted: names a note was made of already, one is enough; filled in.
    """
    kept: dict[str, float] = {}
    for key, value in metrics.items():
        if value is None:
            continue
        if math.isfinite(number := float(value)):
            kept[name_of(key)] = number
        elif key not in noted:
            noted.add(key)
            logger.info("%s=%s is not sent to MLflow, which draws finite numbers only", key, number)
    return kept


def name_of(key: str) -> str:
    """Return the name with letters MLflow refuses replaced by _."""
    key = re.sub(r"[^\w.\- :/]", "_", key)
    if posixpath.normpath(key) != key or key.startswith(("/", "..")) or key == ".":
        key = "_" + key.replace("/", "_")
    return key[:MAX_KEY]


def cut(text: str, limit: int) -> str:
    """Return the text, its end replaced by … where it is longer than the limit."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, (bool, int, float, Mapping, Sequence)):
        return json.dumps(value, default=_plain, ensure_ascii=False)
    return str(value)


def _plain(value: object) -> object:
    """Config containers are mappings and sequences, though not dicts and lists."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Sequence) else str(value)


FILE = "mlflow.json"

State = Literal["running", "pending", "sent"]
Status = Literal["FINISHED", "FAILED", "KILLED"]


class Epoch(NamedTuple):
    """One epoch's metrics; the time is kept so that sending twice adds nothing."""

    epoch: int
    time: int  # ms since 1970
    metrics: dict[str, float]


@dataclass(kw_only=True)
class Record:
    """All MLflow is to know of a run besides the files of its directory; times in ms since 1970."""

    uri: str
    experiment_name: str
    run_directory_id: str  # unique; MLflow is asked for it before a run is created, so none is sent twice
    name: str
    params: dict[str, str]
    tags: dict[str, str]
    start_time: int
    state: State = "pending"
    reason: str | None = None  # why it is pending
    experiment_id: str | None = None
    run_id: str | None = None
    status: Status | None = None  # None until the run has ended
    end_time: int | None = None
    dataset: dict[str, str] | None = None  # name, digest, source, profile
    description: str | None = None  # the verdict
    last_epoch: int = 0
    epochs: list[Epoch] = field(default_factory=list)  # those not sent yet
    metrics: dict[str, float] | None = None

    def save(self, directory: Path) -> None:
        """Write the record into the run directory, whole or not at all."""
        with replacing(directory / FILE) as scratch:  # makes no folder where the run's is gone
            scratch.write_text(json.dumps(asdict(self), indent=1, allow_nan=False) + "\n", "utf-8")

    @classmethod
    def load(cls, directory: Path) -> Record:
        """Read the record of a run directory.

        Raises:
            ValueError: the file is not such a record.
        """
        try:
            record = cls(**read_json(directory / FILE))
            record.epochs = [Epoch(*epoch) for epoch in record.epochs]
        except (TypeError, ValueError) as error:
            raise ValueError(f"{directory / FILE} is not what this version writes: {error}") from error
        return record

    @classmethod
    def find(cls, directory: Path) -> Record | None:
        """The record of a run directory; None where there is none that this version can read."""
        try:
            return cls.load(directory)
        except (OSError, ValueError):
            return None


ID_TAG = "forecast.run_directory_id"
DIRECTORY_TAG = "forecast.directory"
NOTE_TAG = "mlflow.note.content"  # what MLflow's page shows as the description
# Of a run directory, the files that hold the model.
MODEL_FILES = ("model.safetensors", "scaler.json", "intervals.json", "config.yaml")
_MODEL_TAGS = ("strategy", "tickers", "identity", "data_fingerprint", "version")
JOB_FILE = "job.json"  # stands in the directory of each job of a sweep
_ROWS = 1000  # runs a search may return; more are never RUNNING on one host


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
        record: its status must be known; without a run_id the store is asked for the run first.
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
    if record.description:
        client.set_tag(record.run_id, NOTE_TAG, record.description)
    if record.status == "FINISHED" and (directory / MODEL_FILES[0]).is_file():
        send_model(client, record, directory)
    client.set_terminated(record.run_id, record.status, record.end_time)


def open_run(client: MlflowClient, record: Record) -> None:
    """Create the run unless `record.run_id` names it, and send tags and params.

    Args:
        record: its experiment_id must be known; its run_id is filled in.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param

    if record.run_id is None:
        run = client.create_run(
            record.experiment_id, start_time=record.start_time, tags=record.tags, run_name=record.name
        )
        record.run_id = str(run.info.run_id)
    client.log_batch(record.run_id, params=[Param(key, value) for key, value in record.params.items()])
    if record.dataset is not None:
        # What `mlflow.data.get_source` reads of data that code makes: a request is no file that it could open.
        source = json.dumps({"tags": json.loads(record.dataset["source"])})
        dataset = Dataset(**{**record.dataset, "source_type": "code", "source": source})
        context = [InputTag("mlflow.data.context", "training")]
        client.log_inputs(record.run_id, datasets=[DatasetInput(dataset, context)])


def send_epochs(client: MlflowClient, run_id: str, epochs: list[Epoch]) -> None:
    """Send per-epoch metrics; those the store has already, time included, are not doubled."""
    from mlflow.entities import Metric

    points = [
        Metric(key, value, epoch.time, epoch.epoch)
        for epoch in epochs
        for key, value in epoch.metrics.items()
    ]
    client.log_batch(run_id, metrics=points)


def send_model(client: MlflowClient, record: Record, directory: Path) -> None:
    """Make the run's model a logged model of MLflow, once; its files load with the run's own artifacts."""
    assert record.experiment_id is not None
    assert record.run_id is not None
    outputs = client.get_run(record.run_id).outputs
    if outputs is not None and outputs.model_outputs:
        return
    from mlflow.entities import LoggedModelOutput

    model = client.create_logged_model(
        record.experiment_id,
        name=re.sub(r"[/:.%\"']", "_", record.name),
        source_run_id=record.run_id,
        tags={key: record.tags[key] for key in _MODEL_TAGS if key in record.tags},
        model_type="forecast",
    )
    for name in MODEL_FILES:
        if (directory / name).is_file():
            client.log_model_artifact(model.model_id, str(directory / name))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(record.run_id, [LoggedModelOutput(model.model_id, record.last_epoch)])


def files_of(directory: Path) -> Iterator[Path]:
    """Yield the files of a run directory, sorted, without the record itself and without runs inside it.

    Of a finished run, those its manifest names: whatever else stands in the folder is not the run's.
    """
    manifest = directory / "manifest.json"
    if manifest.is_file():
        names = [*read_json(manifest).get("files", {}), manifest.name, "run.log"]
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
