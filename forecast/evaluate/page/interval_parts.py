"""Whether the intervals held what they promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from forecast.evaluate.evidence import number
from forecast.evaluate.markup import grid, plain, text
from forecast.evaluate.page.plot import Plot, Series
from forecast.evaluate.page.records import ROWS, cut, percent, percent_text, record_html, sentences
from forecast.evaluate.page.ticker_plots import ticker_plot

SHOWN = (
    "levels",
    "rows",
    "rows_without",
    "pooled",
    "steps",
    "tickers",
    "reliability",
    "notes",
    "lines",
    "method",
)
HEADS = [
    "",
    "rows",
    "coverage %",
    "width % of price",
    "Winkler score",
    "naive coverage %",
    "naive Winkler score",
]


def interval_levels(record: object) -> list[float]:
    """Nominal coverage, that of `lower` and `upper` first."""
    levels = record.get("levels") if isinstance(record, Mapping) else None
    return [float(level) for level in levels] if isinstance(levels, list | tuple) else []


def interval_parts(record: Mapping[str, Any]) -> list[str]:
    """What is to be said, figures by level, reliability, by step and by ticker.

    Args:
        record: as IntervalTally.record gives it; parts may be missing.
    """
    levels = [f"{100 * level:g}" for level in interval_levels(record)]
    pooled: Mapping[str, Mapping[str, Any]] = record.get("pooled") or {}
    parts = [text("p", line) for line in sentences(record)]
    if record.get("method"):
        parts.append(
            text(
                "p",
                f"Method: {record['method']}. The naive intervals are made in the same way.",
                class_="note",
            )
        )
    if pooled:
        parts.append(grid([HEADS, *(_row(f"{key} %", pooled.get(key) or {}) for key in levels)], labels=1))
    plots = [_reliability(record.get("reliability") or []), *_by_step(record.get("steps") or {}, levels)]
    parts += [plot.html() for plot in plots if plot is not None]
    tickers: Mapping[str, Mapping[str, Any]] = record.get("tickers") or {}
    if len(tickers) > 1 and levels:
        parts += _tickers(tickers, levels[0])
    return [*parts, *record_html({key: value for key, value in record.items() if key not in SHOWN})]


def _row(label: str, entry: Mapping[str, Any]) -> list[str]:
    return [
        label,
        plain(entry.get("rows")),
        percent_text(entry.get("coverage")),
        plain(entry.get("width_percent")),
        plain(entry.get("winkler")),
        percent_text(entry.get("naive_coverage")),
        plain(entry.get("naive_winkler")),
    ]


def _reliability(points: Sequence[Mapping[str, Any]]) -> Plot | None:
    known = [point for point in points if number(point.get("nominal")) is not None]
    if not known:
        return None

    def share(name: str) -> list[float | None]:
        return [percent(point.get(name)) for point in known]

    return Plot(
        title="Reliability of the intervals on test",
        x=share("nominal"),
        x_label="promised, %",
        y_label="held, %",
        series=[
            Series(
                name="around tomorrow = today", kind="line", role="other", values=share("naive_empirical")
            ),
            Series(name="around the forecast", kind="line", role="model", values=share("empirical")),
        ],
        diagonal=True,
        note="On the dashed line an interval holds as many outcomes as it promises; above it is too wide.",
    )


def _by_step(steps: Mapping[str, Sequence[Mapping[str, Any]]], levels: Sequence[str]) -> list[Plot]:
    made = []
    for key in levels[:1]:
        entries = steps.get(key) or []
        if len(entries) < 2:
            continue
        held = [percent(entry.get("coverage")) for entry in entries]
        plot = Plot(
            title=f"Coverage of the {key} % intervals by step",
            x=[float(step) for step in range(1, len(entries) + 1)],
            x_label="days ahead",
            whole=True,
            y_label="held, %",
            series=[Series(name="held", kind="line", role="model", values=held)],
            levels=[(float(key), "promised", "naive")],
        )
        made.append(plot)
    return made


def _tickers(tickers: Mapping[str, Mapping[str, Any]], key: str) -> list[str]:
    entries = {name: levels.get(key) or {} for name, levels in tickers.items()}
    held = [percent(entry.get("coverage")) for entry in entries.values()]
    title = f"Coverage of the {key} % intervals by ticker"
    plot = ticker_plot(title, list(entries), held, y_label="held, %", level=(float(key), "promised"))
    rows = [_row(name, entry) for name, entry in list(entries.items())[:ROWS]]
    return [
        text("h3", "By ticker"),
        *([] if plot is None else [plot.html()]),
        grid([["ticker", *HEADS[1:]], *rows], labels=1, sortable=True),
        *cut(len(entries)),
    ]
