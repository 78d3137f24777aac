"""The middlewares of the server, outermost first: each a pure ASGI class that does one thing to HTTP requests.

See https://asgi.readthedocs.io/en/latest/specs/www.html.

Metrics       counts every request, gives it an X-Request-ID, and answers 500 where everything else failed
PathForms     /path/ as /path, HEAD as GET without its body
Origin        Host and Origin: neither DNS rebinding nor a page of another site reaches the server
ApiKey        X-API-Key
Limits        takes in the body, not too large and not compressed; requests in flight; a deadline
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forecast.serve.engines import Engine
from forecast.serve.monitoring import Monitoring

# Need no key: whatever else is asked for costs or reveals something.
OPEN = frozenset({"/", "/livez", "/health", "/readyz"})
# Exempt from limits: they show whether the server is overloaded.
EXEMPT = frozenset({"/", "/livez", "/health", "/readyz", "/metrics", "/monitor"})
ADMIN = ("/train", "/champion")
_ADMIN_PATHS = tuple(f"{path}/" for path in ADMIN)
SERVER_FAILED = "the server failed; its log says why"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# [IPv6] or a name, perhaps with a dot behind it and a port.
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:@/\[\]]+?)\.?)(?::\d*)?")
_METHODS = _SAFE | {"POST", "PUT", "PATCH", "DELETE"}
# Bytes of bodies held at once by a process; beyond that only small ones are taken.
_MAX_HELD, _SMALL = 64 * 2**20, 65536
# Of a body that is refused: bytes, and seconds, that are still read, and dropped.
_DROPPED, _DROP_S = 32 * 2**20, 1.0
_CLOSE = {b"connection": b"close"}
_HEADERS = "forecast.headers"  # of a scope: its headers by name
_log = logging.getLogger(__name__)


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of a lower-case name."""
    by_name: dict[bytes, bytes] | None = scope.get(_HEADERS)
    if by_name is None:
        by_name = scope[_HEADERS] = dict(reversed(scope["headers"]))
    return by_name.get(name)


async def send_json(
    send: Send, status: int, content: bytes, headers: Mapping[bytes, bytes] | None = None
) -> None:
    """Send a JSON body."""
    raw = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    raw += list((headers or {}).items())
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": content})


def problem(path: str, detail: str) -> dict[str, str]:
    """An error as every route gives it, in one line; those of the Open Inference Protocol say it under `error`, too."""
    detail = " ".join(detail.split())
    is_v2 = path == "/v2" or path.startswith("/v2/")
    return {"error": detail, "detail": detail} if is_v2 else {"detail": detail}


async def send_error(
    send: Send, scope: Scope, status: int, detail: str, headers: Mapping[bytes, bytes] | None = None
) -> None:
    """Send an error, see `problem`."""
    await send_json(send, status, json.dumps(problem(scope["path"], detail)).encode(), headers)


class Metrics:
    """Counts requests by route, method and status, and gives each an id.

    Args:
        engine: how many windows wait is counted with each request.
        stopping: whether the server is being stopped: each answer then ends its connection.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        counter: Monitoring,
        engine: Engine,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.app, self.counter, self.engine, self.stopping = app, counter, engine, stopping
        # Of this server and, with the process's number, of one process: they are forked from the one that made this.
        self.prefix, self.numbers = secrets.token_hex(6).encode(), itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, method = time.perf_counter(), scope["method"]
        sent = (header(scope, b"x-request-id") or b"")[:64]
        is_usable = bool(sent) and sent.isascii() and sent.decode().isprintable()
        request_id = sent if is_usable else b"%b-%x-%x" % (self.prefix, os.getpid(), next(self.numbers))
        status = 499  # as long as nothing was answered
        facts: tuple[str, str, int, float] | None = None

        def count() -> tuple[str, str, int, float]:
            nonlocal facts
            if facts is None:
                route = getattr(scope.get("route"), "path", "unmatched")
                seconds = time.perf_counter() - began
                facts = route, method if method in _METHODS else "other", status, seconds
                self.counter.request(*facts, waiting=self.engine.queue_size)
            return facts

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
                if self.stopping():
                    message["headers"].append((b"connection", b"close"))
            elif not message.get("more_body", False):
                count()  # before it leaves: whoever has an answer finds it counted, whichever process is asked
            await send(message)

        self.counter.began(self.engine.queue_size)
        try:
            await self.app(scope, receive, send_counted)
        except Exception:  # noqa: BLE001 - said in the log
            # The last resort: nobody may be left without an answer, and the reason belongs into the log.
            _log.exception("%s %s failed", method, scope["path"], extra={"request_id": request_id.decode()})
            if status == 499:
                await send_error(send_counted, scope, 500, SERVER_FAILED)
        finally:
            self.counter.log_request(*count(), request_id.decode())


class PathForms:
    """A path answers with and without its trailing slash, and HEAD wherever GET does."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if len(path) > 1 and path.endswith("/"):
            path = path.rstrip("/") or "/"
            scope["path"], scope["raw_path"] = path, path.encode("utf-8", "surrogateescape")
        if scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        scope["method"] = "GET"

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                # Of every other answer uvicorn misses the bytes, and puts a traceback into the log.
                scope["method"] = "HEAD"
                message = {**message, "body": b""}
            await send(message)

        await self.app(scope, receive, send_head)


class Origin:
    """Refuses requests that a page of another site had a browser send, and host names that are not the server's.

    Args:
        hosts: names that Host may have, without a port; None = any.
    """

    def __init__(self, app: ASGIApp, *, hosts: tuple[str, ...] | None) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (fault := self._fault(scope)) is not None:
            await send_error(send, scope, *fault)
            return
        await self.app(scope, receive, send)

    def _fault(self, scope: Scope) -> tuple[int, str] | None:
        host = (header(scope, b"host") or b"").decode("latin-1").lower()
        if not host and scope.get("http_version") != "1.0":
            return 400, "the request has no Host header"
        if [name for name, _ in scope["headers"]].count(b"host") > 1:
            return 400, "Host: stands there more than once"
        if host and self.hosts is not None and _hostname(host) not in self.hosts:
            return (
                400,
                f"Host: this server answers to {', '.join(self.hosts)}; add others with allowed_hosts=[...]",
            )
        if scope["method"] in _SAFE:
            return None
        site = header(scope, b"sec-fetch-site")
        origin = header(scope, b"origin")
        if site is not None and site not in (b"same-origin", b"none"):
            return 403, "sent by a page of another site"
        if origin is not None and origin.decode("latin-1").lower() not in (
            f"http://{host}",
            f"https://{host}",
        ):
            return 403, "sent by a page of another site (Origin is not this server)"
        return None


@lru_cache(maxsize=64)  # all callers use the same few
def _hostname(host: str) -> str:
    """Host without its port, IPv6 without brackets; "" where it is no host."""
    found = _HOST.fullmatch(host)
    return "" if found is None else found[1] or found[2]


class ApiKey:
    """Refuses requests without the key.

    Args:
        api_key: wanted for all but `OPEN`; None = no key.
        admin_key: wanted instead for training and the champion; None = the same key.
        login_page: what a browser without the key is shown instead of the error; None for every other request.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        api_key: str | None,
        admin_key: str | None,
        login_page: Callable[[Scope], ASGIApp | None],
    ) -> None:
        self.app = app
        self.keys = [key.encode() for key in (api_key, admin_key) if key]
        self.is_needed = api_key is not None
        self.admin = (admin_key or api_key or "").encode()
        self.login_page = login_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in OPEN or self._is_allowed(scope):
            await self.app(scope, receive, send)
            return
        page = self.login_page(scope)
        if page is not None:
            await page(scope, receive, send)
            return
        text = "no key, or a wrong one, in the header X-API-Key"
        await send_error(send, scope, 401, text, {b"www-authenticate": b"X-API-Key"})

    def _is_allowed(self, scope: Scope) -> bool:
        path, given = scope["path"], header(scope, b"x-api-key") or b""
        if f"{path}/".startswith(_ADMIN_PATHS):
            return not self.admin or hmac.compare_digest(given, self.admin)
        # All are compared, so that the time says nothing.
        found = [hmac.compare_digest(given, key) for key in self.keys]
        return not self.is_needed or any(found)


class Limits:
    """Reads the body before anything is done with it, and bounds its size, the requests in flight, and their time.

    Args:
        deadline_s: seconds for a request: without its body by then 408, without an answer 504.
        is_patient: whether a path's answer may take longer.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        max_in_flight: int,
        deadline_s: float,
        is_patient: Callable[[str], bool],
    ) -> None:
        self.app = app
        self.max_body_bytes, self.max_in_flight = max_body_bytes, max_in_flight
        self.deadline_s, self.is_patient = deadline_s, is_patient
        self.held = 0  # bytes of all bodies
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = header(scope, b"content-length") or b"0"
        has_body = length != b"0" or header(scope, b"transfer-encoding") is not None
        if (fault := self._fault(scope, length, has_body)) is not None:
            await _drop(scope, receive)
            await send_error(send, scope, *fault, _CLOSE)
            return
        pieces: list[bytes] = []
        has_arrived = started = has_expired = False
        task = asyncio.current_task()
        assert task is not None

        def expire() -> None:
            nonlocal has_expired
            has_expired = True
            task.cancel()

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        # asyncio.timeout takes a tenth of the time in which a small network forecasts.
        timer = asyncio.get_running_loop().call_later(self.deadline_s, expire)
        try:
            if has_body and (error := await self._collect(pieces, receive)) is not None:
                timer.cancel()
                if error[0]:
                    await _drop(scope, receive)
                    await send_error(send, scope, *error)
                return
            has_arrived = True
            if self.is_patient(scope["path"]):
                timer.cancel()
            whole = _replay(b"".join(pieces), receive) if has_body else receive
            await self._answer(scope, whole, send_noted)
        except asyncio.CancelledError as cancelled:
            if not has_expired or task.uncancel():  # somebody else's
                raise
            if started:
                raise TimeoutError from cancelled
            if has_arrived:
                text = f"not answered within {self.deadline_s:g} s; try again, or ask for less"
                await send_error(send, scope, 504, text)
            else:
                text = f"the request did not arrive within {self.deadline_s:g} s"
                await send_error(send, scope, 408, text, _CLOSE)
        finally:
            timer.cancel()
            self.held -= sum(map(len, pieces))

    def _fault(self, scope: Scope, length: bytes, has_body: bool) -> tuple[int, str] | None:
        """Why a body is not taken, by what its head says."""
        if length.isdigit() and int(length) > self.max_body_bytes:
            return 413, f"the body has {int(length):,} bytes; at most {self.max_body_bytes:,} are taken"
        if (header(scope, b"content-encoding") or b"identity").lower() != b"identity":
            return 422, "Content-Encoding: send the body as it is, not compressed"
        if has_body and header(scope, b"upgrade") is not None:
            # whose body uvicorn's parser loses
            text = "Upgrade: send a body by HTTP/1.1 from the start (curl: --http1.1; Java: Version.HTTP_1_1)"
            return 400, text
        return None

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.in_flight >= self.max_in_flight and scope["path"] not in EXEMPT:
            text = f"{self.max_in_flight} requests are in flight already; try again in a second"
            await send_error(send, scope, 429, text, {b"retry-after": b"1"})
            return
        self.in_flight += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.in_flight -= 1

    async def _collect(
        self, pieces: list[bytes], receive: Receive
    ) -> tuple[int, str, dict[bytes, bytes]] | None:
        """Wait for all of a body; why it is refused, with status 0 where the caller hung up."""
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return 0, "", {}
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            self.held += len(pieces[-1])
            more = message.get("more_body", False)
            if size > self.max_body_bytes:
                text = f"the body has more than {self.max_body_bytes:,} bytes, the most that are taken"
                return 413, text, _CLOSE
            if self.held > _MAX_HELD and size > _SMALL:
                return 429, "too many large requests at once; try again", {b"retry-after": b"1"}
        return None


async def _drop(scope: Scope, receive: Receive) -> None:
    """Read on for a moment what is refused: who writes all before reading finds a broken connection, not the answer."""
    if header(scope, b"expect") is not None:
        return  # it reads first
    left = _DROPPED
    with suppress(TimeoutError):
        async with asyncio.timeout(_DROP_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body at once, and after it what there is to hear of the connection."""
    handed_on = False

    async def replayed() -> Message:
        nonlocal handed_on
        if handed_on:
            return await receive()
        handed_on = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
