"""What stands before every route: keys, limits, deadlines, and an answer whatever happens behind it."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forecast.serve.page.door import door

# Whatever else is asked for costs or reveals something.
OPEN = frozenset({"/", "/livez", "/health", "/readyz"})
_ADMIN = ("/train", "/champion")
# Never turned away for want of room: they are how one sees that there is none.
_ALWAYS = frozenset({"/", "/livez", "/health", "/readyz", "/metrics", "/monitor"})
_UNMATCHED = "unmatched"
# Bytes of bodies at once, all together; beyond that only small ones are taken.
_HELD = 64 * 2**20
_LITTLE = 65536
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
_LATER = {"retry-after": "1"}
_log = logging.getLogger(__name__)

# route, method, status, seconds, the request's own id
Note = Callable[[str, str, int, float, str | None], None]


class Gate:
    """An ASGI app before the app.

    Args:
        app: answers what gets through.
        began: told of every request that comes in.
        ended: told of every request that was answered, refused or given up.
        api_key: wanted in X-API-Key for all but `OPEN`; None = no key.
        admin_key: wanted instead of it for training and the champion; None = the same key.
        max_in_flight: requests that are answered at once, which one is once its body has come; more get 429.
        max_body: bytes of a body; more get 413.
        deadline_s: seconds for a request, its body included; then 504.
        patient: whether a path sets its own deadline.
        quick: (method, path) answered by an ASGI app of their own, in the place of `app`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        began: Callable[[], None],
        ended: Note,
        api_key: str | None,
        admin_key: str | None,
        max_in_flight: int,
        max_body: int,
        deadline_s: float,
        patient: Callable[[str], bool],
        quick: Mapping[tuple[str, str], ASGIApp],
    ) -> None:
        self.app = app
        self.began, self.ended = began, ended
        self.keys = [key.encode() for key in (api_key, admin_key) if key]
        self.key_wanted = api_key is not None
        self.admin = (admin_key or api_key or "").encode()
        self.max_in_flight = max_in_flight
        self.max_body = max_body
        self.deadline_s = deadline_s
        self.patient = patient
        self.quick = quick
        self.in_flight = 0
        self.held = 0  # bytes of bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See https://asgi.readthedocs.io/en/latest/specs/www.html."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        if len(path) > 1 and path.endswith("/"):
            path = path.rstrip("/") or "/"
            scope["path"], scope["raw_path"] = path, path.encode("utf-8", "surrogateescape")
        passage = _Passage(self, scope, receive, send)
        self.began()
        try:
            refusal = self._refusal(path, scope)
            page = door(scope) if refusal is not None and refusal[0] == 401 else None
            if page is not None:
                await page(scope, passage.receive, passage.send)
            elif refusal is not None:
                await passage.answer(*refusal)
            else:
                await self._within_deadline(passage, path)
        finally:
            passage.forget()
            passage.count()

    def _refusal(self, path: str, scope: Scope) -> tuple[int, str, dict[str, str]] | None:
        """Why a request goes no further, if it does not."""
        headers = dict(scope["headers"])
        if path not in OPEN and not self._let_in(path, headers):
            return 401, "no key, or a wrong one, in the header X-API-Key", {"www-authenticate": "X-API-Key"}
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.max_body:
            told = f"the body has {int(length):,} bytes; at most {self.max_body:,} are taken"
            return 413, told, {"connection": "close"}
        if headers.get(b"content-encoding", b"identity") != b"identity":
            return 422, "Content-Encoding: send the body as it is, not compressed", {"connection": "close"}
        return None

    def _let_in(self, path: str, headers: dict[bytes, bytes]) -> bool:
        given = headers.get(b"x-api-key", b"")
        if any(path == name or path.startswith(f"{name}/") for name in _ADMIN):
            return not self.admin or hmac.compare_digest(given, self.admin)
        # All are compared, so that the time tells nothing.
        found = [hmac.compare_digest(given, key) for key in self.keys]
        return not self.key_wanted or any(found)

    async def _within_deadline(self, passage: _Passage, path: str) -> None:
        try:
            async with asyncio.timeout(self.deadline_s) as limit:
                # Whoever sends slowly takes nobody's place.
                if await self._arrived(passage) and not self.patient(path):
                    await self._through(passage, path)
        except TimeoutError:
            if not limit.expired():
                raise
            if passage.body_complete:
                told = f"not answered within {self.deadline_s:g} s; try again, or ask for less"
                await passage.answer(504, told, {})
            else:
                told = f"the request did not arrive within {self.deadline_s:g} s"
                await passage.answer(408, told, {"connection": "close"})
        else:
            if passage.body_complete and self.patient(path):
                await self._through(passage, path)

    async def _arrived(self, passage: _Passage) -> bool:
        """Take in the body; whether there is more to do."""
        try:
            await passage.collect()
        except _TooLargeError:
            told = f"the body has more than {self.max_body:,} bytes, the most that are taken"
            await passage.answer(413, told, {"connection": "close"})
        except _CrowdedError:
            await passage.answer(429, "too many large requests at once; try again", _LATER)
        except _GoneError:
            pass
        return passage.body_complete

    async def _through(self, passage: _Passage, path: str) -> None:
        if self.in_flight >= self.max_in_flight and path not in _ALWAYS:
            told = f"{self.max_in_flight} requests are in flight already; try again in a second"
            await passage.answer(429, told, _LATER)
            return
        self.in_flight += 1
        try:
            app = self.quick.get((passage.scope["method"], path), self.app)
            await app(passage.scope, passage.receive, passage.send)
        except Exception:  # noqa: BLE001 - said in the log
            # The last resort: nobody may be left without an answer, and the reason belongs into the log.
            _log.exception("%s %s failed", passage.scope["method"], passage.scope["path"])
            await passage.answer(500, "the server failed; its log says why", {})
        finally:
            self.in_flight -= 1


class _TooLargeError(Exception):
    """More of a body than is taken."""


class _CrowdedError(Exception):
    """Too much of too many bodies."""


class _GoneError(Exception):
    """Whoever asked hung up before the request was whole."""


class _Passage:
    """One request on its way: how much of its body came, and whether it was answered."""

    def __init__(self, gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.began = time.perf_counter()
        self.status = 499  # as long as nothing was answered
        self.body_complete = False
        self._gate, self._receive, self._send = gate, receive, send
        self._body, self._size = b"", 0
        self._handed_on = False
        self._started = False
        self._counted = False

    async def collect(self) -> None:
        """Wait for all of the body.

        Raises:
            _TooLargeError, _CrowdedError, _GoneError: it does not come.
        """
        gate, pieces = self._gate, []
        while not self.body_complete:
            message = await self._receive()
            if message["type"] != "http.request":
                raise _GoneError
            pieces.append(message.get("body", b""))
            self._size += len(pieces[-1])
            gate.held += len(pieces[-1])
            if self._size > gate.max_body:
                raise _TooLargeError
            if gate.held > _HELD and self._size > _LITTLE:
                raise _CrowdedError
            self.body_complete = not message.get("more_body", False)
        self._body = pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def forget(self) -> None:
        """The end of it."""
        self._gate.held -= self._size

    async def receive(self) -> Message:
        """The body at once, and after it what there is to hear of the connection."""
        if self._handed_on:
            return await self._receive()
        self._handed_on = True
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            self.status = message["status"]
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            # Before it leaves: whoever has an answer finds it counted, whichever process is asked.
            self.count()
        await self._send(message)

    def count(self) -> None:
        """Tell how it went, once."""
        if self._counted:
            return
        self._counted = True
        scope = self.scope
        name = next((value for key, value in scope["headers"] if key == b"x-request-id"), None)
        self._gate.ended(
            getattr(scope.get("route"), "path", _UNMATCHED),
            scope["method"] if scope["method"] in _METHODS else "other",
            self.status,
            time.perf_counter() - self.began,
            None if name is None else name[:64].decode("latin-1"),
        )

    async def answer(self, status: int, detail: str, headers: dict[str, str]) -> None:
        """Answer with an error, unless something was answered already."""
        if self._started:
            return
        body = json.dumps({"detail": detail}).encode()
        told: dict[str, Any] = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **headers,
        }
        raw = [(name.encode(), value.encode()) for name, value in told.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})
        await self.send({"type": "http.response.body", "body": body})
