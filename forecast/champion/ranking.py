"""Rank finished runs by the objective on validation alone, and show the ranking as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from forecast.champion.candidate import Candidate
from forecast.config.messages import nearest
from forecast.errors import UserError
from forecast.evaluate.summary import align, ratio_text
from forecast.finished_runs import Subject, best_first, differences, in_prices, incomparable

Mode = Literal["min", "max"]


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Candidates, best first."""

    metric: str  # they were ranked by
    mode: Mode  # whether less of it is better, or more
    # different ones: of runs with the same identity, and so the same result, the latest
    candidates: Sequence[Candidate]
    without: int  # how many finished runs do not report the metric, and could not be ranked
    elsewhere: int = 0  # how many finished runs forecast something else, and were not compared

    @property
    def winner(self) -> Candidate:
        """The best."""
        return self.candidates[0]


def rank(runs: Sequence[Candidate], *, metric: str, mode: Mode) -> Ranking:
    """Order runs by a validation metric; of equals, the earliest leads.

    Raises:
        UserError: no validation metric, one that no run reports, or one that cannot rank these runs.
    """
    check_metric(metric)
    latest: dict[str, Candidate] = {}
    for run in sorted(runs, key=lambda run: (run.started, run.name)):
        latest[run.identity] = run
    able = [run for run in latest.values() if metric in run.metrics]
    if not able:
        known = sorted({name for run in latest.values() for name in run.metrics if name.startswith("val_")})
        near = nearest(metric, known)
        hint = f"did you mean {near}? " if near else ""
        raise UserError(
            f"objective.metric={metric}: none of {len(latest)} finished runs reports it; {hint}"
            f"known: {', '.join(known) or 'none'}"
        )
    if why := incomparable(metric, _subjects(able)):
        raise UserError(why)
    ranked = best_first(
        able, mode=mode, figure=lambda run: run.metrics[metric], then=lambda run: (run.started, run.name)
    )
    return Ranking(metric=metric, mode=mode, candidates=ranked, without=len(latest) - len(able))


def of_same_question(
    runs: Sequence[Candidate], *, metric: str, sweep: Sequence[Candidate], named: Mapping[str, str]
) -> list[Candidate]:
    """The runs that forecast the same as a sweep, or what was named.

    Args:
        sweep: finished runs of the sweep; none where there is no sweep.
        named: of `Candidate.question`, what must be alike where there is no sweep.

    Raises:
        UserError: there is none.
    """
    if not sweep:
        kept = [run for run in runs if named.items() <= run.question.items()]
        if not kept:
            asked = " ".join(key if key == "target" else f"{key}={value}" for key, value in named.items())
            raise UserError(f"{asked}: none of {len(runs)} finished runs forecasts that")
        return kept
    questions = [run.question for run in sweep]
    kept = [run for run in runs if run.question in questions]
    if (
        in_prices(metric) and incomparable(metric, _subjects(sweep)) is None
    ):  # else the sweep itself is refused
        kept = [run for run in kept if incomparable(metric, _subjects([sweep[0], run])) is None]
    if not kept:
        raise UserError(
            f"champion: none of {len(runs)} recorded runs is of this sweep; python -m forecast.track sync"
        )
    return kept


def _subjects(runs: Sequence[Candidate]) -> list[Subject]:
    """What each run forecast, as far as MLflow says.

    The days are not recorded there, but the errors of "tomorrow = today" on them are, which no two ranges of
    days have in common. Only where those differ, the settings show whether that is for other days or other bars.
    """
    subjects = [run.subject for run in runs]
    if differences(subjects) != ["data"]:
        return subjects
    return [replace(subject, dates=run.dates) for subject, run in zip(subjects, runs, strict=True)]


def check_metric(metric: str) -> None:
    """Refuse to choose by anything but validation.

    Raises:
        UserError: another metric.
    """
    if metric.startswith("test_"):
        raise UserError(
            f"objective.metric={metric}: the test split is opened once and never used to choose; "
            f"use objective.metric=val_{metric.removeprefix('test_')}"
        )
    if not metric.startswith("val_"):
        raise UserError(
            f"objective.metric={metric}: a champion is chosen on validation; for instance objective.metric=val_rmse"
        )


_SHOWN = 20  # runs
_WIDTH = 48  # letters of what sets a run apart
_STRATEGY = ("data.features", "data.scope")
_WORDS = (1, 7, 8)  # columns


def table(ranking: Ranking) -> str:
    """The best candidates, a line each, and how many there are in all.

    `of best`: percent of the error of the best baseline on validation; `beats best`: by more than chance, on test.
    """
    runs = ranking.candidates
    metric = ranking.metric
    rows = [
        ["", "run", metric, "skill %", "beats naive", "of best %", "beats best", "strategy", "what differs"]
    ]
    apart = _differing(runs)
    for place, run in enumerate(runs[:_SHOWN], start=1):
        ratio, skill = run.metrics.get("val_theil_u"), run.skill("val")
        beside = run.metrics.get("val_skill_best")
        rows.append(
            [
                str(place),
                run.name,
                f"{run.metrics[metric]:.6g}",
                "-" if skill is None else f"{skill:+.2f}",
                "-" if ratio is None else ("yes" if ratio < 1 else f"no, ratio {ratio_text(ratio)}"),
                "-" if beside is None else f"{beside:+.2f}",
                {None: "-", 1.0: "yes", 0.0: "no"}[run.metrics.get("test_beats_best")],
                run.strategy,
                _cut(" ".join(f"{key}={_plain(run.params.get(key, 'null'))}" for key in apart)),
            ]
        )
    lines = [align(rows, words=_WORDS)]
    if len(runs) > _SHOWN:
        lines.append(f"and {len(runs) - _SHOWN:,} more")
    if ranking.without:
        lines.append(f"left out: {ranking.without:,} finished, without {metric}")
    if ranking.elsewhere:
        lines.append(
            f"left out: {ranking.elsewhere:,} finished, of another target, ticker, horizon or other bars"
        )
    return "\n".join(lines)


def _differing(runs: Sequence[Candidate]) -> list[str]:
    """The keys of the config that are not the same for all; what a strategy's name says is not said twice."""
    keys = {key for run in runs for key in run.params if not key.startswith(_STRATEGY)}
    return sorted(key for key in keys if len({run.params.get(key, "null") for run in runs}) > 1)


def _plain(text: str) -> str:
    """A value as it is typed: lists without spaces and quotes."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text.replace(", ", ",").replace('"', "") if isinstance(value, list | dict) else text


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
