"""`leaderboard.csv` and `leaderboard.html` of a sweep, and the same as a table on the screen."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from statistics import NormalDist
from typing import Any

from forecast.files import write_whole
from forecast.sweep.standing import Entry, Standing

CSV, HTML = "leaderboard.csv", "leaderboard.html"
SHOWN = 40  # rows on the screen; the files have all


def write(directory: Path, found: Standing) -> list[Path]:
    """Write both files into the sweep's directory, whole or not at all; returns their paths.

    Args:
        directory: of the sweep.
        found: its jobs.
    """
    from forecast.evaluate.report import write_leaderboard

    html = directory / HTML
    write_leaderboard(html, rows(found), title=directory.name, notes=notes(found))
    return [write_csv(directory / CSV, found), html]


def write_csv(path: Path, found: Standing) -> Path:
    """A row a job, best first; what is undefined is empty."""
    text = io.StringIO()
    varied = found.varied
    writer = csv.writer(text, lineterminator="\n")
    names = [name for name in _COLUMNS if name not in varied]
    writer.writerow([*names, *varied])
    for entry, values in zip(found.entries, rows(found), strict=True):
        flat = {**values, "overrides": " ".join(entry.job.overrides)}
        writer.writerow(
            [_cell(flat[name]) for name in names] + [entry.settings.get(key, "") for key in varied]
        )
    return write_whole(path, text.getvalue())


_COLUMNS = (
    "rank",
    "best",
    "number",
    "status",
    "overrides",
    "metric",
    "objective",
    "skill",
    "test_skill",
    "best_baseline",
    "best_baseline_skill",
    "epochs",
    "seconds",
    "directory",
    "identity",
    "run_id",
    "error",
)


def rows(found: Standing) -> list[dict[str, Any]]:
    """All that the leaderboard tells, a row a job, best first.

    Skills are percent of RMSE below "tomorrow = today", on validation unless the name says test.
    """
    return [_row(found, entry, place) for place, entry in enumerate(found.entries, start=1)]


def _row(found: Standing, entry: Entry, place: int) -> dict[str, Any]:
    job, baseline = entry.job, entry.best_baseline
    return {
        "rank": place if entry.ranked and found.why_unranked is None else None,
        "best": entry is found.best,
        "number": job.number,
        "status": job.status,
        "overrides": entry.settings,
        "metric": job.metric,
        "objective": job.objective,
        "skill": entry.skill("val"),
        "test_skill": entry.skill("test"),
        "best_baseline": None if baseline is None else baseline[0],
        "best_baseline_skill": None if baseline is None else 100 * (1 - baseline[1]),
        "epochs": job.epochs,
        "seconds": job.seconds,
        "directory": job.directory,
        "identity": job.identity,
        "run_id": job.run_id,
        "error": job.error,
    }


def notes(found: Standing) -> list[str]:
    """What must be said beside the figures, a sentence each."""
    told = []
    if found.why_unranked is not None:
        told.append(found.why_unranked)
    best = found.best
    if best is not None:
        told.append(_flattered(found))
        skill = best.skill("val")
        if skill is not None and skill <= 0:
            told.append('even the best does not beat "tomorrow = today" on validation')
        told.append("chosen by validation alone; test figures are shown and were never used to choose")
    return told


def text(found: Standing) -> str:
    """The table for a terminal, with what must be said beside it."""
    varied = found.varied
    header = [
        "",
        "job",
        "status",
        *varied,
        found.metric or "objective",
        "skill %",
        "test %",
        "baseline",
        "epochs",
        "s",
    ]
    rows = [header, *(_line(found, entry, varied) for entry in found.entries[:SHOWN])]
    lines = [_aligned(rows)]
    if len(found.entries) > SHOWN:
        lines.append(f"and {len(found.entries) - SHOWN:,} more in {CSV}")
    if found.best is not None:
        lines.append(
            '*: best; skill: percent of RMSE below "tomorrow = today"; baseline: the best of the others'
        )
    seeds = found.over_seeds
    if seeds:
        lines.append("")
        table = [["over seeds", "seeds", f"mean {found.metric}", "sd"]]
        table += [
            [group["overrides"] or "all", str(group["seeds"]), _short(group["mean"]), _short(group["sd"])]
            for group in seeds
        ]
        lines.append(_aligned(table))
    lines += ["", *notes(found)] if notes(found) else []
    return "\n".join(lines)


def _line(found: Standing, entry: Entry, varied: list[str]) -> list[str]:
    job, baseline = entry.job, entry.best_baseline
    return [
        "*" if entry is found.best else "",
        str(job.number),
        job.status,
        *(entry.settings.get(key, "") for key in varied),
        _short(job.objective),
        _signed(entry.skill("val")),
        _signed(entry.skill("test")),
        "-" if baseline is None else f"{baseline[0]} {_signed(100 * (1 - baseline[1]))}",
        str(job.epochs or "-"),
        "-" if job.seconds is None else f"{job.seconds:.1f}",
    ]


def _flattered(found: Standing) -> str:
    """How many were tried, and what is left of the winner's skill after that."""
    from forecast.evaluate.significance.trials import after_trials

    tried = [
        entry for entry in found.entries if entry.job.status in ("finished", "reused", "pruned", "failed")
    ]
    best = next(place for place, entry in enumerate(tried) if entry is found.best)
    line = str(after_trials([_p_better(entry) for entry in tried], chosen=best)["line"])
    return f"the best of many is flattered: {line}" if len(tried) > 1 else line


def _p_better(entry: Entry) -> float | None:
    """One-sided p-value of "no better than tomorrow = today" on validation."""
    tested = entry.metrics.get("val_dm_p_better")
    if tested is not None:
        return float(tested)
    gain, error = entry.metrics.get("val_r2_oos"), entry.metrics.get("val_r2_oos_se")
    if gain is None or not error:
        return None
    return 1 - NormalDist().cdf(gain / error)


def _aligned(rows: list[list[str]]) -> str:
    """Columns under each other; figures to the right."""
    columns = list(zip(*rows, strict=True))
    figures = [all(_is_figure(cell) for cell in column[1:]) for column in columns]
    widths = [max(map(len, column)) for column in columns]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, figures, strict=True)
        ).rstrip()
        for line in rows
    )


def _is_figure(cell: str) -> bool:
    if cell in ("", "-"):
        return True
    try:
        float(cell)
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
