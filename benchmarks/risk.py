"""Intervals and value at risk of every ticker: python -m benchmarks.risk [OVERRIDE ...]

A walk-forward over the newest five times 252 bars, trained as the overrides say (by default one linear layer on all
tickers of the embedded data, pooled). Of each ticker: how often 90 % intervals held and their Winkler score over that
of `intervals=adaptive` as it was before it was scaled by a volatility forecast; how often returns fell below the value
at risk of 1 and 5 %, with the p-values of Kupiec and of Christoffersen, and its pinball loss over that of historical
simulation.

    python -m benchmarks.risk source=files source.path=my_bars data.tickers=null
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import forecast

DEFAULTS = [
    *("data=no_processing_panel", "model=linear", "trainer=smoke", "baselines=none", "tracker=none"),
    *("evaluation=walk_forward", "evaluation.significance=null"),
]
KINDS = ("adaptive", "conformal", "scaled", "filtered")


def main(overrides: list[str]) -> None:
    """Print three tables, in Markdown."""
    found: dict[str, Mapping[str, Any]] = {}
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            run = forecast.run(*DEFAULTS, f"intervals={kind}", *overrides, directory=Path(folder) / "run")
        found[kind] = run.evaluation
    intervals = {kind: record["intervals"]["tickers"] for kind, record in found.items()}
    tickers = list(intervals["adaptive"])
    print("| 90 % intervals | " + " | ".join(tickers) + " | mean |")
    print("|---|" + "---|" * (len(tickers) + 1))
    for kind in KINDS:
        held = [intervals[kind][ticker]["90"]["coverage"] for ticker in tickers]
        print(row(f"`{kind}`: held %", [100 * share for share in held], "{:.1f}"))
    for kind in KINDS[1:]:
        scores = [
            intervals[kind][ticker]["90"]["winkler"] / intervals["adaptive"][ticker]["90"]["winkler"]
            for ticker in tickers
        ]
        print(row(f"`{kind}`: Winkler score / `adaptive`", scores, "{:.3f}"))
    for level, entry in found["scaled"]["risk"]["levels"].items():
        columns = entry["tickers"]
        place = [columns["ticker"].index(ticker) for ticker in tickers]
        print(f"\n| {level} % value at risk | " + " | ".join(tickers) + " | mean |")
        print("|---|" + "---|" * (len(tickers) + 1))
        for name, words, form, by in (
            ("violations", "fallen below, %", "{:.2f}", 100),
            ("simulated_violations", "historical simulation, %", "{:.2f}", 100),
            ("kupiec_p", "Kupiec p", "{:.2f}", 1),
            ("independence_p", "independence p", "{:.2f}", 1),
            ("conditional_p", "Christoffersen p", "{:.2f}", 1),
            ("pinball_ratio", "pinball loss / historical simulation", "{:.3f}", 1),
            ("es_ratio", "mean return beyond / expected shortfall", "{:.2f}", 1),
        ):
            values = [columns[name][one] for one in place]
            print(row(words, [None if value is None else by * value for value in values], form))


def row(head: str, values: list[float | None], form: str) -> str:
    """A row of a table, with the mean of the values; p-values have none."""
    known = [value for value in values if value is not None]
    mean = form.format(sum(known) / len(known)) if known and not head.endswith(" p") else ""
    cells = ["-" if value is None else form.format(value) for value in values]
    return f"| {head} | {' | '.join(cells)} | {mean} |"


if __name__ == "__main__":
    main(sys.argv[1:])
