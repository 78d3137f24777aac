"""The report of a run: one HTML file that needs nothing else, the verdict first."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.evaluate.markup import element, grid, plain, text, tree
from forecast.evaluate.page import document
from forecast.evaluate.page.baseline_parts import baseline_parts
from forecast.evaluate.page.field_parts import field_parts, rule_parts
from forecast.evaluate.page.fold_parts import fold_parts
from forecast.evaluate.page.interval_parts import interval_levels, interval_parts
from forecast.evaluate.page.learning_plots import Epoch, learning_plots
from forecast.evaluate.page.records import record_html, word
from forecast.evaluate.page.significance_parts import significance_parts
from forecast.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

    from forecast.evaluate.verdict import Verdict

CAPTIONS = {
    "learning_curves": "Learning curves: loss on train and val, and RMSE on val beside tomorrow = today",
    "forecast_test": "Forecast against actual on test: the whole split, and its last months",
    "errors": "Errors on test: their sizes, when they came, and the squared error saved by the model",
    "moves": "Forecast moves against the returns that came: day by day, and the means of equal groups",
}
TITLES = {  # of the records that a reader expects, in this order; others follow under their own names
    "folds": "Folds",
    "baselines": "Baselines",
    "significance": "Significance",
    "intervals": "Intervals",
    "field": "Figures of the field",
    "economics": "A trading rule, for illustration only",
}
_PARTS = {
    "significance": significance_parts,
    "intervals": interval_parts,
    "field": field_parts,
    "economics": rule_parts,
}
# Shown instead of the interactive plots where scripts do not run.
_NO_SCRIPT = (
    "<noscript><p>The plots here are drawn by a script; pictures of them are in plots/.</p></noscript>"
)

Section = tuple[str, list[str]]  # title, HTML


def write(
    directory: Path,
    *,
    verdict: Verdict,
    metrics: Mapping[str, float | None],
    plots: Sequence[Path],
    health: Mapping[str, object],
    config_text: str,
    reproduce: str,
    evaluation: Mapping[str, Any] | None = None,
    forecasts: pd.DataFrame | None = None,
    history: Sequence[Epoch] = (),
) -> Path:
    """Write report.html into the run directory and give its path.

    Args:
        directory: of the run.
        verdict: on the run.
        metrics: all of them, flat.
        plots: PNG files, put inside the page unless there are forecasts to draw.
        health: what is known about the data; whatever JSON can hold.
        config_text: the resolved config, as YAML.
        reproduce: the command that runs it again.
        evaluation: the content of evaluation.json; each record has a section, more than one fold as well.
        forecasts: one ticker's rows of forecasts.parquet, for interactive plots.
        history: one mapping an epoch: epoch, train_loss, val_loss, val_rmse.
    """
    records = dict(evaluation or {})
    figures = [["figure", "value"], *([name, plain(value)] for name, value in sorted(metrics.items()))]
    drawn = _plots(plots, forecasts, history, metrics, interval_levels(records.get("intervals")))
    sections: list[Section] = [
        *_records(records, metrics),
        ("Plots", drawn),
        ("Data", [element("div", tree(health), class_="plain")]),
        ("Reproduce", [text("pre", reproduce)]),
        (
            "All figures and the config",
            [_folded("All figures", grid(figures, labels=1)), _folded("Config", text("pre", config_text))],
        ),
    ]
    links = [text("a", title, href=f"#{_anchor(title)}") for title, _ in sections]
    parts = [
        text("p", verdict.subject, class_="subject"),
        _headline(verdict.sentence),
        *(text("p", f"Warning: {warning}", class_="warning") for warning in verdict.warnings),
        *_findings(verdict.findings),
        grid(verdict.cells, labels=2),
        element("p", "<br>".join(text("span", line) for line in verdict.legend), class_="legend"),
        element(
            "nav", element("ul", "".join(element("li", link) for link in links)), **{"aria-label": "sections"}
        ),
    ]
    for title, content in sections:
        parts += [text("h2", title, id=_anchor(title)), *content]
    live = any(marker in part for part in parts for marker in ('class="chart"', 'class="sortable"'))
    scripts = [*document.CHART, *document.TABLE] if live else []
    page = document.document(verdict.subject, parts, scripts=scripts)
    return write_whole(Path(directory) / "report.html", page)


def _headline(sentence: str) -> str:
    tone = {"beats": "good", "does not beat": "bad"}
    chosen = next((name for start, name in tone.items() if sentence.startswith(start)), "open")
    return text("h1", sentence[:1].upper() + sentence[1:], class_=chosen)


def _findings(findings: Sequence[str]) -> list[str]:
    items = "".join(text("li", finding) for finding in findings)
    return [element("ul", items, class_="findings")] if items else []


def _records(records: Mapping[str, Any], metrics: Mapping[str, float | None]) -> list[Section]:
    sections: list[Section] = []
    for key in dict.fromkeys([*TITLES, *records]):
        record = records.get(key)
        if not record or (key == "folds" and len(record) < 2):
            continue
        if key == "folds":
            content = fold_parts(record)
        elif key == "baselines":
            content = baseline_parts(record, metrics)
        elif key in _PARTS and isinstance(record, Mapping):
            content = _PARTS[key](record)
        else:
            content = record_html(record)
        sections.append((TITLES.get(key, word(key).capitalize()), content))
    return sections


def _plots(
    pictures: Sequence[Path],
    forecasts: pd.DataFrame | None,
    history: Sequence[Epoch],
    metrics: Mapping[str, float | None],
    levels: list[float],
) -> list[str]:
    if forecasts is None:
        return [_picture(path) for path in pictures]
    from forecast.evaluate.page.forecast_plots import forecast_plots

    drawn = [*forecast_plots(forecasts, levels=levels), *learning_plots(history, metrics)]
    if not drawn:
        return [text("p", "no test rows and no epochs to draw")]
    return [_NO_SCRIPT, *(plot.html() for plot in drawn)]


def _picture(path: Path) -> str:
    caption = CAPTIONS.get(path.stem, path.stem)
    source = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
    image = element("img", "", src=source, alt=caption).removesuffix("</img>")
    return element("figure", image + text("figcaption", caption))


def _folded(title: str, content: str) -> str:
    return element("details", text("summary", title) + content)


def _anchor(title: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in title.lower())
