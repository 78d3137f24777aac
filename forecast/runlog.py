"""The log of a run: on standard error as it happens, and in the run directory once there is one."""

from __future__ import annotations

import logging
import logging.handlers
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _LogFile(logging.FileHandler):
    """A file that loses what a full disk does not take: the run itself says so."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        with suppress(OSError):
            super().close()


class RunLog:
    """Keeps lines until the run has a directory, so that a refused run leaves nothing behind."""

    def __init__(self) -> None:
        self.memory = logging.handlers.MemoryHandler(capacity=100_000, flushLevel=logging.CRITICAL + 1)

    def into(self, path: Path) -> None:
        """Write what was kept and what follows to a file."""
        file = _LogFile(path, mode="w", encoding="utf-8")
        file.setFormatter(logging.Formatter(_FORMAT))
        self.memory.setTarget(file)
        self.memory.flush()
        self.memory.capacity = 1

    def close(self) -> None:
        """Flush and close the file."""
        file = self.memory.target
        self.memory.close()
        if file is not None:
            file.close()


@contextmanager
def logged() -> Iterator[RunLog]:
    """Log the package for the length of a run: everything into the file, INFO and above on the screen."""
    log = logging.getLogger("forecast")
    level = log.level
    captured = warnings.showwarning.__module__ == logging.__name__  # by the caller already
    run_log = RunLog()
    screen = logging.StreamHandler()
    screen.setLevel(logging.INFO)
    screen.setFormatter(logging.Formatter("%(message)s"))
    handlers: list[logging.Handler] = [run_log.memory]
    if not log.handlers and not logging.getLogger().handlers:
        handlers.append(screen)  # nobody else shows them
    for handler in handlers:
        log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    logging.captureWarnings(True)
    warnings_log = logging.getLogger("py.warnings")
    warnings_log.addHandler(run_log.memory)
    try:
        yield run_log
    finally:
        logging.captureWarnings(captured)
        warnings_log.removeHandler(run_log.memory)
        for handler in handlers:
            log.removeHandler(handler)
        log.setLevel(level)
        run_log.close()
