"""What the records of an evaluation say in sentences: beside the best baseline, of tests, intervals and folds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from forecast.evaluate.summary import LOSS_WORDS, number, p_text, ratio_text

Metrics = Mapping[str, float | None]
Evaluation = Mapping[str, Any]

FAILED_NAMED = 3  # baselines that failed, by name
TICKERS_NAMED = 3  # tickers of a warning
NAIVE = "naive"


@dataclass(frozen=True, kw_only=True)
class TargetWords:
    """What was forecast and in which loss forecasts are compared; the defaults are those of a price."""

    name: str = "close"
    unit: str = "price"
    naive: str = "tomorrow = today"
    loss: str = "squared"

    @classmethod
    def of(cls, evaluation: Evaluation) -> TargetWords:
        """The words of a run; a run from before there were targets forecast prices."""
        record = evaluation.get("target") or {}
        known = {name: str(record[name]) for name in ("name", "unit", "naive", "loss") if record.get(name)}
        return cls(**known)

    @property
    def price(self) -> bool:
        """Whether it is a price, and moves are shares of the last one."""
        return self.unit == "price"

    @property
    def error(self) -> str:
        """The mean of the main loss, in words: RMSE, QLIKE."""
        return LOSS_WORDS[self.loss][1]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The model beside one reference on test, in the target's main loss.

    Args:
        reference: a baseline, or `naive`.
        ratio: error of the model / of the reference; None where that is undefined.
        p: Diebold and Mariano's, two-sided; None where there was no test.
        better: whether the model's loss is the smaller one by that test.
        why: a reason where there is no p.
        alpha: level of the test.
        flawless: whether the reference is never wrong.
    """

    reference: str
    ratio: float | None
    p: float | None = None
    better: bool = False
    why: str | None = None
    alpha: float = 0.05
    flawless: bool = False

    @classmethod
    def of(cls, evaluation: Evaluation, reference: str) -> Comparison:
        """Read from the records of a run."""
        target = TargetWords.of(evaluation)
        errors = ((evaluation.get("target") or {}).get("errors") or {}).get("test") or {}
        own, beside = number(errors.get("model")), number(errors.get(reference))
        tests = ((evaluation.get("significance") or {}).get("against") or {}).get(reference) or {}
        test = (tests.get(target.loss) or {}).get("overall") or {}
        p, stat = number(test.get("p")), number(test.get("stat"))
        return cls(
            reference=reference,
            ratio=None if own is None or not beside else own / beside,
            p=None if stat is None else p,
            better=stat is not None and stat > 0,
            why=test.get("why"),
            alpha=alpha(evaluation),
            flawless=beside == 0,
        )

    @property
    def beats(self) -> bool | None:
        """Whether it errs less, by more than chance; None where nothing can be said."""
        if self.ratio is None:
            return None
        if self.ratio >= 1:
            return False
        return None if self.p is None else self.better and self.p < self.alpha

    def clause(self, named: str, error: str, *, tested_in: str = "bar by bar") -> str:
        """The comparison in words.

        Args:
            named: how the reference is called.
            error: what the ratio is of.
            tested_in: in what the test compares, where it contradicts the ratio.
        """
        if self.flawless:
            return f"does not beat {named} on test: it is never wrong"
        if self.ratio is None:
            return f"no verdict beside {named}: the {error} ratio on test is undefined"
        shown = f"{error} ratio {ratio_text(self.ratio)}"
        if self.ratio >= 1:
            if self.ratio == 1 and self.p is None:
                return f"does not beat {named} on test: both err alike"
            tested = "" if self.p is None else f", Diebold-Mariano {p_text(self.p)}"
            return f"does not beat {named} on test: {shown}{tested}"
        if self.p is None:
            return f"does not clearly beat {named} on test: {shown}, untested" + (
                f" ({self.why})" if self.why else ""
            )
        tested = f"{shown}, Diebold-Mariano {p_text(self.p)}"
        if not self.better:
            # Dear shares rule a ratio of prices, the test counts every ticker's moves alike.
            return f"does not clearly beat {named} on test: {tested} the other way, {tested_in}"
        if self.beats:
            return f"beats {named} on test: {tested}"
        return f"does not clearly beat {named} on test: {tested}, within noise"


def beats_best(evaluation: Evaluation) -> float | None:
    """1.0 where the model beats the best baseline by validation (or naive, where that is it) on test, by more than
    chance, else 0.0; None where there is no test."""
    best = (evaluation.get("baselines") or {}).get("best") or NAIVE
    found = Comparison.of(evaluation, str(best)).beats
    return None if found is None else float(found)


def best_baseline(evaluation: Evaluation) -> tuple[str, Mapping[str, Metrics]] | None:
    """Name and figures by split of the best baseline; None where there is none besides naive."""
    record = evaluation.get("baselines") or {}
    name = record.get("best")
    figures = (record.get("figures") or {}).get(name)
    return (str(name), figures) if figures and name != "naive" else None


def alpha(evaluation: Evaluation) -> float:
    """Level of the tests."""
    return number((evaluation.get("significance") or {}).get("alpha")) or 0.05


def sentences(evaluation: Evaluation) -> list[str]:
    """A sentence each: the tests' own, the intervals', the folds', and which baselines failed."""
    naive = TargetWords.of(evaluation).naive
    found = [
        *lines(evaluation.get("significance")),
        *interval_lines(evaluation.get("intervals") or {}, naive=naive),
    ]
    found += lines(evaluation.get("risk"))
    spread = fold_spread(evaluation)
    failed = (evaluation.get("baselines") or {}).get("failed") or {}
    if failed:
        named = ", ".join(list(failed)[:FAILED_NAMED]) + (", ..." if len(failed) > FAILED_NAMED else "")
        found.append(f"baselines left out: {named}; the report has the reasons")
    return [*found, *([spread] if spread else [])]


def lines(record: object) -> list[str]:
    """The sentences that a record brings with it."""
    found = record.get("lines") if isinstance(record, Mapping) else None
    return [line for line in found if isinstance(line, str)] if isinstance(found, list | tuple) else []


def interval_lines(record: Mapping[str, Any], *, naive: str) -> list[str]:
    """How many outcomes the widest intervals held, beside those around the naive forecast, which is called `naive`."""
    levels, pooled = record.get("levels") or [], record.get("pooled") or {}
    if not levels:
        return []
    key = f"{100 * levels[0]:g}"
    entry = pooled.get(key) or {}
    held, beside = number(entry.get("coverage")), number(entry.get("naive_coverage"))
    if held is None:
        return [f"{key} % intervals: none on test"]
    found = f"{key} % intervals held {100 * held:.1f} % of test outcomes"
    if beside is not None:
        found += f" (around {naive}: {100 * beside:.1f} %)"
    score, naive_score = number(entry.get("winkler")), number(entry.get("naive_winkler"))
    if score is not None and naive_score:
        found += f"; Winkler score {ratio_text(score / naive_score)} times that of {naive}"
    return [found]


def coverage_warnings(record: Mapping[str, Any], *, bar: str = "day") -> list[str]:
    """Intervals that do not hold what they promise, a sentence a level.

    Args:
        record: `intervals` of evaluation.json.
        bar: what a bar is called.
    """
    found = []
    for key, test in (record.get("test") or {}).items():
        held, p, fails = number(test.get("coverage")), number(test.get("p")), test.get("fails")
        tickers: Mapping[str, float] = test.get("tickers") or {}
        if held is None or not (fails or tickers):
            continue
        shown = f"{100 * held:.1f} % of test outcomes"
        if fails and p is not None:
            kind = "do not hold" if fails == "low" else "are too wide"
            line = f"{key} % intervals {kind}: they held {shown} ({p_text(p)}, the outcomes of a {bar} counted as one)"
        else:
            line = f"{key} % intervals held {shown} of all tickers, but not of each"
        named = [f"{name} {100 * share:.1f} %" for name, share in list(tickers.items())[:TICKERS_NAMED]]
        if named:
            more = f" and {len(tickers) - len(named):,} more" if len(tickers) > len(named) else ""
            line += f"; of {', '.join(named)}{more}"
        found.append(line)
    return found


def fold_ratio(fold: Mapping[str, Any], split: str) -> float | None:
    """The model's error in the target's main loss over naive's in a fold; runs that did not keep it have that of RMSE.

    Args:
        fold: of evaluation.json.
        split: `val` or `test`.
    """
    kept = fold.get("ratios")
    return number(kept[split] if kept else (fold.get("metrics") or {}).get(f"{split}_theil_u"))


def fold_error(evaluation: Evaluation) -> str:
    """What `fold_ratio` is of, in words."""
    kept = any(fold.get("ratios") for fold in evaluation.get("folds") or [])
    return TargetWords.of(evaluation).error if kept else "RMSE"


def fold_spread(evaluation: Evaluation) -> str:
    """One sentence on how the ratio differs from fold to fold; "" where fewer than two folds have one."""
    found = (fold_ratio(fold, "test") for fold in evaluation.get("folds") or [])
    ratios = [ratio for ratio in found if ratio is not None]
    if len(ratios) < 2:
        return ""
    return (
        f"{len(ratios)} folds: {fold_error(evaluation)} ratio {ratio_text(min(ratios))} to {ratio_text(max(ratios))}, "
        f"mean {ratio_text(statistics.fmean(ratios))}, standard deviation {statistics.stdev(ratios):.2g}; "
        f"below 1 in {sum(ratio < 1 for ratio in ratios)} of {len(ratios)}"
    )
