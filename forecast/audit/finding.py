"""What a check came to."""

from __future__ import annotations

from dataclasses import dataclass


class LeakError(Exception):
    """A check failed; the message names the feature and the date, or whatever else shows the future."""


@dataclass(frozen=True)
class Outcome:
    """One check.

    Args:
        check: its name.
        passed: None where the plug-in raised, so that nothing is known.
        detail: what was looked at, or what was found.
        seconds: it took.
    """

    check: str
    passed: bool | None
    detail: str
    seconds: float
