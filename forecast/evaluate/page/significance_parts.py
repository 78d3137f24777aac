"""Tests of the model against naive and the best baseline, pooled, by step and by ticker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from forecast.evaluate.evidence import alpha, number
from forecast.evaluate.markup import grid, plain, text
from forecast.evaluate.page.records import (
    ROWS,
    cut,
    p_cell,
    percent,
    percent_text,
    reasoned,
    record_html,
    sentences,
)
from forecast.evaluate.page.ticker_plots import ticker_plot

SHOWN = (
    *("against", "direction", "tickers", "holm", "lines", "best_baseline", "best_why"),
    *("alpha", "split", "units", "rows", "rows_left_out"),
)
TICKERS = {  # column of the record -> head
    "ticker": "ticker",
    "origins": "days",
    "dm_stat": "DM statistic",
    "dm_p": "DM p",
    "dm_p_holm": "DM p, Holm",
    "direction": "direction %",
    "direction_low": "low %",
    "direction_high": "high %",
    "pt_p": "PT p",
    "pt_p_holm": "PT p, Holm",
    "why": "undefined because",
}


def significance_parts(record: Mapping[str, Any]) -> list[str]:
    """The tests; what they say in words stands below the verdict.

    Args:
        record: as Significance.findings records it; parts may be missing.
    """
    against: Mapping[str, Mapping[str, Mapping[str, Any]]] = record.get("against") or {}
    parts = [text("p", note) for note in sentences(record, besides=["lines"])]
    if record.get("rows_left_out"):
        parts.append(text("p", f"{plain(record['rows_left_out'])} rows are left out: their last price is 0."))
    if against:
        rows = [
            _test(reference, loss, tests.get("overall") or {})
            for reference, losses in against.items()
            for loss, tests in losses.items()
        ]
        heads = ["against", "loss", "DM statistic", "p", "p, one-sided", "days", "undefined because"]
        parts += [
            text("h3", "Diebold-Mariano: does the model err less?"),
            reasoned([heads, *rows], labels=2),
        ]
        parts += _steps(against)
    parts += _direction(record.get("direction") or {})
    parts += _tickers(record.get("tickers") or {}, confidence=1 - alpha({"significance": record}))
    return [*parts, *record_html({key: value for key, value in record.items() if key not in SHOWN})]


def _test(reference: str, loss: str, test: Mapping[str, Any]) -> list[str]:
    figures = [p_cell(test.get(name)) for name in ("stat", "p", "p_better")]
    return [reference, f"{loss} error", *figures, plain(test.get("origins")), str(test.get("why") or "")]


def _steps(against: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    squared = (against.get("naive") or {}).get("squared") or {}
    steps: Sequence[Mapping[str, Any]] = squared.get("steps") or []
    if len(steps) < 2:
        return []
    rows = [[p_cell(step.get(name)) for name in ("step", "stat", "p", "p_better")] for step in steps]
    return [
        text("h3", "Against naive by step, squared error"),
        grid([["days ahead", "DM statistic", "p", "p, one-sided"], *rows], labels=1, sortable=True),
    ]


def _direction(record: Mapping[str, Any]) -> list[str]:
    entries = [("all steps", record.get("overall") or {})]
    steps = record.get("steps") or []
    if len(steps) > 1:
        entries += [(f"{step.get('step')} ahead", step) for step in steps]
    rows = [
        [
            label,
            *(percent_text(entry.get(name)) for name in ("share", "low", "high")),
            plain(entry.get("moved")),
            p_cell(entry.get("pt_stat")),
            p_cell(entry.get("pt_p")),
            str(entry.get("pt_why") or entry.get("why") or ""),
        ]
        for label, entry in entries
        if entry
    ]
    if not rows:
        return []
    heads = ["", "right %", "low %", "high %", "rows that moved", "PT statistic", "p", "undefined because"]
    title = "Direction: share of right signs with Wilson's interval, and Pesaran-Timmermann's test"
    return [text("h3", title), reasoned([heads, *rows], labels=1)]


def _tickers(columns: Mapping[str, Sequence[Any]], *, confidence: float) -> list[str]:
    names = [str(name) for name in columns.get("ticker") or []]
    if len(names) < 2:
        return []
    known = {key: columns[key] for key in TICKERS if len(columns.get(key) or []) == len(names)}
    # Those that stand out come first, so that a table cut short holds them.
    p = known.get("dm_p", [None] * len(names))
    ranked = sorted(range(len(names)), key=lambda place: (number(p[place]) is None, number(p[place]) or 0.0))
    rows = [[_cell(key, column[place]) for key, column in known.items()] for place in ranked[:ROWS]]
    heads = [TICKERS[key] for key in known]
    plots = []
    if "dm_stat" in known:
        title = "Diebold-Mariano statistic against naive by ticker, above 0 where the model errs less"
        plots.append(ticker_plot(title, names, known["dm_stat"], y_label="statistic", level=(0.0, "alike")))
    if {"direction", "direction_low", "direction_high"} <= set(known):
        low, high = ([percent(value) for value in known[f"direction_{end}"]] for end in ("low", "high"))
        plot = ticker_plot(
            f"Share of right signs by ticker, with Wilson's {100 * confidence:g} % interval",
            names,
            [percent(value) for value in known["direction"]],
            y_label="right, %",
            level=(50.0, "a coin"),
            whiskers=(low, high),
        )
        plots.append(plot)
    return [
        text("h3", "By ticker; Holm: p corrected for the number of tickers"),
        *(plot.html() for plot in plots if plot is not None),
        (reasoned if "why" in known else grid)([heads, *rows], labels=1, sortable=True),
        *cut(len(names)),
    ]


def _cell(key: str, value: object) -> str:
    if key in ("ticker", "why"):
        return str(value or "")
    if key.startswith("direction"):
        return percent_text(value)
    return plain(value) if key == "origins" else p_cell(value)
