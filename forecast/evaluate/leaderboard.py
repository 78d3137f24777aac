"""The leaderboard of a sweep: one HTML file that needs nothing else, the best job first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forecast.evaluate.evidence import number
from forecast.evaluate.markup import element, grid, plain, text
from forecast.evaluate.page import document
from forecast.evaluate.page.job_plots import (
    Job,
    counts,
    learning_curves,
    parallel_coordinates,
    settings,
    varied,
)
from forecast.files import write_whole

ROWS = 2000  # jobs in the table
LONG = 16  # letters of a value, from which on its column may break
_NO_SCRIPT = (
    "<noscript><p>The plots here are drawn by a script; leaderboard.csv has the figures.</p></noscript>"
)


def write_leaderboard(path: Path, jobs: Sequence[Job], *, title: str, notes: Sequence[str] = ()) -> Path:
    """Write the page of a sweep, whole or not at all; its path.

    Args:
        path: of the file.
        jobs: best first. Of each: number, status, metric, objective, skill (percent of RMSE below naive's on val),
            or theil_u, test_skill, best_baseline, best_baseline_skill, epochs, seconds, directory, error, best
            (whether it won), params or overrides (key -> value), history (one mapping an epoch; without it, that of
            history.json in its directory). Whatever is missing is shown as unknown.
        title: of the sweep.
        notes: sentences that stand above everything, such as how many were tried.
    """
    told = [{**job, "history": _history(job)} for job in jobs]
    best = next((place for place, job in enumerate(told) if job.get("best")), None)
    metric = next((str(job["metric"]) for job in told if job.get("metric")), "objective")
    plots = [parallel_coordinates(told, metric=metric), learning_curves(told, metric=metric)]
    parts = [
        text("p", f"Sweep {title}", class_="subject"),
        text("h1", _headline(told, best, metric)),
        *(text("p", note) for note in notes),
        counts(told),
        *_failures(told),
        text("h2", "Jobs"),
        _table(told, best, metric),
        *(
            [text("p", f"{ROWS:,} of {len(told):,} jobs; leaderboard.csv has all.", class_="more")]
            if len(told) > ROWS
            else []
        ),
        text("h2", "Settings and learning"),
        _NO_SCRIPT,
        *([plot for plot in plots if plot] or [text("p", "no two finished jobs that differ, and no epochs")]),
    ]
    page = document.document(
        f"Sweep {title}", parts, scripts=[*document.CHART, *document.PARALLEL, *document.TABLE]
    )
    return write_whole(Path(path), page)


def _history(job: Job) -> Sequence[Mapping[str, Any]]:
    given = job.get("history")
    if given is not None or not job.get("directory"):
        return given or ()
    try:
        read = json.loads((Path(job["directory"]) / "history.json").read_text("utf-8"))
    except (OSError, ValueError):  # a job that was stopped has none
        return ()
    return read if isinstance(read, list) and all(isinstance(epoch, dict) for epoch in read) else ()


def _headline(jobs: Sequence[Job], best: int | None, metric: str) -> str:
    if best is None:
        return "No best job" + (
            "" if any(job.get("objective") is not None for job in jobs) else ": none has an objective"
        )
    job = jobs[best]
    keys = varied(jobs)
    given = " ".join(f"{key}={value}" for key, value in settings(job).items() if key in keys)
    named = f"job {job.get('number')}{f', {given}' if given else ''}"
    return f"Best of {len(jobs):,}: {named}; {metric} {plain(job.get('objective'))}"


def _failures(jobs: Sequence[Job]) -> list[str]:
    failed = [job for job in jobs if job.get("error")]
    if not failed:
        return []
    lines = [
        f"job {job.get('number')} ({' '.join(f'{k}={v}' for k, v in settings(job).items())}): {job['error']}"
        for job in failed[:ROWS]
    ]
    return [
        element(
            "details",
            text("summary", f"{len(failed):,} with an error")
            + element("ul", "".join(text("li", line) for line in lines)),
        )
    ]


def _table(jobs: Sequence[Job], best: int | None, metric: str) -> str:
    keys = varied(jobs)
    baselines = any(job.get("best_baseline") for job in jobs)
    heads = [
        "job",
        "status",
        metric,
        "skill %",
        "test skill %",
        *(["best baseline", "its skill %"] if baselines else []),
    ]
    heads += [*keys, "epochs", "seconds", "directory"]
    rows = []
    for job in jobs[:ROWS]:
        given = settings(job)
        rival = (
            [str(job.get("best_baseline") or "-"), _skill(job.get("best_baseline_skill"))]
            if baselines
            else []
        )
        row = [
            plain(job.get("number")),
            str(job.get("status") or "-"),
            plain(job.get("objective")),
            _skill(_own_skill(job)),
            _skill(job.get("test_skill")),
            *rival,
            *(given.get(key, "-") for key in keys),
            plain(job.get("epochs")),
            plain(job.get("seconds")),
            str(job.get("directory") or "-"),
        ]
        rows.append(row)
    long = [place for place in range(1, len(heads)) if any(len(row[place]) > LONG for row in rows)]
    return grid([heads, *rows], labels=1, sortable=True, best=best, prose=long)


def _own_skill(job: Job) -> float | None:
    ratio = number(job.get("theil_u"))
    given = number(job.get("skill"))
    return given if given is not None or ratio is None else 100 * (1 - ratio)


def _skill(value: object) -> str:
    percent = number(value)
    # + 0.0 turns -0.0 into 0.0
    return "-" if percent is None else f"{round(percent, 2) + 0.0:+.2f}"
