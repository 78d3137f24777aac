"""Record one run in MLflow while it goes on; MLflow serves the run, never the other way round."""

from __future__ import annotations

import logging
import shlex
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt

from forecast.errors import UserError
from forecast.files import LocalUrl
from forecast.track import delivery, process
from forecast.track.connection import (
    call_with_timeout,
    check_uri,
    connect,
    error_summary,
    redact_password,
    resolved,
    sqlite_file,
)
from forecast.track.delivery import FILE, MAX_TAG, Epoch, Record, Status, cut, finite, flatten, tags_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

# A call costs some 30 ms: under 1 % of the time between two, and the page is never older than this.
FLUSH_S = 5.0
# Of a slow store's time a run gives no more than one part in this many.
FLUSH_SHARE = 20
MAX_EXPERIMENT_NAME = 500  # MLflow's own limit

logger = logging.getLogger(__name__)


class MLflowTracker:
    """Sends one run at a time to MLflow; if that fails, says so once and leaves the rest to `sync`.

    Args:
        uri: sqlite:///file.db or the address of a server.
        experiment_name: the heading runs stand under; made when missing.
        patience_s: seconds a run waits, in all, for a store that does not answer.

    Raises:
        UserError: an address or a name no run could be recorded under.
    """

    def __init__(
        self,
        *,
        uri: Annotated[str, LocalUrl()],
        experiment_name: str,
        patience_s: Annotated[float, Gt(0)] = 10.0,
    ) -> None:
        check_uri(uri)
        if not experiment_name.strip() or len(experiment_name) > MAX_EXPERIMENT_NAME:
            raise UserError(
                f"tracker.experiment_name={cut(experiment_name, 40)!r}: "
                f"must be 1 to {MAX_EXPERIMENT_NAME} letters; for instance forecast"
            )
        self.uri = uri
        self.experiment_name = experiment_name
        self.patience_s = patience_s
        self._record: Record | None = None
        self._directory = Path()
        self._client: MlflowClient | None = None
        self._down = False  # MLflow is not asked again in this run
        self._lost = False  # nor can it be sent later
        self._next_flush = 0.0
        self._noted: set[str] = set()

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run that is going on, None where it could not be recorded."""
        return None if self._record is None or self._down else self._record.run_id

    def start(
        self,
        *,
        directory: Path,
        name: str,
        params: Mapping[str, object],
        tags: Mapping[str, str],
        dataset: Mapping[str, str] | None = None,
    ) -> None:
        """Open a RUNNING run, after ending those that dead processes of this host left behind.

        Args:
            tags: what runs are searched by; `mlflow.parentRunId` makes it the child of another.
            dataset: `name`, `digest`, `source` and `profile` (JSON) of the bars, shown as the run's input.
        """
        own = {delivery.ID_TAG: uuid.uuid4().hex, delivery.DIRECTORY_TAG: str(directory.absolute())}
        record = Record(
            uri=resolved(self.uri),
            experiment_name=self.experiment_name,
            run_directory_id=own[delivery.ID_TAG],
            name=cut(name, 250),
            params=flatten(params),
            tags=tags_of({**process.identity(), **_shown_tags(tags), **tags, **own}),
            start_time=_now(),
            dataset=None if dataset is None else dict(dataset),
        )
        self._begin(record, directory)
        self._attempt(record, self._open)

    def take_over(self, directory: Path) -> None:
        """Go on with the run that another process opened for a directory, as far as ending it.

        Raises:
            ValueError: there is no such record.
        """
        self._begin(Record.load(directory), directory)

    def _begin(self, record: Record, directory: Path) -> None:
        self._record, self._directory, self._client, self._noted = record, directory, None, set()
        self._down = self._lost = False

    def end_dead_runs(self) -> None:
        """End as KILLED the runs that dead processes of this host left RUNNING; nothing if there is no store.

        Raises:
            Exception: whatever says that the store cannot be used.
        """
        uri = resolved(self.uri)
        database = sqlite_file(uri)
        if database is not None and not database.is_file():
            return
        client = connect(uri, patience_s=self.patience_s)

        def end() -> None:
            experiment = client.get_experiment_by_name(self.experiment_name)
            if experiment is not None:
                delivery.end_dead_runs(client, str(experiment.experiment_id))

        call_with_timeout(self.patience_s, end)

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Note an epoch's metrics; they are sent together with others, every few seconds."""
        record = self._record
        assert record is not None, "start() first"
        record.epochs.append(Epoch(epoch, _now(), finite(metrics, noted=self._noted)))
        record.last_epoch = max(record.last_epoch, epoch)
        if time.monotonic() >= self._next_flush:
            self._attempt(record, self._flush)

    def finish(
        self, *, status: Status, metrics: Mapping[str, float | None], description: str | None = None
    ) -> None:
        """Send the final metrics and the whole run directory, and end the run; nothing if none was started."""
        record = self._record
        if record is None:
            return
        record.status, record.metrics = status, finite(metrics, noted=self._noted)
        record.description = description and cut(description, MAX_TAG)
        # Later than every epoch, so that these are the figures shown.
        record.end_time = max([_now(), *(epoch.time + 1 for epoch in record.epochs)])
        self._attempt(record, self._close)
        if self._down:
            self._save(record)
        self._record = self._client = None

    def _open(self, record: Record) -> None:
        record.save(self._directory)  # pending: a run killed from here on is not lost
        self._client = client = connect(record.uri, patience_s=self.patience_s)

        def open_run() -> None:
            record.experiment_id = delivery.experiment_of(client, record)
            delivery.end_dead_runs(client, record.experiment_id)
            delivery.open_run(client, record)

        call_with_timeout(self.patience_s, open_run)
        record.state = "running"
        record.save(self._directory)
        self._next_flush = time.monotonic() + FLUSH_S

    def _flush(self, record: Record) -> None:
        client, run_id, epochs = self._client, record.run_id, list(record.epochs)
        assert client is not None
        assert run_id is not None
        begun = time.monotonic()
        call_with_timeout(self.patience_s, lambda: delivery.send_epochs(client, run_id, epochs))
        del record.epochs[: len(epochs)]  # here, not in a thread that may have been given up
        now = time.monotonic()
        self._next_flush = now + max(FLUSH_S, FLUSH_SHARE * (now - begun))

    def _close(self, record: Record) -> None:
        record.state = "pending"
        record.save(self._directory)  # all sync needs, should this process die while sending
        client = self._client or connect(record.uri, patience_s=self.patience_s)
        patience_s = self.patience_s + delivery.allowance_s(record, self._directory)
        call_with_timeout(patience_s, lambda: delivery.deliver(client, record, self._directory))
        record.state = "sent"
        record.epochs.clear()
        record.save(self._directory)

    def _attempt(self, record: Record, step: Callable[[Record], None]) -> None:
        """Take a step towards MLflow unless an earlier one failed; whatever fails here, the run goes on."""
        if self._down:
            return
        try:
            step(record)
        except Exception as error:  # noqa: BLE001 - MLflow, its drivers and the network raise anything
            self._give_up(record, error_summary(error))

    def _give_up(self, record: Record, why: str) -> None:
        self._down = True
        record.state, record.reason = "pending", why
        later = f"send it later with: python -m forecast.track sync {shlex.quote(str(self._directory))}"
        try:
            record.save(self._directory)
        except OSError as error:
            self._lost = True
            later = f"it cannot be sent later either ({error_summary(error)})"
        logger.warning(
            "tracking is down (%s: %s); the run goes on; %s", redact_password(record.uri), why, later
        )

    def _save(self, record: Record) -> None:
        if self._lost:
            return
        try:
            record.save(self._directory)
        except OSError as error:
            logger.warning("%s is not up to date: %s", self._directory / FILE, error_summary(error))


def _shown_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """What MLflow's own pages show of a run: who started what, at which commit."""
    revision = tags.get("git_revision", "").removesuffix("-dirty")
    shown = {
        "mlflow.user": process.user(),
        "mlflow.source.name": sys.argv[0] or "python",
        "mlflow.source.type": "LOCAL",
    }
    return {**shown, "mlflow.source.git.commit": revision} if revision else shown


def _now() -> int:
    """Milliseconds since 1970, MLflow's clock."""
    return time.time_ns() // 1_000_000
