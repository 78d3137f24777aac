"""The jobs of a sweep: what they were given against what came of it, and how they learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from forecast.evaluate.evidence import number
from forecast.evaluate.markup import text
from forecast.evaluate.page.learning_plots import epoch_of
from forecast.evaluate.page.plot import Plot, Role, Series, figure, rounded

CURVES = 100  # jobs whose learning is drawn
LINES = 1000  # jobs in the parallel coordinates
AXES = 12  # settings; more would not be told apart

Job = Mapping[str, Any]


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


def title_of(job: Job) -> str:
    """How a job is called in a plot."""
    return f"job {job.get('number', '?')}"


def parallel_coordinates(jobs: Sequence[Job], *, metric: str) -> str:
    """A line a job from setting to setting to the objective; "" where no two jobs with an objective differ.

    Args:
        jobs: best first; those without an objective are left out.
        metric: the objective's name.
    """
    known = [job for job in jobs if number(job.get("objective")) is not None]
    shown = known[:LINES]
    keys = varied(shown)
    if len(shown) < 2 or not keys:
        return ""
    given = [settings(job) for job in shown]
    short = {key: key.rpartition(".")[2] for key in keys}
    axes = [
        {
            **_axis(key, [one.get(key) for one in given]),
            "short": short[key] if list(short.values()).count(short[key]) == 1 else key,
        }
        for key in keys[:AXES]
    ]
    objective = rounded(number(job.get("objective")) for job in shown)
    spec = {
        "axes": [*axes, {"name": metric, "short": metric, "values": objective, "log": False}],
        "names": [f"{title_of(job)}, {job.get('status', '')}".rstrip(", ") for job in shown],
        "order": list(range(len(shown))),
        "best": next((place for place, job in enumerate(shown) if job.get("best")), None),
    }
    notes = ["Green: the best; blue: the better half; grey: the rest."]
    if len(known) > len(shown):
        notes.append(f"The first {len(shown):,} of {len(known):,} jobs.")
    if len(keys) > AXES:
        notes.append(f"Left out: {', '.join(keys[AXES:])}.")
    return figure("parallel", f"Settings against {metric}", spec, note=" ".join(notes))


def _axis(name: str, texts: Sequence[str | None]) -> dict[str, Any]:
    numbers = [None if one is None else _number(one) for one in texts]
    known = [value for value in numbers if value is not None]
    if known and len(known) == sum(one is not None for one in texts):
        log = min(known) > 0 and max(known) >= 8 * min(known)
        return {"name": name, "values": rounded(numbers), "log": log}
    names = sorted({one for one in texts if one is not None})
    places = {one: place for place, one in enumerate(names)}
    return {
        "name": name,
        "values": [None if one is None else places[one] for one in texts],
        "names": names,
        "log": False,
    }


def _number(content: str) -> float | None:
    try:
        return number(float(content))
    except ValueError:
        return None


def learning_curves(jobs: Sequence[Job], *, metric: str) -> str:
    """The objective epoch by epoch, a line a job; "" where no job has a history.

    Args:
        jobs: best first; each with `history`, one mapping an epoch.
        metric: the objective's name; val_loss where no epoch has it.
    """
    learnt = [job for job in jobs if job.get("history")]
    if not learnt:
        return ""
    drawn = metric if any(metric in epoch for job in learnt for epoch in job["history"]) else "val_loss"
    curves = [_curve(job["history"], drawn) for job in learnt[:CURVES]]
    epochs = sorted({epoch for curve in curves for epoch in curve})
    if not epochs:
        return ""
    series = []
    # The best is drawn last, above the others.
    for job, curve in reversed(list(zip(learnt, curves, strict=False))):
        role: Role = "other" if job.get("best") else "stopped" if job.get("status") == "pruned" else "faint"
        values = [curve.get(epoch) for epoch in epochs]
        series.append(Series(name=title_of(job), kind="line", role=role, values=values))
    note = "Green: the best; dashed: stopped early."
    if len(learnt) > CURVES:
        note += f" The best {CURVES} of {len(learnt):,} jobs."
    plot = Plot(
        title=f"Learning curves of all jobs: {drawn}",
        x=epochs,
        x_label="epoch",
        whole=True,
        y_label=drawn,
        series=series,
        nearest=True,
        legend=False,
        note=note,
    )
    return plot.html()


def _curve(history: Sequence[Mapping[str, Any]], name: str) -> dict[float, float]:
    found = ((epoch_of(epoch, place), number(epoch.get(name))) for place, epoch in enumerate(history))
    return {epoch: value for epoch, value in found if value is not None}


def counts(jobs: Sequence[Job]) -> str:
    """How many jobs there are of each status, in a sentence."""
    found: dict[str, int] = {}
    for job in jobs:
        status = str(job.get("status", "unknown"))
        found[status] = found.get(status, 0) + 1
    named = ", ".join(f"{count:,} {status}" for status, count in found.items())
    return text(
        "p", f"{len(jobs):,} job{'' if len(jobs) == 1 else 's'}: {named or 'none'}.", class_="subject"
    )
