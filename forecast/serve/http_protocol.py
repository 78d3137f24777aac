"""HTTP as uvicorn speaks it, with an answer's head and body sent together, and every error as JSON.

uvicorn writes head and body one after the other. Each write is a system call and wakes the client, which with one body
of some hundred bytes takes a twentieth of the time in which a small network forecasts.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class JoiningTransport:
    """A transport that keeps the head of an answer until its body comes, at most for one turn of the event loop."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._head = b""

    def write(self, data: bytes) -> None:
        """Send what follows a head together with it."""
        if self._head:
            self._transport.write(self._head + data)
            self._head = b""
        elif data.startswith(b"HTTP/1.1 "):
            self._head = data
            self._loop.call_soon(self._flush)  # nothing follows where HEAD was asked, or a body comes late
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Send what is kept, and end the connection."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's, on a JoiningTransport, which refuses what is no HTTP in JSON as every other error."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        # uvloop then writes at once, not when the turn of its loop is over: what is left to do comes after the answer.
        cast(asyncio.Transport, transport).set_write_buffer_limits(high=0)
        joining = JoiningTransport(cast(asyncio.Transport, transport))
        super().connection_made(cast(asyncio.Transport, joining))

    def send_400_response(self, msg: str) -> None:
        """Refuse what no request could be read from, and end the connection; see HttpToolsProtocol."""
        body = json.dumps({"detail": f"{msg} Expected HTTP/1.1, as RFC 9112 has it"}).encode()
        lines = (
            b"HTTP/1.1 400 Bad Request",
            b"content-type: application/json",
            b"content-length: %d" % len(body),
            b"connection: close",
            b"x-request-id: %b" % secrets.token_hex(8).encode(),
        )
        self.transport.write(b"\r\n".join((*lines, b"", body)))
        self.transport.close()
