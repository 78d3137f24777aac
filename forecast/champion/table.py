"""The ranking as a table for a terminal: validation figures only, and what sets the runs apart."""

from __future__ import annotations

import json
from collections.abc import Sequence

from forecast.champion.candidate import Candidate
from forecast.champion.ranking import Ranking
from forecast.evaluate.table import ratio_text

_SHOWN = 20  # runs
_WIDTH = 60  # letters of what sets a run apart
_STRATEGY = ("data.features", "data.scope")
_LEFT = (1, 5, 6)  # columns of words


def table(ranking: Ranking) -> str:
    """The best candidates, a line each, and how many there are in all."""
    runs = ranking.candidates
    metric = ranking.metric
    rows = [["", "run", metric, "skill %", "beats naive", "strategy", "what differs"]]
    apart = _differing(runs)
    for place, run in enumerate(runs[:_SHOWN], start=1):
        ratio, skill = run.metrics.get("val_theil_u"), run.skill("val")
        rows.append(
            [
                str(place),
                run.name,
                _figure(run.metrics[metric]),
                "-" if skill is None else f"{skill:+.2f}",
                "-" if ratio is None else ("yes" if ratio < 1 else f"no, ratio {ratio_text(ratio)}"),
                run.strategy,
                _cut(" ".join(f"{key}={_plain(run.params.get(key, 'null'))}" for key in apart)),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            text.ljust(width) if place in _LEFT else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    if len(runs) > _SHOWN:
        lines.append(f"and {len(runs) - _SHOWN:,} more")
    if ranking.without:
        lines.append(f"left out: {ranking.without:,} finished, without {metric}")
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


def _figure(value: float) -> str:
    return f"{value:.6g}"


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
