"""Which model a process answers with: loaded, proved, and exchanged when another one takes its place."""

from __future__ import annotations

import logging
import multiprocessing
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from forecast.errors import UserError
from forecast.serve.served import Served, load_served

_LONGEST = 4096  # bytes of a path
_log = logging.getLogger(__name__)


class Models:
    """Follows a run directory or a link to one. Made before the processes that share it; each has its own `current`.

    Args:
        following: run directory, or a link such as outputs/champion; where there is nothing yet, `current` is None.
        allow: modules or classes of plug-ins that a bundle may name.
        poll_s: seconds between two looks at what is followed.
        swapped: told of each model that takes the place of another.
    """

    def __init__(
        self,
        *,
        following: Path,
        allow: Sequence[str] = (),
        poll_s: float = 1.0,
        swapped: Callable[[Served], None] | None = None,
    ) -> None:
        self.current: Served | None = None
        self.allow = tuple(allow)
        self.device = "cpu"
        self.poll_s = poll_s
        self.swapped = swapped
        # One for all processes, without a lock: whoever holds one may be killed.
        self._path: Any = multiprocessing.RawArray("c", _LONGEST)
        self._seen: object = None
        self._looking = threading.Lock()
        self._stop = threading.Event()
        self.follow(following)

    @property
    def following(self) -> Path:
        """What is followed now, by all processes."""
        found, again = self._path.value, self._path.value
        while found != again:  # it was being written
            found, again = again, self._path.value
        return Path(found.decode())

    def follow(self, path: Path) -> None:
        """Have every process follow another path."""
        text = str(path.absolute()).encode()
        if len(text) >= _LONGEST:
            raise UserError(f"bundle={path}: is too long a path")
        self._path.value = text

    def load(self) -> None:
        """Take what is there, if there is anything.

        Raises:
            UserError: it is no whole and unaltered run directory, or does not answer as it did.
        """
        with self._looking:
            seen = self._look()
            if seen is None:
                return
            self.current = load_served(self.following, allow=self.allow, device=self.device)
            self._seen = seen

    def refresh(self) -> bool:
        """Look whether another model took the place of the present one; one that is refused is told in the log.

        Returns:
            whether `current` changed.
        """
        with self._looking:
            seen = self._look()
            if seen is None or seen == self._seen:
                return False
            try:
                fresh = load_served(self.following, allow=self.allow, device=self.device)
            except (UserError, OSError, ValueError, KeyError, RuntimeError) as error:
                if self._look() == seen:  # else it is being written, and looked at again
                    self._seen = seen
                    kept = self.current.version if self.current else "none"
                    _log.error("refused a new model, %s stays: %s", kept, " ".join(str(error).split()))
                return False
            self.current, self._seen = fresh, seen
        _log.info("serving %s", fresh.version)
        if self.swapped is not None:
            self.swapped(fresh)
        return True

    def watch(self) -> None:
        """Look now, and then every `poll_s` seconds, in a thread, until `close`."""
        if self.current is not None:
            self.refresh()  # a process that takes a dead one's place was forked with the first model
        self._stop.clear()
        threading.Thread(target=self._watch, name="models", daemon=True).start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(self.poll_s):
            try:
                self.refresh()
            except Exception:  # noqa: BLE001 - the thread must outlive whatever a new bundle makes it run into
                _log.exception("looking for a new model failed")

    def _look(self) -> object:
        """What tells one model from the next; None where there is none."""
        from forecast.bundle import MANIFEST

        folder = self.following.resolve()
        try:
            told = (folder / MANIFEST).stat()
        except OSError:
            return (folder, None) if folder.exists() else None
        return folder, told.st_mtime_ns, told.st_ino, told.st_size

    def __getstate__(self) -> dict[str, Any]:
        # For a process that is spawned: it loads for itself.
        kept = dict(vars(self))
        for name in ("_looking", "_stop", "swapped"):
            del kept[name]
        return {**kept, "current": None, "_seen": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, swapped=None, _looking=threading.Lock(), _stop=threading.Event())
