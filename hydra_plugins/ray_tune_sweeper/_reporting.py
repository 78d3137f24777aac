"""How a task talks to the sweep that runs it: it reports, and is told to go on or to stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Listener = Callable[[Mapping[str, float | None]], None]

# One task at a time in a process, in whatever thread it reports from.
_listener: Listener | None = None


class TrialStopped(Exception):  # noqa: N818 - news, not an error
    """Raised by `report` when the scheduler, or the time budget, ends the trial: write down what there is, and end."""


class TrialSkipped(Exception):  # noqa: N818 - news, not an error
    """Raised by a task whose overrides do not fit together: the trial is left out, which is no failure."""


def report(metrics: Mapping[str, float | None]) -> None:
    """Tell the sweep how far the trial has come, once an epoch or so.

    Outside a trial it does nothing, so a task may always call it.

    Args:
        metrics: by name; the sweep's own `metric` among them. None and NaN count as the worst there can be.

    Raises:
        TrialStopped: the trial is over; so is every later call.
    """
    if _listener is not None:
        _listener(metrics)


def in_trial() -> bool:
    """Whether this process is at work on a trial of a sweep."""
    return _listener is not None


def listen(listener: Listener | None) -> None:
    """Who hears of reports from now on."""
    global _listener
    _listener = listener
