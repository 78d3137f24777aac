"""The page as one document: markup, style and scripts inside it, and the policy that lets nothing else run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from forecast.evaluate.report.page import CHART, STYLE, bundled, digest, text_of

# In the order they need; each holds the functions of one part of the page.
SCRIPTS = (
    "asking.js",
    "words.js",
    "drawing.js",
    "verdict.js",
    "future.js",
    "bars.js",
    "columns.js",
    "window.js",
    "figures.js",
    "live.js",
    "door.js",
    "start.js",
)


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a browser is given.

    Args:
        body: HTML, UTF-8. It holds no data, so that it may be shown to somebody who has yet to type the key.
        headers: its policy and how long it may be kept; `Content-Type` is not among them.
    """

    body: bytes
    headers: dict[str, str]


@cache
def page() -> Page:
    """The page; always the same one.

    Its policy lets run and dress it only the script and the style whose digests it names, and lets it ask nobody but
    the server it came from.
    """
    here = Path(__file__).parent
    style = text_of(STYLE) + text_of(here / "page.css")
    script = bundled([*CHART, *(here / name for name in SCRIPTS)])
    markup = text_of(here / "page.html").replace("/*style*/", style).replace("/*script*/", script)
    body = markup.encode()
    policy = (
        "default-src 'none'",
        f"script-src {digest(script)}",
        f"style-src {digest(style)}",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    headers = {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
        "Vary": "Accept, X-API-Key",
        "ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
    }
    return Page(body=body, headers=headers)
