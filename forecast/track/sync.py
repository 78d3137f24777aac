"""Send the runs that could not be sent while they ran."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from forecast.errors import UserError
from forecast.files import locked, read_json
from forecast.track import delivery, process
from forecast.track.connection import (
    call_with_timeout,
    check_uri,
    connect,
    error_summary,
    redact_password,
    resolved,
)
from forecast.track.delivery import FILE, Record, finite

DEFAULT_FOLDERS = ("outputs", "multirun")
# Someone waits at the prompt, no run does: longer than a run would.
PATIENCE_S = 30.0


@dataclass
class Summary:
    """What became of the runs looked at."""

    sent: list[Path] = field(default_factory=list)
    running: list[Path] = field(default_factory=list)  # or on a host that cannot be seen from here
    failed: dict[Path, str] = field(default_factory=dict)  # directory and why


def sync(folders: Iterable[Path], *, uri: str | None = None) -> Summary:
    """Send every run under the folders that MLflow does not know whole; running it again does no harm.

    Args:
        folders: run directories, or folders that hold some at any depth.
        uri: where to send them, by default where each was to be recorded.

    Raises:
        UserError: a folder that does not exist, or an address no run could be sent to.
    """
    if uri is not None:
        check_uri(uri)
    summary = Summary()
    down: dict[str, str] = {}
    for directory in list(_run_directories(folders)):
        try:
            # A second sync must not send the same run; beside the directory, all of which is sent.
            with locked(directory.parent / f".{directory.name}.lock", remove=True):
                _send(directory, down, uri, summary)
        except Exception as error:  # noqa: BLE001 - one run that cannot be sent must not keep back the others
            summary.failed[directory] = error_summary(error)
    return summary


def _send(directory: Path, down: dict[str, str], uri: str | None, summary: Summary) -> None:
    """Send one run; `down` holds the stores that were waited for in vain: once is enough."""
    record = Record.load(directory)
    if record.state == "sent":
        return
    if record.status is None:
        if not process.is_dead(record.tags):
            summary.running.append(directory)
            return
        _end(record, directory)
    record.uri = resolved(uri or record.uri)
    if record.uri in down:
        raise ConnectionError(down[record.uri])
    patience_s = PATIENCE_S + delivery.allowance_s(record, directory)
    begun = time.monotonic()
    try:
        client = connect(record.uri, patience_s=PATIENCE_S)
        record.run_id = None  # the store knows best: it may be another one by now
        call_with_timeout(patience_s, lambda: delivery.deliver(client, record, directory))
    except Exception as error:  # noqa: BLE001 - raised again with the address, in a line
        message = f"{redact_password(record.uri)}: {error_summary(error)}"
        if time.monotonic() - begun >= PATIENCE_S:
            down[record.uri] = message
        raise ConnectionError(message) from None
    record.state, record.reason = "sent", None
    record.epochs.clear()
    record.save(directory)
    summary.sent.append(directory)


def _end(record: Record, directory: Path) -> None:
    """Say for a process that died how its run ended: its manifest is written last."""
    record.status = "FINISHED" if (directory / "manifest.json").exists() else "KILLED"
    record.end_time = max(
        int(file.stat().st_mtime * 1000) for file in (*delivery.files_of(directory), directory / FILE)
    )
    metrics = directory / "metrics.json"
    if record.metrics is None and metrics.exists():
        record.metrics = finite(read_json(metrics), noted=set())


def _run_directories(folders: Iterable[Path]) -> Iterator[Path]:
    seen: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; name run directories or folders that hold some")
        for path, inner, files in os.walk(folder):
            inner.sort()
            if FILE in files and (directory := Path(path)).resolve() not in seen:
                seen.add(directory.resolve())
                yield directory
