"""The run in MLflow that holds a sweep's runs as its children.

It is opened by the first job that records itself, so that a sweep of which every job is refused leaves nothing in
MLflow; and ended by the process that was started.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.files import locked
from forecast.track.connection import error_summary
from forecast.track.delivery import FILE, Record, Status

if TYPE_CHECKING:
    from forecast.track import MLflowTracker

PARENT_TAG, KIND_TAG, SWEEP = "mlflow.parentRunId", "kind", "sweep"
LOCK = f".{FILE}.lock"
PATIENCE_S = 30.0  # seconds: a sweep has ended and can wait longer than a run

log = logging.getLogger(__name__)


def parent_tags(directory: Path, tracker: Any, *, driver: Mapping[str, str]) -> dict[str, str]:
    """The tag that makes a run a child of the sweep's, which is opened if no other job has done so."""
    from forecast.track import MLflowTracker

    if not isinstance(tracker, MLflowTracker):
        return {}
    with locked(directory / LOCK):
        if not (directory / FILE).is_file():
            MLflowTracker(
                uri=tracker.uri, experiment_name=tracker.experiment_name, patience_s=tracker.patience_s
            ).start(
                directory=directory,
                name=f"sweep {directory.name}",
                params={},
                tags={**driver, KIND_TAG: SWEEP},
            )
        record = Record.find(directory)
    return {} if record is None or record.run_id is None else {PARENT_TAG: record.run_id}


def end_parent(
    directory: Path,
    *,
    status: Status,
    metrics: Mapping[str, float | None],
    reused: Iterable[Path] = (),
    description: str = "",
    tracker: MLflowTracker | None = None,
    driver: Mapping[str, str],
) -> None:
    """End the sweep's run, adopt the runs of sweeps that were killed, and end what dead processes left.

    What MLflow does not take now is left to `python -m forecast.track sync`; the sweep's result is not touched.

    Args:
        reused: directories of the runs it took from earlier sweeps.
        description: of the sweep's run, as Markdown.
    """
    try:
        _send_late(reused)
        adopted = [] if tracker is None else _orphans(reused)
        if adopted and not (directory / FILE).is_file():
            parent_tags(directory, tracker, driver=driver)
        parent = Record.find(directory)
        if parent is not None and parent.run_id is not None:
            for path in adopted:
                _adopt(path, parent)
        if parent is not None:
            from forecast.track import MLflowTracker

            holder = MLflowTracker(uri=parent.uri, experiment_name=parent.experiment_name)
            holder.take_over(directory)
            holder.finish(status=status, metrics=metrics, description=description)
        if tracker is not None:
            tracker.end_dead_runs()
    except Exception as error:  # noqa: BLE001 - MLflow, its drivers and the network raise anything
        log.warning("the sweep is not wholly recorded in MLflow: %s", error_summary(error))


def _send_late(directories: Iterable[Path]) -> None:
    """Send the finished runs whose process died before MLflow knew all of them."""
    from forecast.track.sync import sync

    waiting = [
        path for path in directories if (record := Record.find(path)) is not None and record.state != "sent"
    ]
    if waiting:
        for path, why in sync(waiting).failed.items():
            log.warning("%s: not sent to MLflow (%s)", path, why)


def _orphans(directories: Iterable[Path]) -> list[Path]:
    """Of finished runs, those whose sweep did not finish."""
    from forecast.track.connection import connect

    found = []
    finished: dict[tuple[str, str], bool] = {}  # whether the sweep did, by store and run
    for directory in directories:
        record = Record.find(directory)
        if record is None or record.run_id is None or PARENT_TAG not in record.tags:
            continue
        sweep = record.uri, record.tags[PARENT_TAG]
        if sweep not in finished:
            client = connect(record.uri, patience_s=PATIENCE_S)
            finished[sweep] = client.get_run(sweep[1]).info.status == "FINISHED"
        if not finished[sweep]:
            found.append(directory)
    return found


def _adopt(directory: Path, parent: Record) -> None:
    from forecast.track.connection import call_with_timeout, connect

    record = Record.find(directory)
    if record is None or record.run_id is None or record.uri != parent.uri:
        return
    child, holder = record.run_id, str(parent.run_id)
    client = connect(record.uri, patience_s=PATIENCE_S)
    call_with_timeout(PATIENCE_S, lambda: client.set_tag(child, PARENT_TAG, holder))
    record.tags[PARENT_TAG] = holder
    record.save(directory)
