"""Pages that hold all they need and may fetch nothing: report.html of a run, and what every page shares."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.evaluate.report.parts import Group, Part, Table, Text, facts, plain
from forecast.evaluate.report.plot import Words
from forecast.evaluate.report.run_plots import Epoch, forecast_plots, interval_levels, learning_plots
from forecast.evaluate.report.sections import sections
from forecast.files import write_whole

if TYPE_CHECKING:
    import pandas as pd
    from jinja2 import Environment

    from forecast.evaluate.verdict import Verdict

ASSETS = Path(__file__).parent / "assets"
STYLE = ASSETS / "page.css"
CHART = (ASSETS / "draw.js", ASSETS / "chart.js")
PARALLEL = ASSETS / "parallel.js"
START = ASSETS / "page.js"
TONES = {"beats": "good", "does not beat": "bad"}  # how a verdict begins: its colour


def write(
    directory: Path,
    *,
    verdict: Verdict,
    metrics: Mapping[str, float | None],
    health: Mapping[str, Any],
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
        health: what is known about the data; whatever JSON can hold.
        config_text: the resolved config, as YAML.
        reproduce: the command that runs it again.
        evaluation: the content of evaluation.json; each record has a section, more than one fold as well.
        forecasts: one ticker's rows of forecasts.parquet, for the plots.
        history: one mapping an epoch: epoch, train_loss, val_loss, val_rmse.
    """
    records = evaluation or {}
    words = Words.of(health)
    plots: list[Part] = []
    if forecasts is not None:
        plots += forecast_plots(forecasts, levels=interval_levels(records.get("intervals")), words=words)
    plots += learning_plots(history, metrics, words=words)
    figures = Table(["figure", "value"], [[name, plain(value)] for name, value in sorted(metrics.items())])
    shown: list[tuple[str, list[Part]]] = [
        *sections(records, metrics, words),
        ("Plots", plots or [Text("no test rows and no epochs to draw")]),
        ("Data", [facts(health)]),
        ("Reproduce", [Text(reproduce, "pre")]),
        (
            "All figures and the config",
            [Group([figures], "All figures"), Group([Text(config_text, "pre")], "Config")],
        ),
    ]
    sentence = verdict.sentence
    header, *rows = verdict.cells
    page = render(
        "report.html.j2",
        title=verdict.subject,
        scripts=[*CHART, START],
        headline=sentence[:1].upper() + sentence[1:],
        tone=next((tone for start, tone in TONES.items() if sentence.startswith(start)), "open"),
        verdict=verdict,
        table=Table(header, rows, labels=2),
        sections=[
            ("".join(letter if letter.isalnum() else "-" for letter in title.lower()), title, parts)
            for title, parts in shown
        ],
    )
    return write_whole(Path(directory) / "report.html", page)


def notebook_html(page: Path | str) -> str:
    """A page inside another, such as a notebook, whose style and scripts stay apart.

    Args:
        page: the directory of a run, a file, or the HTML itself.
    """
    if isinstance(page, Path):
        page = (page / "report.html" if page.is_dir() else page).read_text(encoding="utf-8")
    return environment().get_template("notebook.html.j2").render(page=page)


def render(template: str, *, title: str, scripts: Sequence[Path], **content: object) -> bytes:
    """A page of a template, as UTF-8.

    Its policy lets run and dress it only the one script and the one style whose digests it names: a text that
    got past the escaping could neither run nor fetch anything.

    Args:
        template: its name.
        title: plain text.
        scripts: files in the order they need; () = a page without scripts.
        content: what else the template is given.
    """
    style, script = text_of(STYLE), bundled(scripts) if scripts else ""
    policy = (
        f"default-src 'none'; img-src data:; style-src {digest(style)}; base-uri 'none'; form-action 'none'"
    )
    if scripts:
        policy += f"; script-src {digest(script)}"
    head = {"title": title, "style": style, "script": script, "policy": policy}
    page = environment().get_template(template).render(**head, **content)
    # A path may hold bytes that are no text: they become character references.
    return page.encode("utf-8", errors="xmlcharrefreplace")


@cache
def environment(*folders: Path) -> Environment:
    """The templates, in which every text is escaped; parts.html.j2 writes what `parts` describes.

    Args:
        folders: with templates besides those of this package.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent / "templates"]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return made


def digest(content: str) -> str:
    """How a policy names one script or style that it allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def bundled(files: Iterable[Path]) -> str:
    """One script made of several, whose names are known to each other and to nothing else on the page.

    Args:
        files: in the order they need.
    """
    lines = (line.strip() for file in files for line in text_of(file).splitlines())
    kept = "\n".join(line for line in lines if line and not line.startswith("//"))
    return f'"use strict";\n(() => {{\n{kept}\n}})();'


@cache
def text_of(file: Path) -> str:
    """The text of a file of the package, read once."""
    return file.read_text(encoding="utf-8")
