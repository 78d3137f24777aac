"""One JSON line a request, written by several processes to one file that may be moved away at any time."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import random
import time
from collections import deque
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as _text
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Le

log = logging.getLogger(__name__)

# Lines that wait for the disk; when it does not take them, the oldest go.
_MOST_LINES = 50_000


class RequestLog:
    """The request log: time, method, route, status, duration, request and model, without keys and bodies.

    Lines are gathered and written a few times a second, each whole. The file may be renamed or truncated by
    whoever rotates logs; where nobody does, it is put aside when it is full.

    Args:
        file: where the lines go; a relative path is in the server's folder.
        megabytes: at which the file becomes `<file>.1`, the one before `<file>.2`, and so on.
        keep: how many files put aside are kept.
        share: of the requests that went well to be logged; those that did not all are.
        payloads: a line for each forecast too, with its window.
    """

    def __init__(
        self,
        *,
        file: str,
        megabytes: Annotated[float, Ge(1)] = 64,
        keep: Annotated[int, Ge(0), Le(100)] = 3,
        share: Annotated[float, Ge(0), Le(1)] = 1.0,
        payloads: bool = False,
    ) -> None:
        self.file = Path(file)
        self.megabytes = megabytes
        self.keep = keep
        self.share = share
        self.payloads = payloads
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)
        self._descriptor: int | None = None
        self._second, self._stamp = 0, ""
        self._failed = False  # told already
        self._torn = False  # whether the file ends in half a line, of ours

    def fresh(self, folder: Path) -> RequestLog:
        """Another one with nothing noted yet, for another process; its file lies in a folder."""
        return RequestLog(
            file=str(folder / self.file),
            megabytes=self.megabytes,
            keep=self.keep,
            share=self.share,
            payloads=self.payloads,
        )

    def request(
        self,
        method: str,
        route: str,
        status: int,
        seconds: float,
        request_id: str | None,
        version: str | None,
    ) -> None:
        """Note a request; a microsecond or two.

        Args:
            method: of the request.
            route: its template.
            status: of the answer.
            seconds: it took.
            request_id: told by the client, or given by the server.
            version: of the model that answers; None without one.
        """
        if status < 400 and self.share < 1.0 and random.random() >= self.share:
            return
        who = "null" if request_id is None else _text(request_id)
        model = "null" if version is None else _text(version)
        self._lines.append(
            f'{{"time":"{self._now()}","method":{_text(method)},"route":{_text(route)},"status":{status:d},'
            f'"ms":{1000 * seconds:.3f},"request_id":{who},"model_version":{model}}}\n'
        )

    def forecast(
        self, version: str, ticker: str | None, window: list[list[float]], told: list[float]
    ) -> None:
        """Note a window and what was forecast from it, where payloads are asked for.

        Args:
            version: of the model.
            ticker: whose window it is.
            window: raw panel rows, oldest first.
            told: prices.
        """
        line = {"time": self._now(), "model_version": version, "ticker": ticker, "window": window}
        self._lines.append(f"{json.dumps({**line, 'forecast': told})}\n")

    def flush(self) -> None:
        """Write what was noted; when the disk does not take it, say so once and go on."""
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        if not lines:
            return
        try:
            self._write(("\n" * self._torn + "".join(lines)).encode())
        except OSError as error:
            self._close()
            if not self._failed:
                log.warning("the request log %s cannot be written: %s", self.file, error.strerror)
            self._failed = True
        else:
            self._failed = False

    def _write(self, content: bytes) -> None:
        descriptor = self._open()
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
            self._torn = bool(rest)
        if os.fstat(descriptor).st_size >= self.megabytes * 1e6:
            self._put_aside(descriptor)

    def _open(self) -> int:
        """The file of that name, which may be another than a moment ago."""
        if self._descriptor is not None:
            try:
                if os.path.samestat(os.stat(self.file), os.fstat(self._descriptor)):
                    return self._descriptor
            except FileNotFoundError:
                pass
            self._close()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._descriptor

    def _put_aside(self, descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # another process may be about to do the same
        try:
            if not os.path.samestat(os.stat(self.file), os.fstat(descriptor)):
                return  # it has
            for number in range(self.keep, 0, -1):
                older = self._aside(number - 1)
                if older.exists():
                    os.replace(older, self._aside(number))
            if not self.keep:
                self.file.unlink()
        except FileNotFoundError:
            return  # it is being moved away
        finally:
            self._close()

    def _aside(self, number: int) -> Path:
        return self.file.with_name(f"{self.file.name}.{number}") if number else self.file

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _now(self) -> str:
        now = time.time()
        if int(now) != self._second:
            self._second = int(now)
            self._stamp = datetime.fromtimestamp(self._second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._stamp}.{int(1000 * (now - self._second)):03d}Z"
