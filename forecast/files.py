"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


class LocalPath:
    """Marks an argument, `Annotated[str, LocalPath()]`: relative values are meant from where the command was given.

    It may also take a URL; of those only `sqlite:///FILE` is relative.
    """
