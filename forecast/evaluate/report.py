"""The report of a run: one HTML file that needs nothing else, the verdict first."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from forecast.evaluate.markup import element, grid, plain, text, tree
from forecast.files import write_whole

if TYPE_CHECKING:
    from forecast.evaluate.verdict import Verdict

CAPTIONS = {
    "learning_curves": "Learning curves: loss on train and val, and RMSE on val beside tomorrow = today",
    "forecast_test": "Forecast against actual on test: the whole split, and its last months",
    "errors": "Errors on test: their sizes, when they came, and the squared error saved by the model",
    "moves": "Forecast moves against the returns that came: day by day, and the means of equal groups",
}

# A page that may fetch nothing: not by a slip of ours, and not by a text that got past the escaping.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem; font: 16px/1.5 system-ui, sans-serif; color: #1b1f24;
  background: #fff; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; border-bottom: 1px solid #e5e7eb; padding-bottom: .25rem; }
p { margin: .5rem 0; } .subject, .legend, figcaption, .more { color: #6b7280; font-size: .9rem; }
.warning { border-left: 4px solid #d55e00; background: #fff4ec; padding: .5rem .75rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #e5e7eb; }
th { font-weight: 600; } th[scope=row] { text-align: left; }
.plain th, .plain td { text-align: left; }
figure { margin: 1rem 0; } img { display: block; max-width: 100%; height: auto; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .15rem 1rem;
  margin: .25rem 0; }
dt { color: #6b7280; } dd { margin: 0; min-width: 0; } ul { margin: 0; padding-left: 1.2rem; }
pre { overflow-x: auto; background: #f6f7f9; padding: .75rem; font: 13px/1.45 ui-monospace, monospace;
  overflow-wrap: normal; }
summary { cursor: pointer; }
@media (max-width: 40rem) { body { padding: .75rem; } h1 { font-size: 1.25rem; } dl { display: block; }
  dd { margin: 0 0 .4rem; } }
"""


def write(
    directory: Path,
    *,
    verdict: Verdict,
    metrics: Mapping[str, float | None],
    plots: Sequence[Path],
    health: Mapping[str, object],
    config_text: str,
    reproduce: str,
) -> Path:
    """Write report.html into the run directory and give its path.

    Args:
        directory: of the run.
        verdict: on the run.
        metrics: all of them, flat.
        plots: PNG files, put inside the page.
        health: what is known about the data; whatever JSON can hold.
        config_text: the resolved config, as YAML.
        reproduce: the command that runs it again.
    """
    sentence = verdict.sentence[:1].upper() + verdict.sentence[1:]
    figures = [["figure", "value"], *([name, plain(value)] for name, value in sorted(metrics.items()))]
    parts = [
        text("p", verdict.subject, class_="subject"),
        text("h1", sentence),
        *(text("p", f"Warning: {warning}", class_="warning") for warning in verdict.warnings),
        grid(verdict.cells, labels=2),
        element("p", "<br>".join(text("span", line) for line in verdict.legend), class_="legend"),
        text("h2", "Plots"),
        *(_figure(path) for path in plots),
        text("h2", "Data"),
        element("div", tree(health), class_="plain"),
        text("h2", "Reproduce"),
        text("pre", reproduce),
        text("h2", "All figures and the config"),
        _folded("All figures", grid(figures, labels=1)),
        _folded("Config", text("pre", config_text)),
    ]
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"{text('title', verdict.subject)}\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )
    # A path may hold bytes that are no text: they become character references.
    return write_whole(Path(directory) / "report.html", page.encode("utf-8", errors="xmlcharrefreplace"))


def _figure(path: Path) -> str:
    caption = CAPTIONS.get(path.stem, path.stem)
    source = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
    image = element("img", "", src=source, alt=caption).removesuffix("</img>")
    return element("figure", image + text("figcaption", caption))


def _folded(title: str, content: str) -> str:
    return element("details", text("summary", title) + content)
