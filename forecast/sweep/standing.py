"""How the jobs of a sweep stand: ranked by the objective where they may be, the best one marked."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forecast.sweep.comparable import Subject, incomparable
from forecast.sweep.job_state import JobState

_BASELINE = re.compile(r"val_(\w+)_theil_u")


@dataclass(frozen=True)
class Entry:
    """One job with its figures."""

    job: JobState
    metrics: dict[str, Any] = field(repr=False)  # of a finished run, else empty
    subject: Subject | None

    @property
    def ranked(self) -> bool:
        """Whether it came to its end and has an objective."""
        return self.job.status in ("finished", "reused") and self.job.objective is not None

    @property
    def settings(self) -> dict[str, str]:
        """Its overrides by key."""
        pairs = (override.partition("=") for override in self.job.overrides)
        return {key: value for key, _, value in pairs}

    def skill(self, split: str) -> float | None:
        """Percent by which its RMSE on a split is below that of "tomorrow = today"."""
        ratio = self.metrics.get(f"{split}_theil_u")
        return None if ratio is None else 100 * (1 - ratio)

    @property
    def best_baseline(self) -> tuple[str, float] | None:
        """The baseline with the lowest RMSE ratio to naive on validation, and that ratio."""
        found = [
            (match[1], float(value))
            for name, value in self.metrics.items()
            if (match := _BASELINE.fullmatch(name)) and value is not None
        ]
        return min(found, key=lambda pair: pair[1], default=None)


@dataclass(frozen=True)
class Standing:
    """All jobs of a sweep."""

    entries: list[Entry]  # best first, those without a rank behind, by number
    metric: str
    mode: str
    why_unranked: str | None  # where the runs cannot be compared

    @property
    def best(self) -> Entry | None:
        """The winner; None if nothing finished or the runs cannot be compared."""
        first = self.entries[0] if self.entries else None
        return first if first is not None and first.ranked and self.why_unranked is None else None

    @property
    def varied(self) -> list[str]:
        """The keys that are not the same in all jobs."""
        keys = dict.fromkeys(key for entry in self.entries for key in entry.settings)
        return [key for key in keys if len({entry.settings.get(key) for entry in self.entries}) > 1]

    @property
    def over_seeds(self) -> list[dict[str, Any]]:
        """Mean and spread of the objective over seeds, a row for each setting of the other keys, best first."""
        groups: dict[tuple[tuple[str, str | None], ...], list[float]] = {}
        others = [key for key in self.varied if key != "seed"]
        if "seed" not in self.varied:
            return []
        for entry in self.entries:
            if entry.ranked and entry.job.objective is not None:
                setting = tuple((key, entry.settings.get(key)) for key in others)
                groups.setdefault(setting, []).append(entry.job.objective)
        rows = [
            {
                "overrides": " ".join(f"{key}={value}" for key, value in setting if value is not None),
                "seeds": len(values),
                "mean": statistics.fmean(values),
                "sd": statistics.stdev(values) if len(values) > 1 else None,
                "lowest": min(values),
                "highest": max(values),
            }
            for setting, values in groups.items()
        ]
        return sorted(rows, key=lambda row: row["mean"], reverse=self.mode == "max")

    @property
    def counts(self) -> dict[str, int]:
        """Number of jobs by status."""
        found: dict[str, int] = {}
        for entry in self.entries:
            found[entry.job.status] = found.get(entry.job.status, 0) + 1
        return found


def standing(jobs: Sequence[JobState]) -> Standing:
    """Read the results of a sweep's jobs and rank them.

    Args:
        jobs: of one sweep.
    """
    entries = [_entry(job) for job in jobs]
    metrics = {(job.metric, job.mode) for job in jobs}
    metric, mode = next(iter(metrics)) if metrics else ("", "min")
    ranked = [entry for entry in entries if entry.ranked]
    subjects = [entry.subject for entry in ranked if entry.subject is not None]
    why = incomparable(metric, subjects)
    if len(metrics) > 1:
        why = "objective: its metric or mode is swept over, so nothing ranks these runs"
    sign = 1.0 if mode == "min" else -1.0

    def order(entry: Entry) -> tuple[Any, ...]:
        if why is None and entry.ranked:
            assert entry.job.objective is not None
            return (0, sign * entry.job.objective, entry.job.number)
        return (1, 0.0, entry.job.number)

    return Standing(entries=sorted(entries, key=order), metric=metric, mode=mode, why_unranked=why)


def _entry(job: JobState) -> Entry:
    directory = Path(job.directory)
    if job.status not in ("finished", "reused"):
        return Entry(job, {}, None)
    try:
        metrics = json.loads((directory / "metrics.json").read_text("utf-8"))
        return Entry(job, metrics, Subject.of(directory))
    except (OSError, ValueError):
        return Entry(job, {}, None)  # one that only checked the data, or whose files are gone
