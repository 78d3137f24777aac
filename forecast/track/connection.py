"""The MLflow store: which addresses are taken, a client of it, calls that cannot hang."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlsplit

from forecast.errors import UserError
from forecast.files import locked, replacing

if TYPE_CHECKING:
    from mlflow import MlflowClient


DATABASES = ("postgresql", "mysql", "mssql")
_WAY_OUT = (
    "use sqlite:///mlflow.db (one file, made when missing) or the address of a server, http://host:5000"
)


def check_uri(uri: str) -> None:
    """Refuse an address no run could ever be sent to.

    Raises:
        UserError: a folder, an unknown scheme, an address without a host or with a password for a server.
    """
    if not uri:
        raise UserError(f"{_named(uri)}: is empty; {_WAY_OUT}")
    scheme = re.match(r"([a-z][a-z0-9]*)(\+[a-z0-9]+)?(:|$)", uri)
    name = scheme[1] if scheme else ""
    if name == "sqlite":
        _check_sqlite(uri)
    elif name in ("http", "https"):
        _check_server(uri)
    elif name == "file" or ("://" not in uri and name != "databricks"):
        raise UserError(f"{_named(uri)}: MLflow no longer records in folders; {_WAY_OUT}")
    elif name in DATABASES:
        _check_password(uri, "PGPASSWORD, or the client's own option file,")
    elif name != "databricks":
        known = ", ".join(("sqlite", "http", "https", *DATABASES, "databricks"))
        raise UserError(f"{_named(uri)}: unknown scheme, MLflow knows {known}; {_WAY_OUT}")


def _named(uri: str) -> str:
    """The key and its value, without a password; and where the value is from, if it was not typed."""
    origin = " (MLFLOW_TRACKING_URI)" if os.environ.get("MLFLOW_TRACKING_URI") == uri else ""
    return f"tracker.uri={redact_password(uri)!r}{origin}"


def _check_sqlite(uri: str) -> None:
    if not uri.startswith("sqlite:///"):
        raise UserError(
            f"{_named(uri)}: a database file takes three slashes, four before an absolute path; "
            "for instance sqlite:///mlflow.db"
        )
    if _database_file(uri) in ("", ":memory:"):
        raise UserError(f"{_named(uri)}: a database in memory is gone with the process; {_WAY_OUT}")


def _check_server(uri: str) -> None:
    parts = urlsplit(uri)
    try:
        host = parts.hostname if parts.port != 0 else None
    except ValueError:  # urlsplit reads the port only when asked
        host = None
    if not host:
        raise UserError(f"{_named(uri)}: not the address of a server; for instance http://host:5000")
    _check_password(uri, "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")


def _check_password(uri: str, instead: str) -> None:
    if redact_password(uri) != uri:
        raise UserError(
            f"{_named(uri)}: a password here would be written into every run directory; set {instead} instead"
        )


def _database_file(uri: str) -> str:
    return uri.removeprefix("sqlite:///").split("?")[0]


def sqlite_file(uri: str) -> Path | None:
    """Return the database file of a sqlite address as an absolute path, None for any other address."""
    return Path(_database_file(uri)).absolute() if uri.startswith("sqlite:///") else None


def resolved(uri: str) -> str:
    """Return the address such that it means the same from any working directory."""
    if not uri.startswith("sqlite:///"):
        return uri
    query = uri.partition("?")[2]
    return f"sqlite:///{sqlite_file(uri)}" + (f"?{query}" if query else "")


def redact_password(text: str) -> str:
    """Return the text with the password of every address in it replaced by ***."""
    return re.sub(r"(://[^:/@\s]*):[^@/\s]+@", r"\1:***@", text)


T = TypeVar("T")

LAST_WORD_S = 2.0


def call_with_timeout(seconds: float, work: Callable[[], T]) -> T:
    """Return what the work returns, or give it up.

    The work has a thread of its own because nothing else ends in time whatever hangs: a name lookup, a locked
    database (MLflow waits 20 s a call), a database that is retried for 100 s, a server that never answers.

    Args:
        work: called once; if given up, it goes on, unused, until the process ends.

    Raises:
        TimeoutError: no answer in time.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again by result(), in the caller's thread
            answer.set_exception(error)

    try:
        Thread(target=run, daemon=True, name="mlflow").start()
        return answer.result(timeout=seconds)
    except KeyboardInterrupt:
        # A run that is just being created would else be created again by whoever ends it.
        wait([answer], timeout=LAST_WORD_S)
        raise
    except TimeoutError:
        if answer.done():
            raise  # the work's own
        raise TimeoutError(f"no answer within {seconds:.0f} s") from None


def error_summary(error: BaseException) -> str:
    """Return what went wrong in one line: the innermost fault of network or disk if there is one."""
    innermost, cause = error, _cause(error)
    while cause is not None:
        if isinstance(cause, OSError) and str(cause):
            innermost = cause
        cause = _cause(cause)
    lines = str(innermost).strip().splitlines() or [type(innermost).__name__]
    return redact_password(lines[0])[:300]


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


# Defaults of this process; what the user's environment says stands.
_ENVIRONMENT = {
    # A call that was not answered may still have been carried out; asking again could create a second run.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    # The last line a run prints is its directory.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # Nothing is sent to third parties, and no run waits for them.
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
    return call_with_timeout(patience_s, lambda: MlflowClient(tracking_uri=uri))


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
    # Whoever waited for it, or makes it anew, finds the database.
    with locked(database.with_name(f".{database.name}.lock"), timeout_s=CREATION_S, remove=True):
        if not _has_tables(database, patience_s):
            logger.info("creating the MLflow store %s, once", database)
            _create(database)


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


def _create(database: Path) -> None:
    """Make the database beside its place and move it there, so that none is ever seen half made."""
    for left in database.parent.glob(f".{database.name}.*.tmp"):
        left.unlink()  # by a process that was killed; if it left another at work, that one finds nothing to move
    try:
        with replacing(database) as scratch:
            subprocess.run(
                [sys.executable, "-P", "-c", _CREATE, f"sqlite:///{scratch}"],
                cwd=database.parent,  # MLflow's own "Default" experiment keeps its files in mlruns there
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=True,
                timeout=CREATION_S,
            )
    except subprocess.CalledProcessError as error:
        raise RuntimeError((error.stderr.strip().splitlines() or ["no store was made"])[-1]) from error
