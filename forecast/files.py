"""Files that appear whole or not at all, and locks between processes."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A scratch name beside a file, to be written by the caller; it takes the file's place once that went well.

    A killed process leaves at most a hidden file, never half of the real one.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield scratch
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | str) -> Path:
    """Replace a file (text as UTF-8), making its folder where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as scratch:
        scratch.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        OSError: there is no such file.
        ValueError: it is not JSON.
    """
    return json.loads(path.read_text("utf-8"))


def write_json(path: Path, value: object) -> Path:
    """Replace a file by strict JSON (no NaN)."""
    return write_whole(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextmanager
def locked(path: Path, *, timeout_s: float = -1, remove: bool = False) -> Iterator[None]:
    """Hold a lock file, made when missing; the kernel releases it when the process dies.

    Args:
        path: of the lock file.
        timeout_s: to wait for it; below 0: for ever.
        remove: leave no file behind; whoever waited makes it anew.

    Raises:
        TimeoutError: another process held it all the time.
    """
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path, timeout=timeout_s):
        try:
            yield
        finally:
            if remove:
                path.unlink(missing_ok=True)


class LocalPath:
    """Marks an argument, `Annotated[str, LocalPath()]`, as a path: a relative one is meant from where the command
    was given, and is saved as an absolute one. Text with a scheme (`models:/name`) is none.
    """


class LocalUrl:
    """Marks an argument as a URL, likewise; of those `sqlite:///FILE` alone may be relative."""
