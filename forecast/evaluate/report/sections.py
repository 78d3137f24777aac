"""Each record of an evaluation as the parts of a section: tables and plots.

A record that nobody described here is shown as `record_parts` shows it; parts of those described may be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from forecast.evaluate.report.parts import (
    MAX_ROWS,
    Part,
    Table,
    Text,
    cut,
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
from forecast.evaluate.report.plot import Plot, Series, Words, number, ticker_plot
from forecast.evaluate.report.run_plots import interval_levels

Record = Mapping[str, Any]
Metrics = Mapping[str, float | None]

SPLITS = ("val", "test")
FAR = 1.2  # ratio of a baseline that would squeeze the others of a plot into one line
FOLDS_SHOWN = ("figures", "best", "selected_on", "failed")
TESTS_SHOWN = (
    *("against", "direction", "tickers", "holm", "lines", "best_baseline", "best_why"),
    *("alpha", "split", "units", "rows", "rows_left_out"),
)
INTERVALS_SHOWN = ("levels", "rows", "rows_without", "pooled", "steps", "tickers", "reliability", "method")
FIELD_SHOWN = ("overall", "steps", "tickers", "split", "units", "mean")
FIELD = {  # figure -> its name, its short name, what a value is multiplied by
    "r2_zero": ("R2 of returns, against no move, %", "R2 against no move, %", 100),
    "r2_mean": ("R2 of returns, against the mean move of the past, %", "R2 against the mean move, %", 100),
    "ic": ("IC: correlation across tickers, mean over dates", "IC", 1),
    "icir": ("ICIR: IC / its standard deviation over dates", "ICIR", 1),
    "rank_ic": ("RankIC: the same of ranks", "RankIC", 1),
    "rank_icir": ("RankICIR", "RankICIR", 1),
}
SHARES = ("total_return", "annual_return", "annual_volatility", "max_drawdown")  # shown in percent
RULE = {
    "sharpe": "Sharpe ratio",
    "sharpe_se": "its standard error",
    "turnover": "turnover a session",
    "break_even_bps": "cost at which it earns nothing, basis points",
}
RULE_TERMS = {
    "cost_bps": "cost of a trade, basis points",
    "sessions": "sessions",
    "sessions_per_year": "sessions a year",
}
RULE_SHOWN = ("strategy", "buy_and_hold", "label", "lines", "split", *RULE_TERMS)


def sections(evaluation: Record, metrics: Metrics, words: Words) -> list[tuple[str, list[Part]]]:
    """Title and parts of every section, those that a reader expects first.

    Args:
        evaluation: the content of evaluation.json.
        metrics: of the run, flat.
        words: how to name what was forecast.
    """
    known: dict[str, tuple[str, Callable[[Any], list[Part]]]] = {
        "folds": ("Folds", lambda record: fold_parts(record, words)),
        "baselines": ("Baselines", lambda record: baseline_parts(record, metrics, words)),
        "significance": ("Significance", lambda record: significance_parts(record, words)),
        "intervals": ("Intervals", lambda record: interval_parts(record, words)),
        "field": ("Figures of the field", lambda record: field_parts(record, words)),
        "economics": ("A trading rule, for illustration only", trading_rule_parts),
    }
    made = []
    for key in dict.fromkeys([*known, *evaluation]):
        record = evaluation.get(key)
        if not record or (key == "folds" and len(record) < 2):
            continue
        title, parts_of = known.get(key, (words_of(key).capitalize(), record_parts))
        described = isinstance(record, Mapping) or key == "folds"
        made.append((title, parts_of(record) if described else record_parts(record)))
    return made


def ratio_text(ratio: float | None) -> str:
    """Three decimals, and as many more as it takes to see on which side of 1 the ratio lies."""
    if ratio is None:
        return "-"
    decimals = 3
    while ratio != 1 and decimals < 6 and float(f"{ratio:.{decimals}f}") == 1:
        decimals += 1
    return f"{ratio:.{decimals}f}"


def fold_parts(folds: Sequence[Record], words: Words) -> list[Part]:
    """A walk-forward fold by fold.

    Args:
        folds: each with fold, train, val and test ([first, last] bar), refit, epochs, seconds, metrics (flat).
        words: how to name what was forecast.
    """

    def column(name: str) -> list[float | None]:
        return [number((fold.get("metrics") or {}).get(name)) for fold in folds]

    def span(fold: Record, split: str) -> str:
        ends = fold.get(split)
        return " to ".join(map(str, ends)) if isinstance(ends, list | tuple) and ends else "-"

    test = {name: column(f"test_{name}") for name in ("rmse", "naive_rmse", "theil_u", "direction")}
    header = [
        *("fold", "trained on", "tested on", "RMSE", "naive RMSE", "ratio", "direction %"),
        *("epochs", "seconds", "fitted"),
    ]
    rows = [
        [
            *(str(fold.get("fold", "")), span(fold, "train"), span(fold, "test")),
            *(plain(test["rmse"][n]), plain(test["naive_rmse"][n]), ratio_text(test["theil_u"][n])),
            percent_text(test["direction"][n]),
            *(plain(fold.get("epochs")), plain(fold.get("seconds")), "anew" if fold.get("refit") else "no"),
        ]
        for n, fold in enumerate(folds)
    ]
    names = [f"{fold.get('fold', '')}: {span(fold, 'test')[:7]}" for fold in folds]
    ratios = Plot(
        title=f"RMSE ratio to {words.naive} by fold",
        names=names,
        y_label="ratio, below 1 is better",
        series=[
            Series(name="val", kind="line", role="other", values=column("val_theil_u")),
            Series(name="test", kind="line", role="model", values=test["theil_u"]),
        ],
        levels=[(1.0, words.naive, "naive")],
    )
    errors = Plot(
        title="RMSE on test by fold",
        names=names,
        y_label=words.unit,
        y_zero=True,
        series=[
            Series(name=words.naive, kind="line", role="naive", values=test["naive_rmse"]),
            Series(name="model", kind="line", role="model", values=test["rmse"]),
        ],
    )
    return [Table(header, rows, sortable=True), ratios, errors]


def baseline_parts(record: Record, metrics: Metrics, words: Words) -> list[Part]:
    """The model beside its baselines: a table a split, best ratio first, and the ratios as a plot.

    Args:
        record: best, selected_on, figures (name -> split -> rmse, mae, theil_u, direction ...), failed (name -> why).
        metrics: of the run, for the rows of the model and of naive.
        words: how to name what was forecast.
    """
    figures: Mapping[str, Mapping[str, Record]] = record.get("figures") or {}
    parts: list[Part] = []
    if record.get("best") is not None:
        by = record.get("selected_on")
        chosen = f", chosen by {by} before the first test {words.bar}" if by else ""
        parts.append(Text(f"Best baseline: {record['best']}{chosen}."))
    for split in reversed(SPLITS):
        rows = _baseline_rows(split, figures, metrics)
        if rows:
            header = ["", "RMSE", "MAE", "ratio", "direction %"]
            parts += [Text(f"On {split}", "h3"), Table(header, rows, sortable=True, best=0)]
    parts += _baseline_ratios(figures, metrics, words)
    failed = record.get("failed") or {}
    if failed:
        reasons = tree({str(key): str(why) for key, why in failed.items()})
        parts += [Text("Left out, with the reason", "h3"), reasons]
    return [*parts, *record_parts(record, besides=FOLDS_SHOWN)]


def _baseline_rows(
    split: str, figures: Mapping[str, Mapping[str, Record]], metrics: Metrics
) -> list[list[str]]:
    names = ("rmse", "mae", "theil_u", "direction")
    rows: dict[str, Record] = {
        "model": {name: metrics.get(f"{split}_{name}") for name in names},
        "naive": {name: metrics.get(f"{split}_naive_{name}") for name in names[:2]} | {"theil_u": 1.0},
    }
    rows |= {name: splits[split] for name, splits in figures.items() if name != "naive" and splits.get(split)}
    ranked = sorted(
        (item for item in rows.items() if item[1].get("rmse") is not None),
        key=lambda item: float(item[1]["rmse"]),
    )
    return [
        [
            *(name, plain(row.get("rmse")), plain(row.get("mae"))),
            *(ratio_text(row.get("theil_u")), percent_text(row.get("direction"))),
        ]
        for name, row in ranked
    ]


def _baseline_ratios(
    figures: Mapping[str, Mapping[str, Record]], metrics: Metrics, words: Words
) -> list[Plot]:
    ratios = {
        name: {split: number((splits.get(split) or {}).get("theil_u")) for split in SPLITS}
        for name, splits in figures.items()
        if name != "naive"
    }
    if not ratios:
        return []
    own = {split: number(metrics.get(f"{split}_theil_u")) for split in SPLITS}
    far = [
        name for name, by in ratios.items() if min((r for r in by.values() if r is not None), default=0) > FAR
    ]
    near = [name for name in ratios if name not in far]
    if not near or max(ratio or 0.0 for ratio in own.values()) >= FAR:
        near, far = list(ratios), []
    columns = {split: [own[split], *(ratios[name][split] for name in near)] for split in SPLITS}
    plot = Plot(
        title=f"RMSE ratio to {words.naive}",
        names=["model", *near],
        y_label="ratio, below 1 is better",
        series=[
            Series(name="val", kind="dots", role="other", values=columns["val"]),
            Series(name="test", kind="dots", role="model", values=columns["test"]),
        ],
        levels=[(1.0, words.naive, "naive")],
        note=f"Above {FAR:g}, and not drawn: {', '.join(far)}." if far else "",
    )
    return [plot]


def significance_parts(record: Record, words: Words) -> list[Part]:
    """Tests against naive and the best baseline, pooled, by step and by ticker.

    What they say in words stands below the verdict.

    Args:
        record: against (reference -> loss -> overall and steps), direction (overall and steps), tickers (columns).
        words: how to name what was forecast.
    """
    against: Mapping[str, Mapping[str, Record]] = record.get("against") or {}
    parts: list[Part] = [Text(note) for note in sentences(record, besides=["lines"])]
    if record.get("rows_left_out"):
        parts.append(Text(f"{plain(record['rows_left_out'])} rows are left out: their last price is 0."))
    rows = []
    for reference, losses in against.items():
        for loss, tests in losses.items():
            test: Record = tests.get("overall") or {}
            figures = [digits_text(test.get(name)) for name in ("stat", "p", "p_better")]
            why = str(test.get("why") or "")
            rows.append([reference, f"{loss} error", *figures, plain(test.get("origins")), why])
    if rows:
        header = [
            "against",
            "loss",
            "DM statistic",
            "p",
            "p, one-sided",
            f"{words.bar}s",
            "undefined because",
        ]
        table = Table(header, rows, labels=2).without_empty_reason()
        parts += [Text("Diebold-Mariano: does the model err less?", "h3"), table]
    steps: Sequence[Record] = ((against.get("naive") or {}).get("squared") or {}).get("steps") or []
    if len(steps) > 1:
        rows = [[digits_text(step.get(name)) for name in ("step", "stat", "p", "p_better")] for step in steps]
        header = [f"{words.bar}s ahead", "DM statistic", "p", "p, one-sided"]
        table = Table(header, rows, sortable=True)
        parts += [Text("Against naive by step, squared error", "h3"), table]
    parts += _direction(record.get("direction") or {})
    alpha = number(record.get("alpha")) or 0.05
    parts += _ticker_tests(record.get("tickers") or {}, confidence=1 - alpha, words=words)
    return [*parts, *_unsaid(record, TESTS_SHOWN)]


def _direction(record: Record) -> list[Part]:
    steps = record.get("steps") or []
    entries = [("all steps", record.get("overall") or {})]
    entries += [(f"{step.get('step')} ahead", step) for step in steps if len(steps) > 1]
    rows = [
        [
            label,
            *(percent_text(entry.get(name)) for name in ("share", "low", "high")),
            plain(entry.get("moved")),
            *(digits_text(entry.get(name)) for name in ("pt_stat", "pt_p")),
            str(entry.get("pt_why") or entry.get("why") or ""),
        ]
        for label, entry in entries
        if entry
    ]
    if not rows:
        return []
    header = ["", "right %", "low %", "high %", "rows that moved", "PT statistic", "p", "undefined because"]
    title = "Direction: share of right signs with Wilson's interval, and Pesaran-Timmermann's test"
    return [Text(title, "h3"), Table(header, rows).without_empty_reason()]


def _ticker_tests(columns: Mapping[str, Sequence[Any]], *, confidence: float, words: Words) -> list[Part]:
    names = [str(name) for name in columns.get("ticker") or []]
    if len(names) < 2:
        return []
    share, test = percent_text, digits_text
    shown: dict[str, tuple[str, Callable[[object], str]]] = {
        "ticker": ("ticker", _text),
        "origins": (f"{words.bar}s", plain),
        "dm_stat": ("DM statistic", test),
        "dm_p": ("DM p", test),
        "dm_p_holm": ("DM p, Holm", test),
        "direction": ("direction %", share),
        "direction_low": ("low %", share),
        "direction_high": ("high %", share),
        "pt_p": ("PT p", test),
        "pt_p_holm": ("PT p, Holm", test),
        "why": ("undefined because", _text),
    }
    known = {key: columns[key] for key in shown if len(columns.get(key) or []) == len(names)}
    # Those that stand out come first, so that a table cut short holds them.
    p = [number(value) for value in known.get("dm_p", [None] * len(names))]
    ranked = sorted(range(len(names)), key=lambda place: (p[place] is None, p[place] or 0.0))
    rows = [[shown[key][1](column[place]) for key, column in known.items()] for place in ranked[:MAX_ROWS]]
    table = Table([shown[key][0] for key in known], rows, sortable=True)
    plots = []
    if "dm_stat" in known:
        title = "Diebold-Mariano statistic against naive by ticker, above 0 where the model errs less"
        plots += ticker_plot(title, names, known["dm_stat"], y_label="statistic", level=(0.0, "alike"))
    if {"direction", "direction_low", "direction_high"} <= set(known):
        right, low, high = (
            [scaled(value) for value in known[key]]
            for key in ("direction", "direction_low", "direction_high")
        )
        title = f"Share of right signs by ticker, with Wilson's {100 * confidence:g} % interval"
        plots += ticker_plot(
            title, names, right, y_label="right, %", level=(50.0, "a coin"), whiskers=(low, high)
        )
    return [
        Text("By ticker; Holm: p corrected for the number of tickers", "h3"),
        *plots,
        table.without_empty_reason() if "why" in known else table,
        *cut(len(names)),
    ]


def interval_parts(record: Record, words: Words) -> list[Part]:
    """Whether the intervals held what they promise: figures by level, reliability, by step and by ticker.

    Args:
        record: levels, method, pooled (level -> figures), reliability (points), steps (level -> figures of each),
            tickers (name -> level -> figures).
        words: how to name what was forecast.
    """
    levels = [f"{100 * level:g}" for level in interval_levels(record)]
    parts: list[Part] = [Text(line) for line in sentences(record)]
    if record.get("method"):
        same = "The naive intervals are made in the same way."
        parts.append(Text(f"Method: {record['method']}. {same}", style="note"))
    header = [
        *("", "rows", "coverage %", f"width % of {words.target}", "Winkler score"),
        *("naive coverage %", "naive Winkler score"),
    ]
    pooled: Mapping[str, Record] = record.get("pooled") or {}
    if pooled:
        parts.append(Table(header, [_interval_row(f"{key} %", pooled.get(key) or {}) for key in levels]))
    points = [p for p in record.get("reliability") or [] if number(p.get("nominal")) is not None]
    if points:
        promised, held, naive = (
            [scaled(point.get(key)) for point in points]
            for key in ("nominal", "empirical", "naive_empirical")
        )
        plot = Plot(
            title="Reliability of the intervals on test",
            x=promised,
            x_label="promised, %",
            y_label="held, %",
            series=[
                Series(name=f"around {words.naive}", kind="line", role="other", values=naive),
                Series(name="around the forecast", kind="line", role="model", values=held),
            ],
            diagonal="as promised",
            note="On the dashed line an interval holds as many outcomes as it promises; above it is too wide.",
        )
        parts.append(plot)
    steps: Sequence[Record] = (record.get("steps") or {}).get(levels[0]) or [] if levels else []
    if len(steps) > 1:
        plot = Plot(
            title=f"Coverage of the {levels[0]} % intervals by step",
            x=[float(step) for step in range(1, len(steps) + 1)],
            x_label=f"{words.bar}s ahead",
            whole=True,
            y_label="held, %",
            series=[
                Series(
                    name="held", kind="line", role="model", values=[scaled(s.get("coverage")) for s in steps]
                )
            ],
            levels=[(float(levels[0]), "promised", "naive")],
        )
        parts.append(plot)
    tickers: Mapping[str, Mapping[str, Record]] = record.get("tickers") or {}
    if len(tickers) > 1 and levels:
        entries = {name: by.get(levels[0]) or {} for name, by in tickers.items()}
        coverage = [scaled(entry.get("coverage")) for entry in entries.values()]
        title, level = f"Coverage of the {levels[0]} % intervals by ticker", (float(levels[0]), "promised")
        rows = [_interval_row(name, entry) for name, entry in list(entries.items())[:MAX_ROWS]]
        parts += [
            Text("By ticker", "h3"),
            *ticker_plot(title, list(entries), coverage, y_label="held, %", level=level),
            Table(["ticker", *header[1:]], rows, sortable=True),
            *cut(len(entries)),
        ]
    return [*parts, *_unsaid(record, INTERVALS_SHOWN)]


def _interval_row(label: str, entry: Record) -> list[str]:
    return [
        *(label, plain(entry.get("rows")), percent_text(entry.get("coverage"))),
        *(plain(entry.get("width_percent")), plain(entry.get("winkler"))),
        *(percent_text(entry.get("naive_coverage")), plain(entry.get("naive_winkler"))),
    ]


def field_parts(record: Record, words: Words) -> list[Part]:
    """Out-of-sample R2 of returns and information coefficients: of all rows, by step, by ticker.

    Args:
        record: overall (figures, their standard errors, why), steps, tickers (columns).
        words: how to name what was forecast.
    """
    parts: list[Part] = [Text(sentence) for sentence in sentences(record)]
    overall: Record = record.get("overall") or {}
    why: Mapping[str, Any] = overall.get("why") or {}
    tickers = record.get("tickers")
    names = [str(name) for name in tickers.get("ticker", ())] if is_columns(tickers) else []
    rows = [
        [name, *(digits_text(overall.get(k), 4, by) for k in (key, f"{key}_se")), str(why.get(key) or "")]
        for key, (name, _, by) in FIELD.items()
        # across one ticker nothing correlates
        if key in overall and (len(names) != 1 or key.startswith("r2"))
    ]
    if rows:
        header = ["", "value", "standard error", "undefined because"]
        parts.append(Table(header, rows).without_empty_reason())
    steps: Sequence[Record] = record.get("steps") or []
    if len(steps) > 1:
        keys = [key for key in FIELD if key in steps[0]]
        rows = [
            [plain(step.get("step")), *(digits_text(step.get(key), 4, FIELD[key][2]) for key in keys)]
            for step in steps
        ]
        header = [f"{words.bar}s ahead", *(FIELD[key][1] for key in keys)]
        parts += [Text("By step", "h3"), Table(header, rows, sortable=True)]
    if is_columns(tickers) and len(names) > 1:
        values = [scaled(value) for value in tickers.get("r2_zero", [None] * len(names))]
        title = "R2 of returns by ticker, above 0 where the model errs less than no move"
        plot = ticker_plot(title, names, values, y_label="R2, %", level=(0.0, "no better"))
        parts += [Text("By ticker", "h3"), *plot, *_ticker_r2(tickers)]
    return [*parts, *_unsaid(record, FIELD_SHOWN)]


def _ticker_r2(columns: Mapping[str, Sequence[Any]]) -> list[Part]:
    heads = {"ticker": "ticker", "r2_zero": FIELD["r2_zero"][1], "r2_mean": FIELD["r2_mean"][1]}
    heads = {key: head for key, head in (heads | {"why": "undefined because"}).items() if key in columns}
    count = len(columns["ticker"])
    rows = [
        [
            _text(columns[key][n]) if key in ("ticker", "why") else digits_text(columns[key][n], 4, 100)
            for key in heads
        ]
        for n in range(min(count, MAX_ROWS))
    ]
    table = Table(list(heads.values()), rows, sortable=True)
    return [table.without_empty_reason() if "why" in heads else table, *cut(count)]


def trading_rule_parts(record: Record) -> list[Part]:
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
        head = f"{words_of(name)}, %" if name in SHARES else RULE.get(name, words_of(name))
        by = 100 if name in SHARES else 1
        cells = ["" if name not in side else digits_text(side[name], 4, by) for side in sides.values()]
        rows.append([head, *cells])
    if rows:
        parts.append(Table(["", *map(words_of, sides)], rows))
    terms = {name: record[key] for key, name in RULE_TERMS.items() if key in record}
    if terms:
        parts.append(facts(terms))
    parts += record_parts({words_of(name): side["why"] for name, side in sides.items() if side.get("why")})
    return [*parts, *record_parts(record, besides=RULE_SHOWN)]


def _unsaid(record: Record, shown: Sequence[str]) -> list[Part]:
    """What is left of a record whose sentences and the keys named have been shown."""
    return record_parts(record, besides=[*shown, "lines", "notes", "note", "warnings", "label"])


def _text(value: object) -> str:
    return str(value or "")
