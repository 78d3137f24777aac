"""The manifest of a run directory: a checksum of every file, written last.

A directory without `manifest.json` is no finished run, and one whose files do not match it has been altered.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from forecast.errors import UserError
from forecast.files import read_json, refused_by_disk, write_json, write_whole

MANIFEST = "manifest.json"
# What every run writes; whatever else stands in the folder is somebody else's.
REQUIRED = (
    "config.yaml",
    "data.json",
    "evaluation.json",
    "golden.safetensors",
    "history.json",
    "metrics.json",
    "forecasts.parquet",
    "model.safetensors",
    "scaler.json",
    "report.html",
)
# Listed like the others where a run writes them.
_OPTIONAL = (
    "baselines.parquet",
    "risk.parquet",
    "intervals.json",
    "reference.json",
    "audit.json",
    "metadata.json",
    "plots/errors.png",
    "plots/forecast_test.png",
    "plots/learning_curves.png",
    "plots/moves.png",
)
# Of those, what is read where a run is loaded: it must be listed, or somebody else put it there.
_READ = ("intervals.json", "reference.json", "metadata.json")
# Still written to after the run is finished, by the log and by the tracker.
_UNLISTED = ("run.log", "mlflow.json")
_FORMAT = 2


@contextmanager
def begin(directory: Path) -> Iterator[None]:
    """Take a directory for a run; the files of an earlier run in it are gone.

    Of a run that is refused meanwhile nothing is left, and no folder that is empty then.

    Raises:
        UserError: it cannot be written to, now or later, or another run is writing to it.
    """
    where = f"hydra.run.dir={directory}"
    with ExitStack() as stack:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            if not stack.enter_context(_held(directory)):
                raise UserError(
                    f"{where}: another run is writing there; wait for its end, or name another folder"
                )
            _clear(directory)
            write_whole(directory / "run.log", "")
        except OSError as error:
            raise UserError(
                f"{where}: cannot be written to ({error.strerror}); name another folder"
            ) from error
        try:
            yield
        except UserError:
            _discard(directory)
            raise
        except Exception as error:
            if (refused := refused_by_disk(error, where)) is None:
                raise
            _discard(directory)
            raise refused from error


@contextmanager
def _held(directory: Path) -> Iterator[bool]:
    """Whether this run has the directory for itself; the kernel gives it back when the process dies.

    The directory itself is locked: a lock file would stand among what runs leave.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except BlockingIOError:
        free = False
    except OSError:  # a file system without locks
        free = True
    try:
        yield free
    finally:
        os.close(descriptor)


def _discard(directory: Path) -> None:
    _clear(directory)
    for folder in (directory / "plots", directory):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _clear(directory: Path) -> None:
    for name in (MANIFEST, *REQUIRED, *_OPTIONAL, *_UNLISTED):  # the manifest first: half a run is no run
        (directory / name).unlink(missing_ok=True)


def finish(directory: Path, *, version: str, verified: Mapping[str, str] | None = None) -> None:
    """Write the manifest: after this the run is finished.

    Args:
        verified: digests of files that were just checked, which need not be hashed again.
    """
    written = [name for name in _OPTIONAL if (directory / name).is_file()]
    known = verified or {}
    files = {name: known.get(name) or _digest(directory / name) for name in (*REQUIRED, *written)}
    write_json(directory / MANIFEST, {"format": _FORMAT, "version": version, "files": files})


def is_finished(directory: Path) -> bool:
    """Whether a run was finished there."""
    return (directory / MANIFEST).is_file()


def verify(directory: Path) -> dict[str, Any]:
    """Check a run directory against its manifest, every file hashed: once where it comes from elsewhere.

    Raises:
        UserError: no finished run, a file missing, altered or added, or written by an incompatible version.
    """
    if not is_finished(directory):
        raise UserError(f"{directory}: no finished run here ({MANIFEST} is missing)")
    try:
        manifest: dict[str, Any] = read_json(directory / MANIFEST)
        form, written = manifest["format"], dict(manifest["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{directory / MANIFEST}: is damaged ({error})") from error
    if form != _FORMAT:
        raise UserError(f"{directory}: written in format {form}, this version reads {_FORMAT}")
    if unlisted := sorted(set(REQUIRED) - set(written)):
        raise UserError(f"{directory / MANIFEST}: is damaged (does not list {', '.join(unlisted)})")
    if strange := [name for name in _READ if name not in written and (directory / name).exists()]:
        raise UserError(
            f"{directory / strange[0]}: is not in the manifest, so the run did not write it; remove it"
        )
    for name, digest in written.items():
        path = directory / name
        if not path.resolve().is_relative_to(directory.resolve()) or path.is_symlink():
            raise UserError(f"{path}: leads out of the run directory")
        if not path.is_file():
            raise UserError(f"{path}: is missing")
        if _digest(path) != digest:
            raise UserError(f"{path}: was altered since the run wrote it")
    return manifest


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
