"""What a sweep, its tasks and its user tell each other: errors, key names, and the reports of a running task."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from hydra.errors import CompactHydraException
from omegaconf import DictConfig, OmegaConf


class SweepError(CompactHydraException):
    """The sweep as asked for cannot be run; the text names the key, the rule and the way out, in one line."""


class Failed(NamedTuple):
    """A trial that failed."""

    number: int
    overrides: tuple[str, ...]
    error: str  # one line

    def __str__(self) -> str:
        return f"trial {self.number} ({' '.join(self.overrides) or 'no overrides'}): {self.error}"


class TrialsFailed(SweepError):  # noqa: N818 - the sweep is over, its trials failed
    """Some trials failed, or none succeeded; raised when all others have ended.

    Args:
        failed: which, and why.
        total: trials started.
        summary: what to say above the list.
    """

    def __init__(self, failed: Sequence[Failed], *, total: int, summary: str) -> None:
        super().__init__("\n".join([summary, *(f"  {trial}" for trial in failed)]))
        self.failed = tuple(failed)
        self.total = total
        self.summary = summary


class TrialStopped(Exception):  # noqa: N818 - a signal, not an error
    """Raised by `report` when the scheduler or the time budget ends the trial: save what there is, and return."""


class TrialSkipped(Exception):  # noqa: N818 - a signal, not an error
    """Raised by a task whose overrides do not fit together: the trial is skipped, which is no failure."""


Listener = Callable[[Mapping[str, float | None]], None]

# One task at a time in a process, in whatever thread it reports from.
_listener: Listener | None = None


def report(metrics: Mapping[str, float | None]) -> None:
    """Report the progress of a trial, once an epoch or so; outside of a trial it does nothing.

    Args:
        metrics: by name; the sweep's own `metric` among them. None and NaN count as the worst value there is.

    Raises:
        TrialStopped: the trial is over, and so is every later call.
    """
    if _listener is not None:
        _listener(metrics)


def in_trial() -> bool:
    """Whether this process runs a trial of a sweep."""
    return _listener is not None


def listen(listener: Listener | None) -> None:
    """Set who receives reports from now on."""
    global _listener
    _listener = listener


def key_of(node: Any, key: str, *, above: str) -> str:
    """Name a key as a user would set it: where it is an interpolation of another key, that other.

    Args:
        node: as composed, interpolations in place.
        key: below it, dotted.
        above: the name of the node itself.
    """
    parts = key.split(".")
    value: Any = OmegaConf.to_container(node, resolve=False) if isinstance(node, DictConfig) else node
    for at, part in enumerate(parts):
        value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, str) and value.startswith("${") and value.endswith("}"):
            return ".".join([value[2:-1], *parts[at + 1 :]])
    return f"{above}.{key}"


def number(name: str, value: Any, *, least: float, whole: bool = False) -> float:
    """Check a number against its lower bound.

    Raises:
        SweepError: it is no number, or too small.
    """
    kind = "a whole number" if whole else "a number"
    wrong = isinstance(value, bool) or not isinstance(value, int if whole else int | float)
    if wrong or not math.isfinite(value) or value < least:
        raise SweepError(f"{name}={value}: must be {kind} >= {least:g}")
    return float(value)
