"""The pages at /ui and /docs, each one document: markup, style, scripts, and the policy that lets nothing else run.

api.js         requests, keys, values in words
forecast.js    the verdict, a ticker's past and the sessions to come
own_bars.js    a window of one's own
admin.js       champions: retrain, roll back
live.js        how the server does; what happens when
docs.js        the routes, in the Swagger UI that fastapi_offline brings
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

from forecast.evaluate.report.page import CHART, STYLE, bundled, digest, environment, text_of

_HERE = Path(__file__).parent
# In the order they need; CHART draws the plots of reports too.
SCRIPTS = (
    *CHART,
    *(_HERE / name for name in ("api.js", "forecast.js", "own_bars.js", "admin.js", "live.js")),
)


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a browser is given."""

    # HTML, UTF-8. It holds no data, so that it may be shown to somebody who has yet to type the key
    body: bytes
    headers: dict[str, str]  # its policy and how long it may be kept; `Content-Type` is not among them


@cache
def page() -> Page:
    """The page; always the same one.

    Its policy lets run and dress it only the script and the style whose digests it names, and lets it ask nobody but
    the server it came from.
    """
    style, script = text_of(STYLE) + text_of(_HERE / "page.css"), bundled(SCRIPTS)
    return _page("page.html.j2", style=style, script=script)


@cache
def docs_page() -> Page:
    """The page at /docs: Swagger UI, which asks this server alone, under the same kind of policy."""
    swagger = resources.files("fastapi_offline") / "static"
    style = (swagger / "swagger-ui.css").read_text("utf-8") + text_of(_HERE / "docs.css")
    bundle = (swagger / "swagger-ui-bundle.js").read_text("utf-8")
    return _page("docs.html.j2", style=style, bundle=bundle, script=bundled([_HERE / "docs.js"]))


def _page(name: str, *, style: str, **scripts: str) -> Page:
    """A page whose policy names its style and its scripts.

    Args:
        name: of the template.
        scripts: of the page, as the template calls them.
    """
    body = environment(_HERE).get_template(name).render(style=style, **scripts).encode()
    policy = (
        "default-src 'none'",
        f"script-src {' '.join(map(digest, scripts.values()))}",
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


def page_response(found: Page, request: Request) -> Response:
    """A page, or status 304 where the browser has it."""
    if found.headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=found.headers)
    return HTMLResponse(found.body, headers=found.headers)


def login_page(scope: Scope) -> HTMLResponse | None:
    """A page with status 401, for a person; None for every other request, which is refused as JSON.

    Nobody can give a browser's address bar a header. So the page is let through to somebody who asks for HTML, and
    asks for the key itself; what it shows after that it fetches with the key.
    """
    made = {"/ui": page, "/docs": docs_page}.get(scope["path"].rstrip("/"))
    if made is None or scope["method"] != "GET" or "text/html" not in Headers(scope=scope).get("accept", ""):
        return None
    found = made()
    headers = {**found.headers, "Cache-Control": "no-store"}
    del headers["ETag"]
    return HTMLResponse(found.body, status_code=401, headers=headers)
