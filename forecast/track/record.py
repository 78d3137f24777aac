"""`mlflow.json` in the run directory: what MLflow was told, and what it has still to be told."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from forecast.files import replacing

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
    last_epoch: int = 0
    epochs: list[Epoch] = field(default_factory=list)  # those not sent yet
    metrics: dict[str, float] | None = None

    def save(self, directory: Path) -> None:
        """Write the record into the run directory, whole or not at all."""
        with replacing(directory / FILE) as scratch:
            scratch.write_text(json.dumps(asdict(self), indent=1, allow_nan=False) + "\n", "utf-8")

    @classmethod
    def load(cls, directory: Path) -> Record:
        """Read the record of a run directory.

        Raises:
            ValueError: the file is not such a record.
        """
        try:
            record = cls(**json.loads((directory / FILE).read_text("utf-8")))
            record.epochs = [Epoch(*epoch) for epoch in record.epochs]
        except (TypeError, ValueError) as error:
            raise ValueError(f"{directory / FILE} is not what this version writes: {error}") from error
        return record
