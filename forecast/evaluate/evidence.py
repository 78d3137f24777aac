"""What the records of an evaluation add to a verdict: the best baseline, tests, intervals, folds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from forecast.evaluate.table import ratio_text

Evaluation = Mapping[str, Any]
Figures = Mapping[str, float | None]

NAMED = 3  # baselines that failed, by name


def rival(evaluation: Evaluation) -> tuple[str, Mapping[str, Figures]] | None:
    """Name and figures by split of the best baseline; None where there is none besides naive."""
    record = evaluation.get("baselines") or {}
    name = record.get("best")
    figures = (record.get("figures") or {}).get(name)
    return (str(name), figures) if figures and name != "naive" else None


def against_naive(evaluation: Evaluation) -> tuple[float, bool] | None:
    """Two-sided p of Diebold and Mariano's test against naive, and whether the model's loss is the smaller one.

    None where there was no test, or an undefined one.
    """
    tests = (evaluation.get("significance") or {}).get("against") or {}
    test = ((tests.get("naive") or {}).get("squared") or {}).get("overall") or {}
    p, better = number(test.get("p")), number(test.get("stat"))
    return None if p is None or better is None else (p, better > 0)


def alpha(evaluation: Evaluation) -> float:
    """Level of the tests."""
    return number((evaluation.get("significance") or {}).get("alpha")) or 0.05


def findings(evaluation: Evaluation) -> list[str]:
    """A sentence each: the tests' own, the intervals', the folds', and which baselines failed."""
    told = [*lines(evaluation.get("significance")), *interval_lines(evaluation.get("intervals") or {})]
    spread = fold_spread(evaluation.get("folds") or [])
    failed = (evaluation.get("baselines") or {}).get("failed") or {}
    if failed:
        named = ", ".join(list(failed)[:NAMED]) + (", ..." if len(failed) > NAMED else "")
        told.append(f"baselines left out: {named}; the report has the reasons")
    return [*told, *([spread] if spread else [])]


def lines(record: object) -> list[str]:
    """The sentences that a record brings with it."""
    found = record.get("lines") if isinstance(record, Mapping) else None
    return [line for line in found if isinstance(line, str)] if isinstance(found, list | tuple) else []


def interval_lines(record: Mapping[str, Any]) -> list[str]:
    """How many outcomes the widest intervals held, beside those around "tomorrow = today"."""
    levels, pooled = record.get("levels") or [], record.get("pooled") or {}
    if not levels:
        return []
    key = f"{100 * levels[0]:g}"
    entry = pooled.get(key) or {}
    held, naive = number(entry.get("coverage")), number(entry.get("naive_coverage"))
    if held is None:
        return [f"{key} % intervals: none on test"]
    told = f"{key} % intervals held {100 * held:.1f} % of test outcomes"
    if naive is not None:
        told += f" (around tomorrow = today: {100 * naive:.1f} %)"
    score, naive_score = number(entry.get("winkler")), number(entry.get("naive_winkler"))
    if score is not None and naive_score:
        told += f"; Winkler score {ratio_text(score / naive_score)} times that of tomorrow = today"
    return [told]


def fold_spread(folds: Sequence[Mapping[str, Any]]) -> str:
    """One sentence on how the ratio differs from fold to fold; "" where fewer than two folds have one."""
    found = (number((fold.get("metrics") or {}).get("test_theil_u")) for fold in folds)
    ratios = [ratio for ratio in found if ratio is not None]
    if len(ratios) < 2:
        return ""
    return (
        f"{len(ratios)} folds: RMSE ratio {ratio_text(min(ratios))} to {ratio_text(max(ratios))}, "
        f"mean {ratio_text(statistics.fmean(ratios))}, standard deviation {statistics.stdev(ratios):.2g}; "
        f"below 1 in {sum(ratio < 1 for ratio in ratios)} of {len(ratios)}"
    )


def number(value: object) -> float | None:
    """A finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
