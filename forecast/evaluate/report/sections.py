"""Each record of an evaluation as the parts of a section: tables and plots.

A record that nobody described here is shown as `record_parts` shows it; parts of those described may be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from forecast.evaluate.findings import fold_error, fold_ratio
from forecast.evaluate.report.parts import (
    Part,
    Table,
    Text,
    digits_text,
    facts,
    is_columns,
    percent_text,
    plain,
    record_parts,
    scaled,
    sentences,
    tree,
    words_of,
)
from forecast.evaluate.report.plot import Plot, Role, Series, Words, ticker_plot
from forecast.evaluate.report.tables import (
    WHY,
    Columns,
    Record,
    by_ticker,
    line,
    reason_text,
    rest,
    table_of,
)
from forecast.evaluate.report.uncertainty import calibration, confidence_set, intervals, risk
from forecast.evaluate.summary import LOSS_WORDS, SPLITS, number, ratio_text

Metrics = Mapping[str, float | None]

_LOSSES = {"squared": "squared error", "absolute": "absolute error", "log": "squared error of logs"}
_LOSSES |= {"qlike": LOSS_WORDS["qlike"][1], "log_loss": LOSS_WORDS["log_loss"][1]}
FAR = 1.2  # ratio of a baseline that would squeeze the others of a plot into one line
FIELD = {  # figure -> its name, its short name, what a value is multiplied by
    "r2_zero": ("R2 of returns, against no move, %", "R2 against no move, %", 100),
    "r2_mean": ("R2 of returns, against the mean move of the past, %", "R2 against the mean move, %", 100),
    "ic": ("IC: correlation across tickers, mean over dates", "IC", 1),
    "icir": ("ICIR: IC / its standard deviation over dates", "ICIR", 1),
    "rank_ic": ("RankIC: the same of ranks", "RankIC", 1),
    "rank_icir": ("RankICIR", "RankICIR", 1),
}
RULE = {  # figure -> its name, what a value is multiplied by
    "total_return": ("total return, %", 100),
    "annual_return": ("annual return, %", 100),
    "annual_volatility": ("annual volatility, %", 100),
    "max_drawdown": ("max drawdown, %", 100),
    "sharpe": ("Sharpe ratio", 1),
    "sharpe_se": ("its standard error", 1),
    "turnover": ("turnover a session", 1),
    "break_even_bps": ("cost at which it earns nothing, basis points", 1),
}
RULE_TERMS = {
    "cost_bps": "cost of a trade, basis points",
    "sessions": "sessions",
    "sessions_per_year": "sessions a year",
}


def sections(evaluation: Record, metrics: Metrics, words: Words) -> list[tuple[str, list[Part]]]:
    """Title and parts of every section, those that a reader expects first.

    Args:
        evaluation: the content of evaluation.json.
        metrics: of the run, flat.
        words: how to name what was forecast.
    """
    known: dict[str, tuple[str, Callable[[Any], list[Part]]]] = {
        "folds": ("Folds", partial(_folds, words=words, error=fold_error(evaluation))),
        "baselines": ("Baselines", partial(_baselines, metrics=metrics, words=words)),
        "significance": ("Significance", partial(_significance, words=words)),
        "intervals": ("Intervals", partial(intervals, words=words)),
        "calibration": ("Calibration of the probabilities", calibration),
        "risk": ("Value at risk", partial(risk, words=words)),
        "field": ("Figures of the field", partial(_field, words=words)),
        "economics": ("A trading rule, for illustration only", _trading_rule),
    }
    made = []
    for key in dict.fromkeys([*known, *evaluation]):
        record = evaluation.get(key)
        if key == "target" or not record or (key == "folds" and len(record) < 2):
            continue
        title, parts_of = known.get(key, (words_of(key).capitalize(), record_parts))
        described = isinstance(record, Mapping) or key == "folds"
        made.append((title, parts_of(record) if described else record_parts(record)))
    return made


def _folds(folds: Sequence[Record], words: Words, error: str) -> list[Part]:
    """A walk-forward fold by fold: fold, train, val and test ([first, last] bar), refit, epochs, seconds, metrics, and
    ratios of the error that is named."""

    def span(ends: object) -> str:
        return " to ".join(map(str, ends)) if isinstance(ends, list | tuple) and ends else "-"

    def column(name: str) -> list[float | None]:
        return [number((fold.get("metrics") or {}).get(name)) for fold in folds]

    columns: Columns = {
        "fold": ("fold", lambda value: "" if value is None else str(value)),
        "trained on": ("train", span),
        "tested on": ("test", span),
        "RMSE": ("test_rmse", plain),
        "naive RMSE": ("test_naive_rmse", plain),
        "ratio": ("ratio", ratio_text),
        "direction %": ("test_direction", percent_text),
        "epochs": ("epochs", plain),
        "seconds": ("seconds", plain),
        "fitted": ("refit", lambda refit: "anew" if refit else "no"),
    }
    ratios = Plot(
        title=f"{error} ratio to {words.naive} by fold",
        names=[f"{fold.get('fold', '')}: {span(fold.get('test'))[:7]}" for fold in folds],
        y_label="ratio, below 1 is better",
        series=[
            line("val", "other", [fold_ratio(fold, "val") for fold in folds]),
            line("test", "model", [fold_ratio(fold, "test") for fold in folds]),
        ],
        levels=[(1.0, words.naive, "naive")],
    )
    errors = Plot(
        title="RMSE on test by fold",
        names=ratios.names,
        y_label=words.unit,
        y_zero=True,
        series=[
            line(words.naive, "naive", column("test_naive_rmse")),
            line("model", "model", column("test_rmse")),
        ],
    )
    return [
        table_of(
            ({**fold, **(fold.get("metrics") or {}), "ratio": fold_ratio(fold, "test")} for fold in folds),
            columns,
            sortable=True,
        ),
        ratios,
        errors,
    ]


def _baselines(record: Record, metrics: Metrics, words: Words) -> list[Part]:
    """The model beside its baselines: a table a split, best first, and the ratios as a plot.

    Args:
        record: best, selected_on, figures (name -> split -> rmse, mae, theil_u, direction ...), failed (name -> why).
        metrics: of the run, for the rows of the model and of naive.
        words: how to name what was forecast.
    """
    figures = {name: by for name, by in (record.get("figures") or {}).items() if name != "naive"}
    parts: list[Part] = []
    if record.get("best") is not None:
        by = record.get("selected_on")
        chosen = f", chosen by {by} before the first test {words.bar}" if by else ""
        parts.append(Text(f"Best baseline: {record['best']}{chosen}."))
    columns: Columns = {
        "": ("name", str),
        "RMSE": ("rmse", plain),
        "MAE": ("mae", plain),
        "ratio": ("theil_u", ratio_text),
        "direction %": ("direction", percent_text),
    }
    for split in reversed(SPLITS):
        own = {name: metrics.get(f"{split}_{name}") for name in ("rmse", "mae", "theil_u", "direction")}
        naive = {name: metrics.get(f"{split}_naive_{name}") for name in ("rmse", "mae")} | {"theil_u": 1.0}
        rows: list[dict[str, Any]] = [{"name": "model", **own}, {"name": "naive", **naive}]
        rows += [{"name": name, **(by.get(split) or {})} for name, by in figures.items()]
        ranked = sorted(
            (row for row in rows if row.get("rmse") is not None), key=lambda row: float(row["rmse"])
        )
        if ranked:
            parts += [Text(f"On {split}", "h3"), table_of(ranked, columns, sortable=True, best=0)]
    parts += _baseline_ratios(figures, metrics, words)
    failed = record.get("failed") or {}
    if failed:
        reasons = tree({str(key): str(why) for key, why in failed.items()})
        parts += [Text("Left out, with the reason", "h3"), reasons]
    return [*parts, *record_parts(record, besides=("figures", "best", "selected_on", "failed"))]


def _baseline_ratios(
    figures: Mapping[str, Mapping[str, Record]], metrics: Metrics, words: Words
) -> list[Plot]:
    if not figures:
        return []
    own = {split: number(metrics.get(f"{split}_theil_u")) for split in SPLITS}
    ratios = {
        name: {split: number((by.get(split) or {}).get("theil_u")) for split in SPLITS}
        for name, by in figures.items()
    }
    far = [
        name for name, by in ratios.items() if min((r for r in by.values() if r is not None), default=0) > FAR
    ]
    if len(far) == len(ratios) or max(ratio or 0.0 for ratio in own.values()) >= FAR:
        far = []
    near = [name for name in ratios if name not in far]
    roles: dict[str, Role] = {"val": "other", "test": "model"}
    plot = Plot(
        title=f"RMSE ratio to {words.naive}",
        names=["model", *near],
        y_label="ratio, below 1 is better",
        series=[
            Series(
                name=split,
                kind="dots",
                role=role,
                values=[own[split], *(ratios[name][split] for name in near)],
            )
            for split, role in roles.items()
        ],
        levels=[(1.0, words.naive, "naive")],
        note=f"Above {FAR:g}, and not drawn: {', '.join(far)}." if far else "",
    )
    return [plot]


def _significance(record: Record, words: Words) -> list[Part]:
    """Tests against naive and the best baseline; what they say in words stands below the verdict.

    Args:
        record: against (reference -> loss -> overall and steps), clark_west and direction (overall and steps),
            tickers (columns).
        words: how to name what was forecast.
    """
    parts: list[Part] = [Text(note) for note in sentences(record, besides=["lines"])]
    if record.get("rows_left_out"):
        parts.append(Text(f"{plain(record['rows_left_out'])} rows are left out: their last price is 0."))
    against: Mapping[str, Mapping[str, Record]] = record.get("against") or {}
    figures: Columns = {
        "DM statistic": ("stat", digits_text),
        "p": ("p", digits_text),
        "p, one-sided": ("p_better", digits_text),
    }
    tests = [
        {"against": reference, "loss": _LOSSES.get(loss, loss), **(test.get("overall") or {})}
        for reference, losses in against.items()
        for loss, test in losses.items()
    ]
    if tests:
        heads: Columns = {"against": ("against", str), "loss": ("loss", str)}
        last: Columns = {f"{words.bar}s": ("origins", plain), WHY: ("why", reason_text)}
        title = "Diebold-Mariano: does the model err less?"
        parts += [Text(title, "h3"), table_of(tests, {**heads, **figures, **last}, labels=2)]
    main = (record.get("losses") or ["squared"])[0]
    steps: Sequence[Record] = ((against.get("naive") or {}).get(main) or {}).get("steps") or []
    if len(steps) > 1:
        columns: Columns = {f"{words.bar}s ahead": ("step", digits_text), **figures}
        title = f"Against naive by step, {_LOSSES.get(main, main)}"
        parts += [Text(title, "h3"), table_of(steps, columns, sortable=True)]
    parts += confidence_set(record.get("confidence_set") or {})
    parts += _nested(record.get("clark_west") or {}, words)
    parts += _direction(record.get("direction") or {})
    tickers: Mapping[str, Sequence[Any]] = record.get("tickers") or {}
    if len(tickers.get("ticker") or ()) > 1:
        confidence = 1 - (number(record.get("alpha")) or 0.05)
        parts += _ticker_tests(tickers, confidence=confidence, words=words)
    shown = (
        "against",
        "clark_west",
        "direction",
        "tickers",
        "holm",
        "best_baseline",
        "best_why",
        "confidence_set",
    )
    return [*parts, *rest(record, *shown, "alpha", "split", "units", "rows", "rows_left_out", "losses")]


def _pooled_and_by_step(record: Record) -> list[dict[str, Any]]:
    """The test of all steps and, of several, that of each, with a label."""
    steps = record.get("steps") or []
    entries = [{"label": "all steps", **record["overall"]}] if record.get("overall") else []
    return entries + [{"label": f"{step.get('step')} ahead", **step} for step in steps if len(steps) > 1]


def _nested(record: Record, words: Words) -> list[Part]:
    entries = _pooled_and_by_step(record)
    columns: Columns = {
        "": ("label", str),
        "CW statistic": ("stat", digits_text),
        "p, one-sided": ("p_better", digits_text),
        f"{words.bar}s": ("origins", plain),
        WHY: ("why", reason_text),
    }
    title = "Clark-West: has the model skill beyond naive, which is nested in it?"
    return [Text(title, "h3"), table_of(entries, columns)] if entries else []


def _direction(record: Record) -> list[Part]:
    entries = [{**one, "why": one.get("pt_why") or one.get("why")} for one in _pooled_and_by_step(record)]
    columns: Columns = {
        "": ("label", str),
        "right %": ("share", percent_text),
        "low %": ("low", percent_text),
        "high %": ("high", percent_text),
        "rows that moved": ("moved", plain),
        "PT statistic": ("pt_stat", digits_text),
        "p": ("pt_p", digits_text),
        WHY: ("why", reason_text),
    }
    title = "Direction: share of right signs with Wilson's interval, and Pesaran-Timmermann's test"
    return [Text(title, "h3"), table_of(entries, columns)] if entries else []


def _ticker_tests(columns: Mapping[str, Sequence[Any]], *, confidence: float, words: Words) -> list[Part]:
    heads: Columns = {
        "ticker": ("ticker", reason_text),
        f"{words.bar}s": ("origins", plain),
        "DM statistic": ("dm_stat", digits_text),
        "DM p": ("dm_p", digits_text),
        "DM p, Holm": ("dm_p_holm", digits_text),
        "direction %": ("direction", percent_text),
        "low %": ("direction_low", percent_text),
        "high %": ("direction_high", percent_text),
        "PT p": ("pt_p", digits_text),
        "PT p, Holm": ("pt_p_holm", digits_text),
        WHY: ("why", reason_text),
    }
    count = len(columns["ticker"])
    known = {key: column for key, column in columns.items() if column is not None and len(column) == count}
    names = [str(name) for name in known["ticker"]]
    plots: list[Plot] = []
    if "dm_stat" in known:
        title = "Diebold-Mariano statistic against naive by ticker, above 0 where the model errs less"
        plots += ticker_plot(title, names, known["dm_stat"], y_label="statistic", level=(0.0, "alike"))
    shares = [[scaled(v) for v in known.get(f"direction{end}", ())] for end in ("", "_low", "_high")]
    if all(shares):
        title = f"Share of right signs by ticker, with Wilson's {100 * confidence:g} % interval"
        ends = (shares[1], shares[2])
        plots += ticker_plot(
            title, names, shares[0], y_label="right, %", level=(50.0, "a coin"), whiskers=ends
        )
    # Those that stand out come first, so that a table cut short holds them.
    p = [number(value) for value in known.get("dm_p", [None] * count)]
    ranked = sorted(range(count), key=lambda place: (p[place] is None, p[place] or 0.0))
    ordered = {key: [column[place] for place in ranked] for key, column in known.items()}
    return by_ticker(ordered, heads, plots, title="By ticker; Holm: p corrected for the number of tickers")


def _field(record: Record, words: Words) -> list[Part]:
    """Out-of-sample R2 of returns and information coefficients: of all rows, by step, by ticker.

    Args:
        record: overall (figures, their standard errors, why), steps, tickers (columns).
        words: how to name what was forecast.
    """
    figures: Columns = {
        short: (key, partial(digits_text, digits=4, by=by)) for key, (_, short, by) in FIELD.items()
    }
    overall: Record = record.get("overall") or {}
    steps: Sequence[Record] = record.get("steps") or []
    tickers = record.get("tickers")
    names = [str(name) for name in tickers.get("ticker", ())] if is_columns(tickers) else []
    rows = [
        {
            "name": name,
            "value": digits_text(overall[key], 4, by),
            "se": digits_text(overall.get(f"{key}_se"), 4, by),
            "why": (overall.get("why") or {}).get(key),
        }
        for key, (name, _, by) in FIELD.items()
        # across one ticker nothing correlates
        if key in overall and (len(names) != 1 or key.startswith("r2"))
    ]
    parts: list[Part] = [Text(sentence) for sentence in sentences(record)]
    if rows:
        heads: Columns = {"": ("name", str), "value": ("value", str), "standard error": ("se", str)}
        parts.append(table_of(rows, {**heads, WHY: ("why", reason_text)}))
    if len(steps) > 1:
        known = {head: column for head, column in figures.items() if column[0] in steps[0]}
        columns: Columns = {f"{words.bar}s ahead": ("step", plain), **known}
        parts += [Text("By step", "h3"), table_of(steps, columns, sortable=True)]
    if is_columns(tickers) and len(names) > 1:
        values = [scaled(value) for value in tickers.get("r2_zero", [None] * len(names))]
        title = "R2 of returns by ticker, above 0 where the model errs less than no move"
        plots = ticker_plot(title, names, values, y_label="R2, %", level=(0.0, "no better"))
        r2 = {head: column for head, column in figures.items() if column[0].startswith("r2")}
        heads_of: Columns = {"ticker": ("ticker", reason_text), **r2, WHY: ("why", reason_text)}
        parts += by_ticker(tickers, heads_of, plots, title="By ticker")
    return [*parts, *rest(record, "overall", "steps", "tickers", "split", "units", "mean")]


def _trading_rule(record: Record) -> list[Part]:
    """The sign strategy beside buy and hold.

    Args:
        record: strategy and buy_and_hold (figures, why), label, terms.
    """
    label = str(record.get("label") or "")
    parts: list[Part] = [Text(f"{label[:1].upper()}{label[1:]}.", style="warning")] if label else []
    sides = {
        name: record[name] for name in ("strategy", "buy_and_hold") if isinstance(record.get(name), Mapping)
    }
    rows = []
    for name in dict.fromkeys(key for side in sides.values() for key in side if key != "why"):
        head, by = RULE.get(name, (words_of(name), 1))
        rows.append(
            [head, *("" if name not in side else digits_text(side[name], 4, by) for side in sides.values())]
        )
    if rows:
        parts.append(Table(["", *map(words_of, sides)], rows))
    terms = {name: record[key] for key, name in RULE_TERMS.items() if key in record}
    parts += [facts(terms)] if terms else []
    parts += record_parts({words_of(name): side["why"] for name, side in sides.items() if side.get("why")})
    return [
        *parts,
        *record_parts(record, besides=("strategy", "buy_and_hold", "label", "lines", "split", *RULE_TERMS)),
    ]
