"""The leaderboard of a sweep: one HTML file that needs nothing else, the best job first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forecast.evaluate.report.page import CHART, PARALLEL, START, render
from forecast.evaluate.report.parts import Table, plain
from forecast.evaluate.report.plot import ParallelPlot, Plot, Role, Series, rounded
from forecast.evaluate.report.run_plots import epoch_of
from forecast.evaluate.summary import number
from forecast.files import read_json, write_whole

MAX_JOBS = 2000  # in the table
MAX_CURVES = 100  # jobs whose learning is drawn
MAX_LINES = 1000  # jobs in the parallel coordinates
MAX_AXES = 12  # settings; more could not be distinguished
LONG = 16  # letters of a value, from which on its column may break

Job = Mapping[str, Any]


def write_leaderboard(path: Path, jobs: Sequence[Job], *, title: str, notes: Sequence[str] = ()) -> Path:
    """Write the page of a sweep, whole or not at all; its path.

    Args:
        path: of the file.
        jobs: best first. Of each: number, status, metric, objective, skill (percent of RMSE below naive's on val),
            or theil_u, test_skill, best_baseline, best_baseline_skill, skill_best, beats_best, epochs, seconds,
            directory, error, best (whether it won), params or overrides (key -> value), history (one mapping an
            epoch; without it, that of history.json in its directory). Whatever is missing is shown as unknown.
        title: of the sweep.
        notes: sentences that stand above everything, such as how many were tried.
    """
    jobs = [{**job, "history": _history(job)} for job in jobs]
    metric = next((str(job["metric"]) for job in jobs if job.get("metric")), "objective")
    failures = [job for job in jobs if job.get("error")]
    page = render(
        "leaderboard.html.j2",
        title=f"Sweep {title}",
        scripts=[*CHART, PARALLEL, START],
        headline=_headline(jobs, metric),
        notes=notes,
        counts=_counts(jobs),
        failed=len(failures),
        failures=[
            f"job {job.get('number')} ({_assignments(settings(job))}): {job['error']}"
            for job in failures[:MAX_JOBS]
        ],
        table=_table(jobs, metric),
        more=f"{MAX_JOBS:,} of {len(jobs):,} jobs; leaderboard.csv has all." if len(jobs) > MAX_JOBS else "",
        plots=[*parallel_coordinates(jobs, metric), *learning_curves(jobs, metric)],
    )
    return write_whole(Path(path), page)


def settings(job: Job) -> dict[str, str]:
    """What a job was given, by key: from `params`, or `overrides` as a mapping or as `key=value` texts."""
    given = job.get("params") or job.get("overrides") or {}
    if isinstance(given, Mapping):
        return {str(key): str(value) for key, value in given.items()}
    pairs = (str(override).partition("=") for override in given)
    return {key: value for key, _, value in pairs}


def varied(jobs: Sequence[Job]) -> list[str]:
    """The keys that are not the same in all jobs."""
    given = [settings(job) for job in jobs]
    keys = dict.fromkeys(key for one in given for key in one)
    return [key for key in keys if len({one.get(key) for one in given}) > 1]


def parallel_coordinates(jobs: Sequence[Job], metric: str) -> list[ParallelPlot]:
    """A line a job from setting to setting to the objective; none where no two jobs with an objective differ.

    Args:
        jobs: best first; those without an objective are left out.
        metric: the objective's name.
    """
    known = [job for job in jobs if number(job.get("objective")) is not None]
    shown = known[:MAX_LINES]
    keys = varied(shown)
    if len(shown) < 2 or not keys:
        return []
    given = [settings(job) for job in shown]
    short = Counter(key.rpartition(".")[2] for key in keys)
    axes = []
    for key in keys[:MAX_AXES]:
        last = key.rpartition(".")[2]
        axes.append(
            _axis([one.get(key) for one in given]) | {"name": key, "short": last if short[last] == 1 else key}
        )
    objective = rounded(number(job.get("objective")) for job in shown)
    axes.append({"name": metric, "short": metric, "values": objective, "log": False})
    notes = ["Green: the best; blue: the better half; grey: the rest."]
    if len(known) > len(shown):
        notes.append(f"The first {len(shown):,} of {len(known):,} jobs.")
    if len(keys) > MAX_AXES:
        notes.append(f"Left out: {', '.join(keys[MAX_AXES:])}.")
    plot = ParallelPlot(
        title=f"Settings against {metric}",
        axes=axes,
        names=[f"{_name(job)}, {job.get('status', '')}".rstrip(", ") for job in shown],
        best=_best(shown),
        note=" ".join(notes),
    )
    return [plot]


def _axis(texts: Sequence[str | None]) -> dict[str, Any]:
    """Values of one setting: numbers where all of them are, otherwise places in a list of names."""
    numbers = [None if one is None else _number(one) for one in texts]
    known = [value for value in numbers if value is not None]
    if known and len(known) == sum(one is not None for one in texts):
        log = min(known) > 0 and max(known) >= 8 * min(known)
        return {"values": rounded(numbers), "log": log}
    names = sorted({one for one in texts if one is not None})
    places = {one: place for place, one in enumerate(names)}
    return {"values": [None if one is None else places[one] for one in texts], "names": names, "log": False}


def _number(content: str) -> float | None:
    try:
        return number(float(content))
    except ValueError:
        return None


def learning_curves(jobs: Sequence[Job], metric: str) -> list[Plot]:
    """The objective epoch by epoch, a line a job; none where no job has a history.

    Args:
        jobs: best first; each with `history`, one mapping an epoch.
        metric: the objective's name; val_loss where no epoch has it.
    """
    trained = [job for job in jobs if job.get("history")]
    name = metric if any(metric in epoch for job in trained for epoch in job["history"]) else "val_loss"
    curves = []
    for job in trained[:MAX_CURVES]:
        points = (
            (epoch_of(epoch, place), number(epoch.get(name))) for place, epoch in enumerate(job["history"])
        )
        curves.append((job, {epoch: value for epoch, value in points if value is not None}))
    epochs = sorted({epoch for _, curve in curves for epoch in curve})
    if not epochs:
        return []
    series = []
    for job, curve in reversed(curves):  # the best is drawn last, above the others
        role: Role = "other" if job.get("best") else "stopped" if job.get("status") == "pruned" else "faint"
        values = [curve.get(epoch) for epoch in epochs]
        series.append(Series(name=_name(job), kind="line", role=role, values=values))
    best_of = f" The best {MAX_CURVES} of {len(trained):,} jobs." if len(trained) > MAX_CURVES else ""
    plot = Plot(
        title=f"Learning curves of all jobs: {name}",
        x=epochs,
        x_label="epoch",
        whole=True,
        y_label=name,
        series=series,
        nearest=True,
        legend=False,
        note=f"Green: the best; dashed: stopped early.{best_of}",
    )
    return [plot]


def _history(job: Job) -> Sequence[Mapping[str, Any]]:
    given = job.get("history")
    if given is not None or not job.get("directory"):
        return given or ()
    try:
        read = read_json(Path(job["directory"]) / "history.json")
    except (OSError, ValueError):  # a job that was stopped has none
        return ()
    return read if isinstance(read, list) and all(isinstance(epoch, dict) for epoch in read) else ()


def _headline(jobs: Sequence[Job], metric: str) -> str:
    best = _best(jobs)
    if best is None:
        none = "" if any(job.get("objective") is not None for job in jobs) else ": none has an objective"
        return f"No best job{none}"
    job, keys = jobs[best], varied(jobs)
    given = _assignments({key: value for key, value in settings(job).items() if key in keys})
    named = f"job {job.get('number')}{f', {given}' if given else ''}"
    return f"Best of {len(jobs):,}: {named}; {metric} {plain(job.get('objective'))}"


def _counts(jobs: Sequence[Job]) -> str:
    found = Counter(str(job.get("status", "unknown")) for job in jobs)
    named = ", ".join(f"{count:,} {status}" for status, count in found.items())
    return f"{len(jobs):,} job{'' if len(jobs) == 1 else 's'}: {named or 'none'}."


def _table(jobs: Sequence[Job], metric: str) -> Table:
    keys = varied(jobs)
    baselines = any(job.get("best_baseline") for job in jobs)
    header = ["job", "status", metric, "skill %", "test skill %"]
    header += ["best baseline", "its skill %", "of its error %", "beats it on test"] if baselines else []
    header += [*keys, "epochs", "seconds", "directory"]
    rows = []
    for job in jobs[:MAX_JOBS]:
        given, ratio, skill = settings(job), number(job.get("theil_u")), number(job.get("skill"))
        own = skill if skill is not None or ratio is None else 100 * (1 - ratio)
        row = [plain(job.get("number")), str(job.get("status") or "-"), plain(job.get("objective"))]
        row += [_percent(own), _percent(job.get("test_skill"))]
        if baselines:
            row += [str(job.get("best_baseline") or "-"), _percent(job.get("best_baseline_skill"))]
            beats: bool | None = job.get("beats_best")
            row += [_percent(job.get("skill_best")), {None: "-", True: "yes", False: "no"}[beats]]
        row += [given.get(key, "-") for key in keys]
        row += [plain(job.get("epochs")), plain(job.get("seconds")), str(job.get("directory") or "-")]
        rows.append(row)
    long = [place for place in range(1, len(header)) if any(len(row[place]) > LONG for row in rows)]
    return Table(header, rows, sortable=True, best=_best(jobs), prose=long)


def _best(jobs: Sequence[Job]) -> int | None:
    return next((place for place, job in enumerate(jobs) if job.get("best")), None)


def _name(job: Job) -> str:
    return f"job {job.get('number', '?')}"


def _assignments(given: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in given.items())


def _percent(value: object) -> str:
    known = number(value)
    # + 0.0 turns -0.0 into 0.0
    return "-" if known is None else f"{round(known, 2) + 0.0:+.2f}"
