"""Where runs are recorded: which addresses are taken, said without importing MLflow."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from forecast.errors import UserError

DATABASES = ("postgresql", "mysql", "mssql")
_WAY_OUT = (
    "use sqlite:///mlflow.db (one file, made when missing) or the address of a server, http://host:5000"
)


def check_uri(uri: str) -> None:
    """Refuse an address no run could ever be sent to.

    Args:
        uri: what stands in `tracker.uri`.

    Raises:
        UserError: a folder, an unknown scheme, an address without a host or with a password for a server.
    """
    scheme = re.match(r"([a-z][a-z0-9]*)(\+[a-z0-9]+)?(:|$)", uri)
    name = scheme[1] if scheme else ""
    if name == "sqlite":
        _check_sqlite(uri)
    elif name in ("http", "https"):
        _check_server(uri)
    elif name == "file" or ("://" not in uri and name != "databricks"):
        raise UserError(f"tracker.uri={masked(uri)!r}: MLflow no longer records in folders; {_WAY_OUT}")
    elif name in DATABASES:
        _check_password(uri, "PGPASSWORD, or the client's own option file,")
    elif name != "databricks":
        known = ", ".join(("sqlite", "http", "https", *DATABASES, "databricks"))
        raise UserError(f"tracker.uri={masked(uri)!r}: unknown scheme, MLflow knows {known}; {_WAY_OUT}")


def _check_sqlite(uri: str) -> None:
    if not uri.startswith("sqlite:///"):
        raise UserError(
            f"tracker.uri={uri!r}: a database file takes three slashes, four before an absolute path; "
            "for instance sqlite:///mlflow.db"
        )
    if _database_file(uri) in ("", ":memory:"):
        raise UserError(f"tracker.uri={uri!r}: a database in memory is gone with the process; {_WAY_OUT}")


def _check_server(uri: str) -> None:
    parts = urlsplit(uri)
    try:
        host = parts.hostname if parts.port != 0 else None
    except ValueError:  # urlsplit reads the port only when asked
        host = None
    if not host:
        raise UserError(
            f"tracker.uri={masked(uri)!r}: not the address of a server; for instance http://host:5000"
        )
    _check_password(uri, "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")


def _check_password(uri: str, instead: str) -> None:
    if masked(uri) != uri:
        raise UserError(
            f"tracker.uri={masked(uri)!r}: a password here would be written into every run directory; "
            f"set {instead} instead"
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


def masked(text: str) -> str:
    """Return the text with the password of every address in it replaced by ***."""
    return re.sub(r"(://[^:/@\s]*):[^@/\s]+@", r"\1:***@", text)
