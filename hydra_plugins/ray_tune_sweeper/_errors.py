"""What a sweep ends with when it cannot go on, or when some of its trials failed; each is told in a few lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hydra.errors import CompactHydraException


class SweepError(CompactHydraException):
    """The sweep as asked for cannot be run; the text names the key, the rule and the way out, in one line."""


class Failed(NamedTuple):
    """A trial that came to nothing."""

    number: int
    overrides: tuple[str, ...]
    error: str  # one line

    def __str__(self) -> str:
        return f"trial {self.number} ({' '.join(self.overrides) or 'no overrides'}): {self.error}"


class TrialsFailed(SweepError):  # noqa: N818 - the sweep is over, its trials failed
    """Some trials failed, or none succeeded; raised when all others have ended.

    Args:
        failed: which, and of what.
        total: trials started.
        summary: what to say above the list.
    """

    def __init__(self, failed: Sequence[Failed], *, total: int, summary: str) -> None:
        super().__init__("\n".join([summary, *(f"  {trial}" for trial in failed)]))
        self.failed = tuple(failed)
        self.total = total
        self.summary = summary
