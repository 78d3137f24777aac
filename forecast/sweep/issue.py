"""`sweep.json` in the directory of a sweep: which issue of the command its jobs belong to."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from forecast.errors import UserError
from forecast.files import write_whole

FILE = "sweep.json"


@dataclass(kw_only=True)
class Issue:
    """One issue of a sweep; issued again, the same command is another."""

    sweep: str
    overrides: list[str]  # as typed
    total: int | None  # jobs, where that was known beforehand
    began: float  # seconds since 1970

    def save(self, directory: Path) -> None:
        """Write it, in the place of an earlier issue's."""
        write_whole(directory / FILE, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, directory: Path) -> Issue:
        """Read it.

        Raises:
            UserError: there is none.
        """
        try:
            return cls(**json.loads((directory / FILE).read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{directory}: no sweep here ({FILE} is missing or damaged)") from error
