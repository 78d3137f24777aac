"""The run directory of a candidate: the one on this machine, or MLflow's copy of it."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

from forecast import bundle
from forecast.champion.candidate import Candidate, is_of
from forecast.errors import UserError
from forecast.track.uri import masked, resolved
from forecast.track.waiting import reason, within

_MANIFEST_S = 60.0
_BYTES_A_SECOND = 1e5  # a store slower than this is given up
_LEAST_S = 120.0


def fetch(candidate: Candidate, *, uri: str, patience_s: float, scratch: Path) -> Path:
    """A verified run directory of a candidate.

    A directory that holds this very run is taken or refused; only where there is none (the run was made on
    another machine, or its folder is gone or was taken by a later run) MLflow's copy is downloaded.

    Args:
        candidate: from MLflow.
        uri: of the store it is from.
        patience_s: seconds to wait for a store that does not answer.
        scratch: a folder that does not exist; a copy is put there.

    Raises:
        UserError: a file is missing or was altered, here or in MLflow's copy; or the copy cannot be had.
    """
    directory = candidate.directory
    if directory.is_dir() and is_of(directory, candidate):
        try:
            bundle.verify(directory)
        except UserError as error:
            raise UserError(
                f"{error}; restore it, or move {directory} away to have MLflow's copy checked and taken"
            ) from error
        return directory
    download(candidate, uri=uri, patience_s=patience_s, scratch=scratch)
    try:
        bundle.verify(scratch)
    except UserError as error:
        told = str(error).replace(str(scratch), f"MLflow's copy of run {candidate.run_id}")
        raise UserError(f"{told}; {directory}, where it was written, is not on this machine") from error
    if not is_of(scratch, candidate):
        raise UserError(f"run {candidate.run_id}: MLflow's copy is that of another run; send it again")
    return scratch


def download(candidate: Candidate, *, uri: str, patience_s: float, scratch: Path) -> None:
    """Put MLflow's copy of a run into a new folder.

    Raises:
        UserError: it is not there whole, or MLflow does not answer.
        OSError: the disk does not take it.
    """
    assert candidate.run_id is not None, "known from its directory alone, which is not there"
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from forecast.track.store import connect

    run_id = candidate.run_id
    scratch.mkdir()
    try:
        client = connect(resolved(uri), patience_s=patience_s)
        listed = within(_MANIFEST_S, lambda: client.list_artifacts(run_id))
        if bundle.MANIFEST not in {item.path for item in listed}:
            raise UserError(
                f"run {run_id}: its directory {candidate.directory} is not on this machine, and MLflow has no "
                "copy of it; copy the directory here and name it: python -m forecast.champion export DIR"
            )
        size = sum(item.file_size or 0 for item in listed)
        seconds = _LEAST_S + size / _BYTES_A_SECOND
        within(seconds, lambda: client.download_artifacts(run_id, "", str(scratch)))
    except UserError:
        raise
    except Exception as error:  # MLflow, its drivers and the network raise anything
        if (full := _disk_error(error)) is not None:
            raise full from error
        raise UserError(
            f"tracker.uri={masked(uri)}: the copy of run {run_id} cannot be had ({reason(error)}), and its "
            f"directory {candidate.directory} is not on this machine; try again later"
        ) from error


def check_metric_value(directory: Path, candidate: Candidate, metric: str) -> None:
    """Refuse a run whose directory tells another figure than the one it was ranked by.

    Raises:
        UserError: it does.
    """
    ranked = candidate.metrics[metric]
    there = json.loads((directory / "metrics.json").read_text("utf-8")).get(metric)
    if there is None or not math.isclose(there, ranked, rel_tol=1e-9):
        raise UserError(
            f"run {candidate.name}: MLflow says {metric}={ranked:.9g}, its metrics.json says {there}; "
            "somebody changed one of them, so it is not ranked by it; delete the run in MLflow or send it anew"
        )


def _disk_error(error: BaseException) -> OSError | None:
    """A full or forbidden disk, wherever MLflow wrapped it."""
    import errno

    told: BaseException | None = error
    while told is not None:
        if isinstance(told, OSError) and told.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
            return told
        told = told.__cause__ or told.__context__
    return None
