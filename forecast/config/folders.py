"""Which folders this process made, so that a refused run leaves none behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_HYDRAS_RECORD = "multirun.yaml"


class MadeFolders:
    """Takes note of folders that are made while Hydra is at work, and removes those that stayed empty.

    Hydra makes a run's folder, and the folders above it, before anything can be checked, and tells nobody
    which of them were there before. Python's audit events do: one is raised before each os.mkdir.
    """

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self.made: list[str] = []
        self._watching = True
        sys.addaudithook(self._hear)

    @contextmanager
    def looking_away(self) -> Iterator[None]:
        """Take no note of folders that a job makes: those are its own affair."""
        self._watching = False
        try:
            yield
        finally:
            self._watching = True

    def remove_empty(self) -> None:
        """Remove each folder noted, unless something is in it that is not Hydra's."""
        self._watching = False
        for path in sorted(self.made, key=len, reverse=True):
            with suppress(OSError):  # not empty, or gone: both are as they should be
                if os.listdir(path) == [_HYDRAS_RECORD]:
                    os.unlink(os.path.join(path, _HYDRAS_RECORD))
                os.rmdir(path)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if event != "os.mkdir" or not self._watching:
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))  # type: ignore[arg-type]
        self.asked.add(path)
        if not os.path.lexists(path):
            self.made.append(path)
