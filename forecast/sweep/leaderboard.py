"""The jobs of a sweep ranked by the objective: on the screen, as `leaderboard.csv` and as `leaderboard.html`."""

from __future__ import annotations

import csv
import io
import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import NormalDist
from typing import Any

from forecast.evaluate.summary import align
from forecast.files import read_json, write_whole
from forecast.finished_runs import Subject, best_first, incomparable
from forecast.sweep.record import JobResult

CSV, HTML = "leaderboard.csv", "leaderboard.html"
SCREEN_ROWS = 40  # the files have all
COLUMNS = (
    "rank", "best", "number", "status", "overrides", "metric", "objective", "skill", "test_skill", "best_baseline",
    "best_baseline_skill", "skill_best", "test_skill_best", "beats_best", "epochs", "seconds", "directory",
    "identity", "run_id", "error",
)  # fmt: skip
_BASELINE = re.compile(r"val_(\w+)_theil_u")


@dataclass(frozen=True)
class Row:
    """One job with its figures."""

    job: JobResult
    metrics: dict[str, Any] = field(repr=False)  # of a finished run, else empty
    subject: Subject | None

    @classmethod
    def of(cls, job: JobResult) -> Row:
        """Read the files of a job's run."""
        directory = Path(job.directory)
        if job.status in ("finished", "reused"):
            try:
                return cls(job, read_json(directory / "metrics.json"), Subject.of(directory))
            except (OSError, ValueError):
                pass  # a job that only checked the data, or whose files are gone
        return cls(job, {}, None)

    @property
    def settings(self) -> dict[str, str]:
        """Its overrides by key."""
        pairs = (override.partition("=") for override in self.job.overrides)
        return {key: value for key, _, value in pairs}

    def skill(self, split: str) -> float | None:
        """Percent by which its RMSE on a split is below that of the naive forecast."""
        ratio = self.metrics.get(f"{split}_theil_u")
        return None if ratio is None else 100 * (1 - ratio)

    @property
    def best_baseline(self) -> tuple[str, float] | None:
        """The best baseline by validation besides naive, and its skill."""
        if self.chosen is not None and self.chosen != "naive":
            ratio = self.metrics.get(f"val_{self.chosen}_theil_u")
            return None if ratio is None else (self.chosen, 100 * (1 - float(ratio)))
        found = [
            (match[1], 100 * (1 - float(value)))
            for name, value in self.metrics.items()
            if (match := _BASELINE.fullmatch(name)) and value is not None
        ]
        return max(found, key=lambda pair: pair[1], default=None)

    @cached_property
    def chosen(self) -> str | None:
        """The best baseline as the run's own record names it; None where there is none."""
        if not self.metrics:
            return None
        try:
            return str(read_json(Path(self.job.directory) / "evaluation.json")["baselines"]["best"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def beats_best(self) -> bool | None:
        """Whether it beats that baseline, or naive, on test by more than chance."""
        found = self.metrics.get("test_beats_best")
        return None if found is None else bool(found)

    @property
    def p_better(self) -> float | None:
        """One-sided p-value of "no better than the naive forecast" on validation."""
        tested = self.metrics.get("val_dm_p_better")
        if tested is not None:
            return float(tested)
        gain, error = self.metrics.get("val_r2_oos"), self.metrics.get("val_r2_oos_se")
        return None if gain is None or not error else 1 - NormalDist().cdf(gain / error)


class Leaderboard:
    """All jobs of a sweep, best first; those without a rank behind, by number."""

    def __init__(self, jobs: Sequence[JobResult]) -> None:
        rows = [Row.of(job) for job in jobs]
        objectives = {(job.metric, job.mode) for job in jobs}
        self.metric, self.mode = next(iter(objectives)) if objectives else ("", "min")
        subjects = [row.subject for row in rows if row.job.scored and row.subject is not None]
        # Why the runs cannot be compared; None if they can.
        self.unranked: str | None = incomparable(self.metric, subjects)
        if len(objectives) > 1:
            self.unranked = "objective: its metric or mode is swept over, so nothing ranks these runs"
        rows.sort(key=lambda row: row.job.number)
        ranked = [row for row in rows if row.job.scored and self.unranked is None]
        others = [row for row in rows if not row.job.scored or self.unranked is not None]
        best = best_first(
            ranked, mode=self.mode, figure=lambda row: row.job.score, then=lambda row: row.job.number
        )
        self.rows = [*best, *others]

    @property
    def best(self) -> Row | None:
        """The winner; None if nothing finished or the runs cannot be compared."""
        first = self.rows[0] if self.rows else None
        return first if first is not None and first.job.scored and self.unranked is None else None

    @property
    def varied(self) -> list[str]:
        """The keys that are not the same in all jobs."""
        keys = dict.fromkeys(key for row in self.rows for key in row.settings)
        return [key for key in keys if len({row.settings.get(key) for row in self.rows}) > 1]

    @property
    def counts(self) -> dict[str, int]:
        """Number of jobs by status."""
        statuses = [row.job.status for row in self.rows]
        return {status: statuses.count(status) for status in dict.fromkeys(statuses)}

    @property
    def over_seeds(self) -> list[dict[str, Any]]:
        """Mean and spread of the objective over seeds, a row for each setting of the other keys, best first."""
        groups: dict[tuple[tuple[str, str | None], ...], list[float]] = {}
        others = [key for key in self.varied if key != "seed"]
        if "seed" not in self.varied:
            return []
        for row in self.rows:
            if row.job.scored and row.job.objective is not None:
                setting = tuple((key, row.settings.get(key)) for key in others)
                groups.setdefault(setting, []).append(row.job.objective)
        table = [
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
        return sorted(table, key=lambda group: group["mean"], reverse=self.mode == "max")

    def table(self) -> list[dict[str, Any]]:
        """All figures, a mapping a job, best first.

        Skills are percent of RMSE below the naive forecast, on validation unless the name says test.
        """
        return [self._figures(row, rank) for rank, row in enumerate(self.rows, start=1)]

    def _figures(self, row: Row, rank: int) -> dict[str, Any]:
        job, baseline = row.job, row.best_baseline or (None, None)
        return {
            "rank": rank if job.scored and self.unranked is None else None,
            "best": row is self.best,
            "number": job.number,
            "status": job.status,
            "overrides": row.settings,
            "metric": job.metric,
            "objective": job.objective,
            "skill": row.skill("val"),
            "test_skill": row.skill("test"),
            "best_baseline": baseline[0],
            "best_baseline_skill": baseline[1],
            "skill_best": row.metrics.get("val_skill_best"),
            "test_skill_best": row.metrics.get("test_skill_best"),
            "beats_best": row.beats_best,
            "epochs": job.epochs,
            "seconds": job.seconds,
            "directory": job.directory,
            "identity": job.identity,
            "run_id": job.run_id,
            "error": job.error,
        }

    def notes(self) -> list[str]:
        """What must be said beside the figures, a sentence each."""
        lines = [] if self.unranked is None else [self.unranked]
        if self.best is not None:
            lines.append(self._corrected())
            skill = self.best.skill("val")
            if skill is not None and skill <= 0:
                lines.append("even the best does not beat the naive forecast on validation")
            beside, named = self.best.metrics.get("val_skill_best"), self.best.chosen
            if beside is not None and beside <= 0 and named not in (None, "naive"):
                lines.append(f"even the best does not beat {named}, the best baseline, on validation")
            lines.append("chosen by validation alone; test figures are shown and were never used to choose")
        return lines

    def _corrected(self) -> str:
        """How many were tried, and what is left of the winner's skill after that."""
        from forecast.evaluate.significance import after_trials

        tried = [row for row in self.rows if row.job.status in ("finished", "reused", "pruned", "failed")]
        best = next(place for place, row in enumerate(tried) if row is self.best)
        epochs = [row.job.epochs for row in tried]
        line = str(after_trials([row.p_better for row in tried], chosen=best, epochs=epochs)["line"])
        return f"the best of many is flattered: {line}" if len(tried) > 1 else line

    def write(self, directory: Path) -> list[Path]:
        """Write both files into the sweep's directory, whole or not at all; returns their paths."""
        from forecast.evaluate.report import write_leaderboard

        page = directory / HTML
        write_leaderboard(page, self.table(), title=directory.name, notes=self.notes())
        return [self.write_csv(directory / CSV), page]

    def write_csv(self, path: Path) -> Path:
        """A row a job, best first; what is undefined is empty."""
        content = io.StringIO()
        writer = csv.writer(content, lineterminator="\n")
        table, varied = self.table(), self.varied
        names = [name for name in COLUMNS if name not in varied]
        writer.writerow([*names, *varied])
        for row, figures in zip(self.rows, table, strict=True):
            figures["overrides"] = " ".join(row.job.overrides)
            cells = [_cell(figures[name]) for name in names]
            writer.writerow(cells + [row.settings.get(key, "") for key in varied])
        return write_whole(path, content.getvalue())

    def text(self) -> str:
        """The table for a terminal, with what must be said beside it."""
        varied = self.varied
        header = ["", "job", "status", *varied, self.metric or "objective"]
        header += ["skill %", "test %", "baseline", "of it %", "beats it", "epochs", "s"]
        lines = [_aligned([header, *(self._line(row, varied) for row in self.rows[:SCREEN_ROWS])])]
        if len(self.rows) > SCREEN_ROWS:
            lines.append(f"and {len(self.rows) - SCREEN_ROWS:,} more in {CSV}")
        if self.best is not None:
            lines.append(
                "*: best; skill: percent of RMSE below the naive forecast; baseline: the best by validation; of it: "
                "percent of its error; beats it: on test, by more than chance"
            )
        if self.over_seeds:
            table = [["over seeds", "seeds", f"mean {self.metric}", "sd"]]
            table += [
                [group["overrides"] or "all", str(group["seeds"]), _short(group["mean"]), _short(group["sd"])]
                for group in self.over_seeds
            ]
            lines += ["", _aligned(table)]
        notes = self.notes()
        return "\n".join([*lines, "", *notes] if notes else lines)

    def _line(self, row: Row, varied: list[str]) -> list[str]:
        job, baseline = row.job, row.best_baseline
        return [
            "*" if row is self.best else "",
            str(job.number),
            job.status,
            *(row.settings.get(key, "") for key in varied),
            _short(job.objective),
            _signed(row.skill("val")),
            _signed(row.skill("test")),
            "-" if baseline is None else f"{baseline[0]} {_signed(baseline[1])}",
            _signed(row.metrics.get("val_skill_best")),
            {None: "-", True: "yes", False: "no"}[row.beats_best],
            str(job.epochs or "-"),
            "-" if job.seconds is None else f"{job.seconds:.1f}",
        ]


def _aligned(rows: list[list[str]]) -> str:
    """Columns under each other; those that hold nothing but figures to the right."""
    columns = enumerate(zip(*rows, strict=True))
    return align(rows, words=[place for place, column in columns if not all(map(_is_figure, column[1:]))])


def _is_figure(cell: str) -> bool:
    try:
        float(cell.removeprefix("-") or 0)
    except ValueError:
        return False
    return True


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{round(value, 2) + 0.0:+.2f}"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) and math.isfinite(value) else str(value)
