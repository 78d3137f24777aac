"""A connection that waits for nobody for ever, and lets whoever is refused read why."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_HEAD = 65536  # bytes of a request line and its headers
# Chunks of one byte each cost five more; more than that is no body, but a way to keep a server busy.
_FRAMING = 8


class Connection(HttpToolsProtocol):
    """Uvicorn's, which has no limit on the head of a request or on the time it takes, and tells errors as plain text.

    Uvicorn also closes at once where it answers before a body has come in full. The system then throws away what
    the other side has not read yet, the answer included. Here the rest is read and forgotten first.

    Args:
        patience_s: seconds for a head to arrive, and for what is left of a refused request.
        uvicorns: its own arguments.
    """

    def __init__(self, *, patience_s: float, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._patience_s = patience_s
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = False
        self._head_too_large = False
        self._left = MAX_HEAD  # bytes that may come besides those of a body
        self._forgetting = False  # whatever still comes
        self._again = b""  # a head that is to be read another time, see _without_upgrade

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._real = transport
        self.transport = _Outlet(self, transport)  # type: ignore[assignment]
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._unset_keepalive_if_required()
        if self._forgetting:
            return
        self._left -= len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._again:
                self._without_upgrade(data[upgrade.args[0] :])
                return
        except httptools.HttpParserError:
            if self._head_too_large:
                self._refuse_head()
            else:
                self._refuse(400, "this is no HTTP request that can be read")
            return
        if self._left < 0 and self._in_head:
            self._refuse_head()
        elif self._left < 0:
            self._refuse(400, "the chunks of the body are too small")
        elif self._timer is None and self.timeout_keep_alive_task is None and not self._at_work:
            self._wait()  # a head that has begun, or what is left of a request that was answered before its end

    def eof_received(self) -> Any:
        """See asyncio.Protocol: whoever has sent a whole request may say that there will be no other."""
        if not (self._at_work and not self.cycle.more_body):
            return None  # closes
        self.cycle.keep_alive = False
        return True

    def _without_upgrade(self, rest: bytes) -> None:
        """Answer a request that asks for another protocol besides as if it did not.

        The parser takes all that follows such a head for that protocol's, the body too.
        """
        head, self._again = self._again, b""
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(head + rest)

    def on_message_begin(self) -> None:
        """See httptools."""
        super().on_message_begin()
        self._in_head, self._left = True, MAX_HEAD

    def on_headers_complete(self) -> None:
        """See httptools."""
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD:
            self._head_too_large = True
            raise ValueError("the head is too large")  # has the parser stop
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            kept = [(name, value) for name, value in self.headers if name not in (b"upgrade", b"connection")]
            self._again = b"%b %b HTTP/1.1\r\n%b\r\n" % (
                self.parser.get_method(),
                self.url,
                b"".join(b"%b: %b\r\n" % header for header in [*kept, (b"connection", b"close")]),
            )
            return
        self._in_head = False
        self._wait_no_more()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._left += (1 + _FRAMING) * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        if not self._again:
            super().on_message_complete()

    def shutdown(self) -> None:
        """See HttpToolsProtocol."""
        if self._at_work:
            super().shutdown()
        else:
            self._real.close()

    @property
    def _at_work(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not (self.cycle.response_complete or self.cycle.disconnected)

    def hang_up(self) -> None:
        """Close, once what is still being sent has come."""
        if self.cycle is not None and self.cycle.response_complete and self.cycle.more_body:
            self._forget()
        else:
            self._real.close()

    def _forget(self) -> None:
        """Say no more, and read what comes until the other side is done or patience ends."""
        if self._real.is_closing() or self._forgetting:
            return
        self._forgetting = True
        self._real.write_eof()
        self._real.resume_reading()
        self._wait()

    def _refuse_head(self) -> None:
        self._refuse(431, f"the request line and the headers have more than {MAX_HEAD:,} bytes")

    def _refuse(self, status: int, detail: str) -> None:
        """Answer in the place of the app, which is not asked, or not any more."""
        if self._real.is_closing():
            return
        if self._at_work:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self._real.close()
                return
        body = json.dumps({"detail": detail}).encode()
        self._real.write(
            STATUS_LINE[status]
            + b"".join(b"%b: %b\r\n" % header for header in self.server_state.default_headers)
            + b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            + body
        )
        self._forget()

    def _wait(self) -> None:
        self._wait_no_more()
        self._timer = self.loop.call_later(self._patience_s, self._give_up)

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self._in_head and not self._forgetting:
            self._refuse(408, f"the head of the request did not arrive within {self._patience_s:g} s")
        else:
            self._real.abort()


class _Outlet:
    """A transport to write to that is closed with care."""

    __slots__ = ("_connection", "_real", "is_closing")

    def __init__(self, connection: Connection, real: asyncio.Transport) -> None:
        self._connection, self._real = connection, real
        self.is_closing = real.is_closing

    def write(self, data: bytes) -> None:
        if not self._real.is_closing():  # some loops raise
            self._real.write(data)

    def close(self) -> None:
        self._connection.hang_up()
