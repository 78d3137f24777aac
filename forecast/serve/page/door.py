"""What a browser without the key is shown at /ui: the page, which holds no data, with a field for the key."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse
from starlette.types import Scope

from forecast.serve.page.document import page


def door(scope: Scope) -> HTMLResponse | None:
    """The page with status 401, for a person; None for every other request, which is refused as JSON.

    Nobody can give a browser's address bar a header. So the page is let through to somebody who asks for HTML, and
    asks for the key itself; what it shows after that it fetches with the key.

    Args:
        scope: of a request without the right key.
    """
    asked = scope["path"].rstrip("/") == "/ui" and scope["method"] == "GET"
    if not asked or "text/html" not in Headers(scope=scope).get("accept", ""):
        return None
    found = page()
    headers = {**found.headers, "Cache-Control": "no-store"}
    del headers["ETag"]
    return HTMLResponse(found.body, status_code=401, headers=headers)
