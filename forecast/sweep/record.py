"""What a sweep keeps on disk: `sweep.json`, a `job.json` in each job's directory, and an index of runs by identity."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from forecast import bundle
from forecast.errors import UserError
from forecast.files import locked, read_json, write_json
from forecast.finished_runs import identity_of

SWEEP_FILE, JOB_FILE, INDEX_FOLDER = "sweep.json", "job.json", ".runs"
_DEPTH = 4  # levels of folders below the sweep's that may hold jobs: hydra.sweep.subdir may have several

Status = Literal[
    "running",
    "finished",
    "reused",  # an identical run had finished before; `directory` holds it
    "pruned",  # stopped by the tuner
    "skipped",  # a combination that is impossible by definition
    "failed",
    "interrupted",  # in flight when the sweep was given up
]
DONE = ("finished", "reused", "pruned", "skipped", "failed", "interrupted")


@dataclass(kw_only=True)
class SweepRun:
    """One start of a sweep's command; started again, the same command is another."""

    sweep: str  # its id, which its jobs carry
    overrides: list[str]  # as typed
    total: int | None  # jobs, where that is known beforehand
    began: float  # seconds since 1970

    def save(self, directory: Path) -> None:
        """Write it, in place of that of an earlier start."""
        write_json(directory / SWEEP_FILE, asdict(self))

    @classmethod
    def load(cls, directory: Path) -> SweepRun:
        """Read it.

        Raises:
            UserError: there is none.
        """
        try:
            return cls(**read_json(directory / SWEEP_FILE))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{directory}: no sweep here ({SWEEP_FILE} is missing or damaged)") from error


@dataclass(kw_only=True)
class JobResult:
    """One job of a sweep: what it is, how far it has come, how it ended."""

    sweep: str  # id of the SweepRun it belongs to
    number: int
    overrides: list[str]
    directory: str  # absolute: holds the result
    metric: str
    mode: str
    status: Status = "running"
    identity: str | None = None
    objective: float | None = None  # while it runs, and when it was stopped: the best so far
    epochs: int = 0
    began: float = 0.0  # seconds since 1970
    seconds: float | None = None  # wall time; None while it runs
    error: str | None = None  # one line
    user_error: bool = False  # the error is the user's mistake
    attempts: int = 1
    run_id: str | None = None  # MLflow's
    process: dict[str, str] = field(default_factory=dict)  # the one it runs in

    @property
    def title(self) -> str:
        """Its name on the screen."""
        return f"job {self.number} ({' '.join(self.overrides) or 'no overrides'})"

    @property
    def scored(self) -> bool:
        """Whether it finished and has an objective."""
        return self.status in ("finished", "reused") and self.objective is not None

    @property
    def score(self) -> float:
        """The objective of one that is scored."""
        assert self.objective is not None
        return self.objective

    def save(self, directory: Path) -> None:
        """Write it into the job's own directory, whole or not at all."""
        write_json(directory / JOB_FILE, asdict(self))

    @classmethod
    def load(cls, path: Path) -> JobResult | None:
        """Read a job.json, also one of an earlier version; None where it is gone or damaged."""
        known = {item.name for item in fields(cls)}
        try:
            content: dict[str, Any] = read_json(path)
            if "mistake" in content:
                content["user_error"] = content.pop("mistake")
            if content.get("status") == "left out":
                content["status"] = "skipped"
            return cls(**{name: value for name, value in content.items() if name in known})
        except (OSError, ValueError, TypeError, AttributeError):
            return None


class Jobs:
    """The job.json files below a sweep's directory, each read again only when it has changed.

    Args:
        sweep: id of the SweepRun whose jobs count; None = all, also those an earlier one left.
    """

    def __init__(self, directory: Path, *, sweep: str | None = None) -> None:
        self.directory, self.sweep = directory, sweep
        self._read: dict[Path, tuple[int, JobResult | None]] = {}

    def read(self) -> list[JobResult]:
        """All jobs that have begun, by number."""
        return sorted((job for _, job in self.files()), key=lambda job: job.number)

    def files(self) -> Iterator[tuple[Path, JobResult]]:
        """Each file with its job; nothing is searched for below a job."""
        for path in _job_files(self.directory, _DEPTH):
            try:
                changed = path.stat().st_mtime_ns
            except OSError:
                continue  # being replaced, or gone
            if self._read.get(path, (0, None))[0] != changed:
                self._read[path] = changed, JobResult.load(path)
            job = self._read[path][1]
            if job is not None and self.sweep in (None, job.sweep):
                yield path, job


def _job_files(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for entry in entries:
        path = Path(entry.path, JOB_FILE)
        if path.is_file():
            yield path
        elif depth > 1 and not entry.name.startswith("."):
            yield from _job_files(Path(entry.path), depth - 1)


class RunIndex:
    """Runs by identity: one small file each, which lists the directories it was run in.

    A directory is added before it is run in, and checked when it is looked up, so nothing depends on how a process
    ended.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def locked(self, identity: str) -> AbstractContextManager[None]:
        """Hold an identity, so that of two identical jobs the second waits and reuses the first."""
        return locked(self.root / INDEX_FOLDER / f".{identity}.lock")

    def find(self, identity: str, *, own: Path) -> Path | None:
        """The directory of a finished, unaltered run; None if there is none.

        Args:
            own: the directory of the job itself, which may hold one that was not added.
        """
        for directory in dict.fromkeys([own, *reversed(self._directories(identity))]):
            if _holds(directory, identity):
                return directory
        return None

    def add(self, identity: str, directory: Path) -> None:
        """Add a directory in which it is about to be run."""
        if directory in self._directories(identity):
            return
        line = os.path.relpath(directory, self.root) if directory.is_relative_to(self.root) else directory
        path = self.root / INDEX_FOLDER / identity
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def _directories(self, identity: str) -> list[Path]:
        try:
            lines = (self.root / INDEX_FOLDER / identity).read_text("utf-8").splitlines()
        except OSError:
            return []
        return [Path(os.path.normpath(self.root / line)) for line in lines if line]


def _holds(directory: Path, identity: str) -> bool:
    """Whether a finished run of that identity is there, as it was written."""
    if not bundle.is_finished(directory):
        return False
    try:
        bundle.verify(directory)
    except (UserError, OSError):
        return False
    return identity_of(directory) == identity
