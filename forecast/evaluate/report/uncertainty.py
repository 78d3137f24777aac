"""Sections on what surrounds a forecast: its intervals, its risk, the reliability of its probabilities."""

from __future__ import annotations

from collections.abc import Mapping

from forecast.evaluate.report.parts import Part, Text, percent_text, plain, scaled, sentences
from forecast.evaluate.report.plot import Plot, Words, ticker_plot
from forecast.evaluate.report.run_plots import interval_levels
from forecast.evaluate.report.tables import Columns, Record, by_ticker, line, rest, table_of
from forecast.evaluate.summary import number


def intervals(record: Record, words: Words) -> list[Part]:
    """Whether the intervals held what they promise: by level, reliability, by step and by ticker.

    Args:
        record: levels, method, pooled (level -> figures), reliability (points), steps (level -> figures of each),
            tickers (name -> level -> figures).
        words: how to name what was forecast.
    """
    levels = [f"{100 * level:g}" for level in interval_levels(record)]
    columns: Columns = {
        "rows": ("rows", plain),
        "coverage %": ("coverage", percent_text),
        f"width % of {words.target}": ("width_percent", plain),
        "Winkler score": ("winkler", plain),
        "naive coverage %": ("naive_coverage", percent_text),
        "naive Winkler score": ("naive_winkler", plain),
    }
    parts: list[Part] = [Text(line) for line in sentences(record)]
    if record.get("method"):
        same = "The naive intervals are made in the same way."
        parts.append(Text(f"Method: {record['method']}. {same}", style="note"))
    pooled: Mapping[str, Record] = record.get("pooled") or {}
    if pooled:
        rows = [{"level": f"{key} %", **(pooled.get(key) or {})} for key in levels]
        parts.append(table_of(rows, {"": ("level", str), **columns}))
    points = [point for point in record.get("reliability") or [] if number(point.get("nominal")) is not None]
    promised, held, naive = (
        [scaled(point.get(key)) for point in points] for key in ("nominal", "empirical", "naive_empirical")
    )
    reliability = Plot(
        title="Reliability of the intervals on test",
        x=promised,
        x_label="promised, %",
        y_label="held, %",
        series=[line(f"around {words.naive}", "other", naive), line("around the forecast", "model", held)],
        diagonal="as promised",
        note="On the dashed line an interval holds as many outcomes as it promises; above it is too wide.",
    )
    parts += [reliability] if points else []
    if levels:
        level = (float(levels[0]), "promised")
        title = f"Coverage of the {levels[0]} % intervals by"
        held = [scaled(step.get("coverage")) for step in (record.get("steps") or {}).get(levels[0]) or []]
        by_step = Plot(
            title=f"{title} step",
            x=[float(step + 1) for step in range(len(held))],
            x_label=f"{words.bar}s ahead",
            whole=True,
            y_label="held, %",
            series=[line("held", "model", held)],
            levels=[(*level, "naive")],
        )
        parts += [by_step] if len(held) > 1 else []
        tickers: Mapping[str, Mapping[str, Record]] = record.get("tickers") or {}
        if len(tickers) > 1:
            entries = [by.get(levels[0]) or {} for by in tickers.values()]
            values = {key: [entry.get(key) for entry in entries] for key, _ in columns.values()}
            coverage = [scaled(value) for value in values["coverage"]]
            plots = ticker_plot(f"{title} ticker", list(tickers), coverage, y_label="held, %", level=level)
            heads: Columns = {"ticker": ("ticker", str), **columns}
            parts += by_ticker({"ticker": list(tickers), **values}, heads, plots, title="By ticker")
    shown = ("levels", "rows", "rows_without", "pooled", "steps", "tickers", "reliability", "method")
    return [*parts, *rest(record, *shown)]
