"""Files that appear whole or not at all, and locks between processes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC, EROFS
from pathlib import Path
from typing import Any

from forecast.errors import UserError

_REFUSALS = (ENOSPC, EDQUOT, EFBIG, EROFS)  # of a disk that is full or closed to writing


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A scratch name beside a file, to be written by the caller; it takes the file's place once that went well.

    A killed process leaves at most a hidden file, never half of the real one.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
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


def shown_path(path: str | Path) -> str:
    """A path as answers and records show it: from the working directory, never an absolute one."""
    path, here = Path(path), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else path.name


def disk_error(error: BaseException) -> OSError | None:
    """What a disk that is full or closed to writing raised, wherever a library wrapped it; None of any other error."""
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, OSError) and cause.errno in _REFUSALS):
        cause = cause.__cause__ or cause.__context__
    return cause


def refused_by_disk(error: BaseException, where: str = "") -> UserError | None:
    """The same as one line for the user.

    Args:
        error: that was raised.
        where: key and folder that were written to; "" = the file that the error names.
    """
    full = disk_error(error)
    if full is None:
        return None
    reason = os.strerror(full.errno or 0)  # some libraries say more, over several lines
    return UserError(
        f"{where or full.filename or 'a file'}: cannot be written ({reason}); make room, or name another folder"
    )


@contextmanager
def locked(
    path: Path,
    *,
    timeout_s: float = -1,
    remove: bool = False,
    on_wait: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Hold a lock file, made with its folder when missing; the kernel releases it when the process dies.

    Args:
        path: of the lock file.
        timeout_s: to wait for it; below 0: for ever.
        remove: leave no file behind; whoever waited makes it anew.
        on_wait: called once if another process holds it.

    Raises:
        TimeoutError: another process held it all the time.
    """
    from filelock import FileLock

    lock, patience_s = FileLock(path), 0.0
    while not lock.is_locked:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=patience_s)
        except (FileNotFoundError, FileExistsError):  # its last holder may have just removed the folder
            if os.path.lexists(path.parent) and not path.parent.is_dir():
                raise
        except TimeoutError:
            if patience_s == timeout_s:
                raise
            on_wait()
            patience_s = timeout_s
    try:
        yield
    finally:
        if remove:
            path.unlink(missing_ok=True)
        lock.release()


class LocalPath:
    """Marks an argument, `Annotated[str, LocalPath()]`, as a path: a relative one is meant from where the command
    was given, and is saved as an absolute one. Text with a scheme (`models:/name`) is none.
    """


class LocalUrl:
    """Marks an argument as a URL, likewise; of those `sqlite:///FILE` alone may be relative."""
