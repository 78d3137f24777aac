"""How far a training job got, in a file that any process may read at any time."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from forecast.files import write_whole

FILE = "state.json"
RUN = "run"  # folder of the run directory in that of the job

State = Literal["running", "promoted", "kept", "failed", "cancelled"]
Phase = Literal["starting", "fetching", "training", "comparing", "promoting", "ended"]


@dataclass(kw_only=True)
class JobState:
    """A job.

    Args:
        job: its name.
        kind: `train` or `update`.
        state: `promoted`: what it trained is the champion now; `kept`: the old one stays, on purpose.
        phase: what it is busy with.
        began: UTC, ISO 8601.
        ended: likewise; None while it runs.
        seconds: since it began.
        progress: `epoch` (from 1), `max_epochs`, and the figures of that epoch.
        metrics: of the finished run.
        message: what became of it, in a line.
        error: why it failed, in a line.
        status: HTTP status of that failure.
        comparison: with the champion it had to match.
        model_path: folder of the model it made: of the champion where it was promoted, else of the run.
        server: which server started it.
    """

    job: str
    kind: Literal["train", "update"]
    server: str
    state: State = "running"
    phase: Phase = "starting"
    began: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    ended: str | None = None
    seconds: float = 0.0
    progress: dict[str, float | int | None] = field(default_factory=dict)
    metrics: dict[str, float | None] = field(default_factory=dict)
    message: str = ""
    error: str | None = None
    status: int | None = None
    comparison: dict[str, Any] | None = None
    model_path: str | None = None

    @property
    def running(self) -> bool:
        """Whether it has not come to an end."""
        return self.state == "running"

    def end(self, state: State, message: str, *, status: int | None = None) -> None:
        """What became of it.

        Args:
            state: not `running`.
            message: one line; of a failure, why.
            status: HTTP status of a failure.
        """
        now = datetime.now(UTC)
        self.state, self.phase, self.message = state, "ended", " ".join(message.split())
        self.error = self.message if state in ("failed", "cancelled") else None
        self.status = status
        self.ended = now.isoformat(timespec="milliseconds")
        self.seconds = round((now - datetime.fromisoformat(self.began)).total_seconds(), 3)

    def save(self, folder: Path) -> None:
        """Write it into the folder of the job.

        Raises:
            OSError: the disk does not take it.
        """
        write_whole(folder / FILE, json.dumps(asdict(self), indent=2, allow_nan=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> JobState | None:
        """Read it from the folder of a job; None where there is none, or one that another version wrote."""
        try:
            return cls(**json.loads((folder / FILE).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None
