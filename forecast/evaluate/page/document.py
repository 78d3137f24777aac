"""An HTML page that holds all it needs and may fetch nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from pathlib import Path

from forecast.evaluate.markup import element, text

CHART = ("scale.js", "dom.js", "chart.js", "reading.js")
PARALLEL = ("parallel.js",)
TABLE = ("sort.js",)


def document(title: str, parts: Sequence[str], *, scripts: Sequence[str]) -> bytes:
    """The page, as UTF-8.

    Its policy lets run and dress it only the one script and the one style whose digests it names: a text that
    got past the escaping could neither run nor fetch anything.

    Args:
        title: plain text.
        parts: HTML of the body, in order.
        scripts: files beside this one, in the order they need; none = a page without scripts.
    """
    here = Path(__file__).parent
    style, script = text_of(here / "page.css"), bundled(here / name for name in (*scripts, "start.js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src {digest(style)}; base-uri 'none'; form-action 'none'"
    )
    if scripts:
        policy += f"; script-src {digest(script)}"
    head = [
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        text("title", title),
        element("style", style),
    ]
    body = [*parts, *([element("script", script)] if scripts else [])]
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n'
        + "\n".join(head)
        + "\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )
    # A path may hold bytes that are no text: they become character references.
    return page.encode("utf-8", errors="xmlcharrefreplace")


def framed(page: str) -> str:
    """A page inside another, such as a notebook, whose style and scripts stay apart."""
    return (
        f'<iframe srcdoc="{escape(page)}" sandbox="allow-scripts" title="report" '
        'width="100%" height="800" frameborder="0"></iframe>'
    )


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
    """What stands in a file of this package, read once."""
    return file.read_text(encoding="utf-8")
