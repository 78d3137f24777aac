"""Figures of the field, and the trading rule that illustrates them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from forecast.evaluate.evidence import number
from forecast.evaluate.markup import element, grid, plain, text, tree
from forecast.evaluate.page.records import (
    ROWS,
    cut,
    is_columns,
    percent,
    reasoned,
    record_html,
    sentences,
    word,
)
from forecast.evaluate.page.ticker_plots import ticker_plot

FIGURES = (  # figure, its name, what a value is multiplied by
    ("r2_zero", "R2 of returns, against no move, %", 100),
    ("r2_mean", "R2 of returns, against the mean move of the past, %", 100),
    ("ic", "IC: correlation across tickers, mean over dates", 1),
    ("icir", "ICIR: IC / its standard deviation over dates", 1),
    ("rank_ic", "RankIC: the same of ranks", 1),
    ("rank_icir", "RankICIR", 1),
)
SHORT = {
    "r2_zero": "R2 against no move, %",
    "r2_mean": "R2 against the mean move, %",
    "ic": "IC",
    "icir": "ICIR",
    "rank_ic": "RankIC",
    "rank_icir": "RankICIR",
}
TICKERS = {
    "ticker": "ticker",
    **{key: SHORT[key] for key in ("r2_zero", "r2_mean")},
    "why": "undefined because",
}
SHARES = ("total_return", "annual_return", "annual_volatility", "max_drawdown")  # shown in percent
NAMES = {
    "sharpe": "Sharpe ratio",
    "sharpe_se": "its standard error",
    "turnover": "turnover a session",
    "break_even_bps": "cost at which it earns nothing, basis points",
}
TERMS = {
    "cost_bps": "cost of a trade, basis points",
    "sessions": "sessions",
    "sessions_per_year": "sessions a year",
}
FIELD_SHOWN = ("overall", "steps", "tickers", "lines", "notes", "split", "units", "mean")
RULE_SHOWN = ("strategy", "buy_and_hold", "label", "lines", "split", *TERMS)


def field_parts(record: Mapping[str, Any]) -> list[str]:
    """R2 of returns and information coefficients: of all rows, by step, by ticker.

    Args:
        record: as Field.findings records it; parts may be missing.
    """
    parts = [text("p", sentence) for sentence in sentences(record)]
    overall: Mapping[str, Any] = record.get("overall") or {}
    why: Mapping[str, Any] = overall.get("why") or {}
    tickers = record.get("tickers")
    # across one ticker nothing correlates
    many = not is_columns(tickers) or len(tickers.get("ticker", ())) != 1
    rows = [
        [name, _scaled(overall.get(key), by), _scaled(overall.get(f"{key}_se"), by), str(why.get(key) or "")]
        for key, name, by in FIGURES
        if key in overall and (many or key.startswith("r2"))
    ]
    if rows:
        heads = ["", "value", "standard error", "undefined because"]
        parts.append(reasoned([heads, *rows], labels=1))
    steps: Sequence[Mapping[str, Any]] = record.get("steps") or []
    if len(steps) > 1:
        keys = [key for key, _, _ in FIGURES if key in steps[0]]
        scale = {key: by for key, _, by in FIGURES}
        body = [
            [plain(step.get("step")), *(_scaled(step.get(key), scale[key]) for key in keys)] for step in steps
        ]
        parts += [
            text("h3", "By step"),
            grid([["days ahead", *(SHORT[key] for key in keys)], *body], labels=1, sortable=True),
        ]
    if is_columns(tickers) and len(tickers.get("ticker", ())) > 1:
        names = [str(name) for name in tickers["ticker"]]
        values = [percent(value) for value in tickers.get("r2_zero", [None] * len(names))]
        title = "R2 of returns by ticker, above 0 where the model errs less than no move"
        plot = ticker_plot(title, names, values, y_label="R2, %", level=(0.0, "no better"))
        parts += [text("h3", "By ticker"), *([] if plot is None else [plot.html()]), *_ticker_table(tickers)]
    return [*parts, *record_html({key: value for key, value in record.items() if key not in FIELD_SHOWN})]


def _ticker_table(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    known = {key: columns[key] for key in TICKERS if key in columns}
    count = len(columns["ticker"])
    rows = [
        [
            str(column[n] or "") if key in ("ticker", "why") else _scaled(column[n], 100)
            for key, column in known.items()
        ]
        for n in range(min(count, ROWS))
    ]
    heads = [TICKERS[key] for key in known]
    return [(reasoned if "why" in known else grid)([heads, *rows], labels=1, sortable=True), *cut(count)]


def rule_parts(record: Mapping[str, Any]) -> list[str]:
    """The sign strategy beside buy and hold.

    Args:
        record: as Economics.findings records it; parts may be missing.
    """
    label = record.get("label")
    parts = [text("p", f"{str(label)[:1].upper()}{str(label)[1:]}.", class_="warning")] if label else []
    sides = {
        name: record[name] for name in ("strategy", "buy_and_hold") if isinstance(record.get(name), Mapping)
    }
    names = list(dict.fromkeys(key for side in sides.values() for key in side if key != "why"))
    if names:
        rows = [[_named(name), *(_rule_cell(side, name) for side in sides.values())] for name in names]
        parts.append(grid([["", *map(word, sides)], *rows], labels=1))
    terms = {name: record[key] for key, name in TERMS.items() if key in record}
    if terms:
        parts.append(element("div", tree(terms), class_="plain"))
    reasons = {word(name): side["why"] for name, side in sides.items() if side.get("why")}
    parts += record_html(reasons)
    return [*parts, *record_html({key: value for key, value in record.items() if key not in RULE_SHOWN})]


def _named(name: str) -> str:
    return f"{word(name)}, %" if name in SHARES else NAMES.get(name, word(name))


def _rule_cell(side: Mapping[str, Any], name: str) -> str:
    return "" if name not in side else _scaled(side[name], 100 if name in SHARES else 1)


def _scaled(value: object, by: float) -> str:
    known = number(value)
    return "-" if known is None else f"{known * by:.4g}"
