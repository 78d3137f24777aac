"""Runs by identity: what has finished once is not run again, whichever sweep, launcher or process ran it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from forecast import bundle
from forecast.errors import UserError

FOLDER = ".runs"


class EarlierRuns:
    """One small file an identity, which lists the directories it was run in; kept beside the sweeps.

    A directory is noted before it is run in and looked at when it is asked for, so that nothing depends on how a
    process ended.

    Args:
        root: the folder that every issue of a sweep has in common.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def claimed(self, identity: str) -> Iterator[None]:
        """Hold an identity, so that two jobs alike run one after the other and the second reuses the first.

        The kernel lets go of it when the process dies.
        """
        import fcntl

        path = self._path(identity)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def find(self, identity: str, *, own: Path) -> Path | None:
        """The directory of a finished, unaltered run; None if there is none.

        Args:
            identity: of the run.
            own: the directory of the job that asks, which may have finished earlier and not been noted.
        """
        for directory in dict.fromkeys([own, *reversed(self._noted(identity))]):
            if _holds(directory, identity):
                return directory
        return None

    def note(self, identity: str, directory: Path) -> None:
        """Add a directory in which it is about to be run."""
        if directory in self._noted(identity):
            return
        inside = directory.is_relative_to(self.root)
        line = str(directory.relative_to(self.root) if inside else directory)
        with self._path(identity).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _noted(self, identity: str) -> list[Path]:
        try:
            lines = self._path(identity).read_text("utf-8").splitlines()
        except OSError:
            return []
        return [Path(os.path.normpath(self.root / line)) for line in lines if line]

    def _path(self, identity: str) -> Path:
        return self.root / FOLDER / identity


def _holds(directory: Path, identity: str) -> bool:
    """Whether a finished run of that identity is there, as it was written."""
    if not bundle.is_finished(directory):
        return False
    try:
        bundle.verify(directory)
    except (UserError, OSError):
        return False
    return identity_of(directory) == identity


def identity_of(directory: Path) -> str | None:
    """The identity that a run directory's config.yaml states; None where it states none."""
    try:
        return str(read_config(directory)["provenance"]["identity"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_config(directory: Path) -> dict[str, Any]:
    """A run's config.yaml as plain values.

    Raises:
        OSError: there is none.
        ValueError: it is no mapping.
    """
    import yaml

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        read = yaml.load((directory / "config.yaml").read_text("utf-8"), Loader=loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{directory / 'config.yaml'}: {error}") from error
    if not isinstance(read, dict):
        raise ValueError(f"{directory / 'config.yaml'}: is no mapping")
    return read
