"""Sections on what surrounds a forecast: its intervals, its risk, the reliability of its probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from forecast.evaluate.report.parts import Part, Text, digits_text, percent_text, plain, scaled, sentences
from forecast.evaluate.report.plot import Plot, Series, Words, ticker_plot
from forecast.evaluate.report.run_plots import interval_levels
from forecast.evaluate.report.tables import WHY, Columns, Record, by_ticker, line, reason_text, rest, table_of
from forecast.evaluate.summary import number, ratio_text


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
    parts += [*_coverage_tests(record.get("test") or {}, words), *_reliability(record, words)]
    if levels:
        parts += _widest_intervals(record, levels[0], columns, words)
    parts += _pit(record.get("pit") or [])
    shown = ("levels", "rows", "rows_without", "pooled", "steps", "tickers", "reliability", "method", "test")
    return [*parts, *rest(record, *shown, "pit")]


def _coverage_tests(tests: Mapping[str, Record], words: Words) -> list[Part]:
    """The coverage test of each level."""
    heads: Columns = {
        "": ("level", str),
        "held %": ("coverage", percent_text),
        "t": ("stat", digits_text),
        "p": ("p", digits_text),
        f"{words.bar}s": ("origins", plain),
        "holds": ("fails", _holds),
        WHY: ("why", reason_text),
    }
    rows = [{"level": f"{key} %", **test} for key, test in tests.items()]
    title = f"Is the coverage what was promised? The outcomes of a {words.bar} count as one"
    return [Text(title, "h3"), table_of(rows, heads)] if rows else []


def _reliability(record: Record, words: Words) -> list[Plot]:
    """Observed beside nominal coverage, of many levels."""
    points = [point for point in record.get("reliability") or [] if number(point.get("nominal")) is not None]
    promised, held, naive = (
        [scaled(point.get(key)) for point in points] for key in ("nominal", "empirical", "naive_empirical")
    )
    plot = Plot(
        title="Reliability of the intervals on test",
        x=promised,
        x_label="promised, %",
        y_label="held, %",
        series=[line(f"around {words.naive}", "other", naive), line("around the forecast", "model", held)],
        diagonal="as promised",
        note="On the dashed line an interval holds as many outcomes as it promises; above it is too wide.",
    )
    return [plot] if points else []


def _widest_intervals(record: Record, level: str, columns: Columns, words: Words) -> list[Part]:
    """Coverage of one level by step and by ticker, where there are several."""
    parts: list[Part] = []
    promised = (float(level), "promised")
    title = f"Coverage of the {level} % intervals by"
    held = [scaled(step.get("coverage")) for step in (record.get("steps") or {}).get(level) or []]
    if len(held) > 1:
        by_step = Plot(
            title=f"{title} step",
            x=[float(step + 1) for step in range(len(held))],
            x_label=f"{words.bar}s ahead",
            whole=True,
            y_label="held, %",
            series=[line("held", "model", held)],
            levels=[(*promised, "naive")],
        )
        parts.append(by_step)
    tickers: Mapping[str, Mapping[str, Record]] = record.get("tickers") or {}
    if len(tickers) > 1:
        entries = [by.get(level) or {} for by in tickers.values()]
        values = {key: [entry.get(key) for entry in entries] for key, _ in columns.values()}
        coverage = [scaled(value) for value in values["coverage"]]
        plots = ticker_plot(f"{title} ticker", list(tickers), coverage, y_label="held, %", level=promised)
        named: Columns = {"ticker": ("ticker", str), **columns}
        parts += by_ticker({"ticker": list(tickers), **values}, named, plots, title="By ticker")
    return parts


def _holds(fails: object) -> str:
    return {"low": "no: too few inside", "high": "no: too many inside"}.get(str(fails), "yes")


def _pit(counts: Sequence[int]) -> list[Part]:
    """Where outcomes fell in the distribution that intervals of all levels make: even where it is calibrated."""
    total = sum(counts)
    if not total:
        return []
    width = 100 / len(counts)
    bars = Series(
        name="outcomes", kind="bars", role="model", values=[100 * count / total for count in counts]
    )
    return [
        Plot(
            title="Where outcomes fell in the forecast distribution (PIT)",
            x=[(number + 0.5) * width for number in range(len(counts))],
            x_label="quantile of the forecast distribution, %",
            y_label="% of outcomes",
            y_zero=True,
            series=[bars],
            levels=[(width, "even", "naive")],
            note="Even where the distribution is calibrated; a hump in the middle: too wide; high ends: too narrow.",
        )
    ]


def risk(record: Record, words: Words) -> list[Part]:
    """Value at risk and expected shortfall: a row a level, then each ticker.

    Args:
        record: levels (key -> figures, tickers), method, window, warnings.
        words: how to name what was forecast.
    """
    heads: Columns = {
        "level": ("level", str),
        "violations %": ("violations", partial(digits_text, by=100)),
        "Kupiec p": ("kupiec_p", digits_text),
        "independence p": ("independence_p", digits_text),
        "Christoffersen p": ("conditional_p", digits_text),
        "pinball / simulation's": ("pinball_ratio", ratio_text),
        "simulation's violations %": ("simulated_violations", partial(digits_text, by=100)),
        "returns beyond / shortfall": ("es_ratio", ratio_text),
    }
    levels: Mapping[str, Record] = record.get("levels") or {}
    parts: list[Part] = [Text(text, style="warning") for text in record.get("warnings") or []]
    parts.append(
        Text(
            f"{str(record.get('method')).capitalize()} over {plain(record.get('window'))} standardised residuals, "
            f"beside plain historical simulation over {plain(record.get('simulated'))} {words.bar}s. Of several "
            "tickers, p is the smallest after Holm's correction.",
            style="note",
        )
    )
    parts.append(table_of([{"level": f"{key} %", **entry} for key, entry in levels.items()], heads))
    for key, entry in levels.items():
        tickers = entry.get("tickers") or {}
        names = list(tickers.get("ticker") or ())
        if len(names) > 1:
            shares = [scaled(value) for value in tickers["violations"]]
            title = f"{key} % value at risk by ticker"
            plots = ticker_plot(
                title, names, shares, y_label="fallen below, %", level=(float(key), "asked for")
            )
            named: Columns = {"ticker": ("ticker", str), "rows": ("rows", plain)}
            named = {**named, **{head: column for head, column in heads.items() if head != "level"}}
            parts += by_ticker(tickers, named, plots, title=title)
    return [*parts, *rest(record, "levels", "method", "window", "simulated", "rows", "split", "warnings")]


def calibration(record: Record) -> list[Part]:
    """Probabilities in bins: forecast beside observed frequency.

    Args:
        record: bins (forecast, observed, rows), reliability, resolution, uncertainty.
    """
    bins: Sequence[Record] = record.get("bins") or []
    heads: Columns = {
        "forecast %": ("forecast", percent_text),
        "observed %": ("observed", percent_text),
        "rows": ("rows", plain),
    }
    plot = Plot(
        title="Reliability of the probabilities on test",
        x=[scaled(one.get("forecast")) for one in bins],
        x_label="forecast, %",
        y_label="observed, %",
        series=[line("observed", "model", [scaled(one.get("observed")) for one in bins])],
        diagonal="as forecast",
        note="On the dashed line what is called likely comes as often as it was said to.",
    )
    parts: list[Part] = [plot, table_of(bins, heads)] if bins else []
    return [*parts, *rest(record, "bins", "split")]


def confidence_set(record: Record) -> list[Part]:
    """The model confidence set: every forecaster with its loss and its p-value.

    Args:
        record: forecasters (columns), size, origins, why.
    """
    columns: Mapping[str, Sequence[object]] = record.get("forecasters") or {}
    if not columns:
        return []
    names = list(columns)
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    heads: Columns = {
        "forecaster": ("forecaster", str),
        "loss": ("loss", partial(digits_text, digits=4)),
        "p": ("p", digits_text),
        "in the set": ("in_set", plain),
    }
    title = "Model confidence set: which of all forecasts may be the best?"
    return [Text(title, "h3"), table_of(rows, heads)]
