"""The page at /ui as one document: markup, style and scripts inside it, and the policy that lets nothing else run.

api.js         requests, keys, values in words
forecast.js    the verdict, a ticker's past and the sessions to come
own_bars.js    a window of one's own
admin.js       champions: retrain, roll back
live.js        how the server does; what happens when
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse
from starlette.types import Scope

from forecast.evaluate.report.page import CHART, STYLE, bundled, digest, text_of

_HERE = Path(__file__).parent
# In the order they need; CHART draws the plots of reports too.
SCRIPTS = (
    *CHART,
    *(_HERE / name for name in ("api.js", "forecast.js", "own_bars.js", "admin.js", "live.js")),
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
    style, script = text_of(STYLE) + text_of(_HERE / "page.css"), bundled(SCRIPTS)
    markup = text_of(_HERE / "page.html").replace("/*style*/", style).replace("/*script*/", script)
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


def login_page(scope: Scope) -> HTMLResponse | None:
    """The page with status 401, for a person; None for every other request, which is refused as JSON.

    Nobody can give a browser's address bar a header. So the page is let through to somebody who asks for HTML, and
    asks for the key itself; what it shows after that it fetches with the key.

    Args:
        scope: of a request without the right key.
    """
    is_page = scope["path"].rstrip("/") == "/ui" and scope["method"] == "GET"
    if not is_page or "text/html" not in Headers(scope=scope).get("accept", ""):
        return None
    found = page()
    headers = {**found.headers, "Cache-Control": "no-store"}
    del headers["ETag"]
    return HTMLResponse(found.body, status_code=401, headers=headers)
