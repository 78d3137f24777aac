"""Which folders this process made, so that a refused run leaves none behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from forecast.errors import UserError

_HYDRAS_RECORD = "multirun.yaml"


class MadeFolders:
    """Takes note of the folders that are made while Hydra is at work, and removes those that stayed empty.

    Hydra makes a run's folder, and the folders above it, before anything can be checked, and tells nobody
    which of them were there before. So os.mkdir is asked: where it succeeds, there was nothing before. (An
    audit hook would hear of it too, but of every id() as well: a third more for `--help`, and no way back.)
    """

    def __init__(self) -> None:
        self.made: list[str] = []
        self.refused: set[str] = set()
        self._watching = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take note while the block runs."""
        mkdir = os.mkdir

        def noted(path: Any, *arguments: Any, **named: Any) -> None:
            where = os.path.abspath(os.fsdecode(path))
            try:
                mkdir(path, *arguments, **named)
            except OSError:
                self.refused.add(where)
                raise
            if self._watching:
                self.made.append(where)

        vars(os)["mkdir"] = noted
        self._watching = True
        try:
            yield
        finally:
            self._watching = False
            vars(os)["mkdir"] = mkdir

    @contextmanager
    def looking_away(self) -> Iterator[None]:
        """Take no note of folders that a job makes: those are its own affair."""
        before, self._watching = self._watching, False
        try:
            yield
        finally:
            self._watching = before

    def remove_empty(self) -> None:
        """Remove each folder noted, unless something is in it that is not Hydra's."""
        for path in sorted(self.made, key=len, reverse=True):
            with suppress(OSError):  # not empty, or gone: both are as they should be
                if os.listdir(path) == [_HYDRAS_RECORD]:
                    os.unlink(os.path.join(path, _HYDRAS_RECORD))
                os.rmdir(path)


def must_be_writable(directory: Path) -> None:
    """Refuse a run directory that cannot be written to before hours are spent on what goes into it.

    Raises:
        UserError: it cannot.
    """
    try:
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise UserError(
            f"hydra.run.dir={directory}: cannot be written to ({error.strerror}); choose another folder"
        ) from error
