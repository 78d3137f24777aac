"""The request log: a JSON line a request, by several processes into one file, which may be rotated at any time."""

from __future__ import annotations

import json
import logging
import os
import random
import time
from collections import deque
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Le

from forecast.files import locked

log = logging.getLogger(__name__)

_MAX_LINES = 50_000  # that wait for the disk; when it does not take them, the oldest go
_AT_ONCE = 200  # lines of a write; a fraction of the smallest file


class RequestLog:
    """The request log: time, method, route, status, duration, request and model, without keys and bodies.

    Lines are gathered and written a few times a second, each whole. The file may be renamed or truncated by
    whoever rotates logs; where nobody does, it is put aside when it is full.
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
        self._lines: deque[str] = deque(maxlen=_MAX_LINES)
        self._second, self._stamp = 0, ""
        self._failed = False  # a warning was given already

    def in_folder(self, folder: Path) -> RequestLog:
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
        """Note a request, see Monitoring.request, and the model that answers; a microsecond or two."""
        if status < 400 and self.share < 1.0 and random.random() >= self.share:
            return
        self._lines.append(
            f'{{"time":"{self._now()}","method":{quoted(method)},"route":{quoted(route)},"status":{status:d},'
            f'"ms":{1000 * seconds:.3f},"request_id":{_quoted(request_id)},"model_version":{_quoted(version)}}}'
        )

    def forecast(
        self, version: str, ticker: str | None, window: list[list[float]], forecast: list[float]
    ) -> None:
        """Note a window, raw panel rows, and what was forecast from it."""
        line = {"time": self._now(), "model_version": version, "ticker": ticker, "window": window}
        self._lines.append(json.dumps({**line, "forecast": forecast}))

    def flush(self) -> None:
        """Write what was noted; when the disk does not take it, say so once and go on."""
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if not lines:
            return
        try:
            self._write(lines)
        except OSError as error:
            if not self._failed:
                log.warning("the request log %s cannot be written: %s", self.file, error.strerror)
            self._failed = True
        else:
            self._failed = False

    def _write(self, lines: list[str]) -> None:
        """Open the file of that name, which may be another than a moment ago, and append to it."""
        # One process at a time: rotation renames what the others write to.
        with locked(self.file.with_name(f".{self.file.name}.lock")):
            if _ends_in_half_a_line(self.file):
                lines[0] = f"\n{lines[0]}"
            self.file.touch(mode=0o600)
            handler = _Handler(
                self.file, maxBytes=int(self.megabytes * 1e6), backupCount=self.keep, encoding="utf-8"
            )
            handler.rotator = _rotate
            try:
                for start in range(0, len(lines), _AT_ONCE):
                    text = "\n".join(lines[start : start + _AT_ONCE])
                    handler.emit(logging.makeLogRecord({"msg": text}))
                full = os.path.getsize(self.file) >= handler.maxBytes
            finally:
                handler.close()
            if full and not self.keep:
                self.file.unlink()

    def _now(self) -> str:
        now = time.time()
        if int(now) != self._second:
            self._second = int(now)
            self._stamp = datetime.fromtimestamp(self._second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._stamp}.{int(1000 * (now - self._second)):03d}Z"


class _Handler(RotatingFileHandler):
    """The standard library's, which leaves it to us to say that the disk is full."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - the library's name
        raise


def _quoted(text: str | None) -> str:
    return "null" if text is None else quoted(text)


def _rotate(source: str, target: str) -> None:
    os.replace(source, target)
    Path(source).touch(mode=0o600)  # for the owner's eyes only


def _ends_in_half_a_line(path: Path) -> bool:
    """After a full disk, or a process that was killed."""
    try:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:  # there is none, or it is empty
        return False
