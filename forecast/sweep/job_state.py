"""`job.json` in the directory of each job of a sweep: what it is, how far it got, what became of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from forecast.files import write_whole

FILE = "job.json"
_DEPTH = (
    4  # folders below the sweep's in which jobs are looked for: hydra.sweep.subdir may have several parts
)

Status = Literal[
    "running",
    "finished",
    "reused",  # an identical run had finished before; `directory` holds it
    "pruned",  # stopped, because others do better
    "left out",  # excluded by definition
    "failed",
    "interrupted",
]
OVER = ("finished", "reused", "pruned", "left out", "failed", "interrupted")


@dataclass(kw_only=True)
class JobState:
    """One job of a sweep."""

    sweep: str  # the issue of the sweep it belongs to
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
    mistake: bool = False  # the user's
    attempts: int = 1
    run_id: str | None = None  # MLflow's
    process: dict[str, str] = field(default_factory=dict)  # where it runs

    @property
    def title(self) -> str:
        """As it is named on the screen."""
        return f"job {self.number} ({' '.join(self.overrides) or 'no overrides'})"

    def save(self, directory: Path) -> None:
        """Write it into the job's own directory, whole or not at all."""
        write_whole(directory / FILE, json.dumps(asdict(self), indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> JobState | None:
        """Read a job.json; None where it is gone or not one that this version writes."""
        try:
            read: Any = json.loads(path.read_text("utf-8"))
            known = {item.name for item in fields(cls)}
            return cls(**{name: value for name, value in read.items() if name in known})
        except (OSError, ValueError, TypeError, AttributeError):
            return None


def job_files(directory: Path) -> Iterator[Path]:
    """Every job.json below a sweep's directory; nothing is looked for below a job."""
    yield from _files(directory, _DEPTH)


def jobs_of(directory: Path, *, sweep: str | None = None) -> list[JobState]:
    """The jobs of a sweep by number.

    Args:
        directory: of the sweep.
        sweep: only those of this issue; an earlier one may have left others.
    """
    found = (JobState.load(path) for path in job_files(directory))
    jobs = [job for job in found if job is not None and sweep in (None, job.sweep)]
    return sorted(jobs, key=lambda job: job.number)


def _files(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for entry in entries:
        path = Path(entry.path, FILE)
        if path.is_file():
            yield path
        elif depth > 1 and not entry.name.startswith("."):
            yield from _files(Path(entry.path), depth - 1)
