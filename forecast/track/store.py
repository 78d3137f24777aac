"""A client of the MLflow store, made ready without MLflow's chatter, races and long retries."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from forecast.track.uri import sqlite_file
from forecast.track.waiting import within

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Defaults of this process; what the user's environment says stands.
_ENVIRONMENT = {
    # A call that was not answered may still have been carried out; asking again could create a second run.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    # The last line a run prints is its directory.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # Nothing is told to third parties, and no run waits for them.
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
# A new database takes 4 s here, 12 s on a busy machine; many jobs may wait for the one that makes it.
CREATION_S = 180.0
_CREATE = (
    "import sys, mlflow; mlflow.MlflowClient(tracking_uri=sys.argv[1]).search_experiments(max_results=1)"
)

logger = logging.getLogger(__name__)


def connect(uri: str, *, patience_s: float) -> MlflowClient:
    """Return a client of the store; a missing sqlite database is made first.

    Args:
        uri: a resolved address.
        patience_s: how long a store that does not answer is waited for.

    Raises:
        Exception: whatever says that the store cannot be used.
    """
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    database = sqlite_file(uri)
    if database is not None:
        _make_ready(database, patience_s)
    from mlflow import MlflowClient

    # A locked database with its traceback, every look at the schema: the tracker says in a line what matters.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if "://" in uri and not uri.startswith("http"):
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 - imports take no part in the patience
    return within(patience_s, lambda: MlflowClient(tracking_uri=uri))


def artifact_folder(uri: str, experiment_name: str) -> str | None:
    """Return where a new experiment keeps its files: beside a sqlite database, else where the server says.

    MLflow's own default is a folder of the working directory of whoever happened to create the experiment.
    """
    database = sqlite_file(uri)
    if database is None:
        return None
    plain = re.fullmatch(r"\w[\w.-]{0,99}", experiment_name, re.ASCII)
    name = experiment_name if plain else hashlib.sha256(experiment_name.encode()).hexdigest()[:16]
    return str(database.parent / "mlruns" / name)


def _make_ready(database: Path, patience_s: float) -> None:
    if _has_tables(database, patience_s):
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    lock = database.with_name(f".{database.name}.lock")
    with _exclusive(lock) as descriptor:
        if _has_tables(database, patience_s):
            return
        logger.info("creating the MLflow store %s, once", database)
        _create(database, descriptor)
        lock.unlink()  # whoever waits for it, or makes it anew, finds the database


def _has_tables(database: Path, patience_s: float) -> bool:
    """Whether MLflow's tables are there; raises at once what MLflow would retry for 100 s."""
    if not database.exists():
        return False
    address = f"file:{quote(str(database))}?mode=rw"
    with closing(sqlite3.connect(address, uri=True, timeout=patience_s, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")  # only who may write gets through
        tables = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        connection.execute("ROLLBACK")
    if tables and not tables >= {"experiments", "runs", "alembic_version"}:
        raise ValueError(f"{database} is not an MLflow database; name another file")
    return bool(tables)


def _create(database: Path, lock: int) -> None:
    """Make the database beside its place and move it there, so that none is ever seen half made."""
    scratch = database.with_name(f".{database.name}.new")
    scratch.unlink(missing_ok=True)
    try:
        subprocess.run(
            [sys.executable, "-P", "-c", _CREATE, f"sqlite:///{scratch}"],
            cwd=database.parent,  # MLflow's own "Default" experiment keeps its files in mlruns there
            pass_fds=[lock],  # if this process is killed, the other still holds the lock until it ends
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=CREATION_S,
        )
        os.replace(scratch, database)
    except subprocess.CalledProcessError as error:
        raise RuntimeError((error.stderr.strip().splitlines() or ["no store was made"])[-1]) from error
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def _exclusive(lock: Path) -> Iterator[int]:
    """Hold the lock file; the kernel lets go of it when its holder dies."""
    import fcntl

    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        deadline = time.monotonic() + CREATION_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{lock} was held for {CREATION_S:.0f} s") from None
                time.sleep(0.1)
        yield descriptor
    finally:
        os.close(descriptor)
