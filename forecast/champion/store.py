"""The champions of one place on disk: folders side by side, and a link to the current one.

outputs/champion -> champions/3-4f0c...     the link, replaced in one step
outputs/champions/2-91ab.../                an earlier champion, kept for rollback
outputs/champions/history.json              what was promoted and rolled back, oldest first
outputs/champions/decisions.jsonl           the same and every refusal: when, by whom, on which figures
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from forecast.errors import UserError
from forecast.files import locked, read_json, replacing, write_json
from forecast.track.process import user

DECISIONS, HISTORY = "decisions.jsonl", "history.json"
INTENT, PARTIAL, LOCK = ".intent.json", ".partial", ".lock"
LOCK_TIMEOUT_S = 600.0  # a promotion takes seconds; one that takes longer hangs
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)

Event = Literal["promoted", "rolled back"]
Progress = Callable[[str], None]


class ChampionStore:
    """The link and the folder beside it. Every change is made under `lock`.

    Args:
        link: where the champion is found, such as outputs/champion.
        by: who changes it, for the log of decisions; "" = the user and command of this process.
        why: the figures that a change rests on.
    """

    def __init__(self, link: Path, *, by: str = "", why: str = "") -> None:
        self.link = link
        self.by = by or f"{user()}: {_command()}"
        self.why = why
        self.folder = link.with_name(f"{link.name}s")

    @property
    def current(self) -> Path | None:
        """The folder that the link points to, None where there is no champion.

        Raises:
            UserError: something else stands in the link's place, or it points elsewhere.
        """
        if not self.link.is_symlink():
            if self.link.exists():
                raise UserError(
                    f"champion.directory={self.link}: is no link made here; move it away or name another place"
                )
            return None
        target = os.readlink(self.link)
        folder = self.folder / os.path.basename(target)
        if self.link.parent / target != folder or not folder.is_dir():
            raise UserError(
                f"champion.directory={self.link}: leads to {target}, no champion of {self.folder}; "
                "remove the link or name another place"
            )
        return folder

    @property
    def history(self) -> list[dict[str, str]]:
        """Promotions and rollbacks, oldest first: `event`, `name` of the champion since then, `at`.

        Raises:
            UserError: the history file is damaged.
        """
        path = self.folder / HISTORY
        try:
            events = read_json(path)
            return [{key: str(event[key]) for key in ("event", "name", "at")} for event in events]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: is damaged ({error}); move it away to go on without it") from error

    @property
    def lineage(self) -> list[str]:
        """Names of the champions that were not rolled back, the current one last."""
        lineage: list[str] = []
        for event in self.history:
            if event["event"] == "promoted":
                lineage.append(event["name"])
            else:
                while len(lineage) > 1 and lineage[-1] != event["name"]:
                    lineage.pop()
        return [name for name in lineage if (self.folder / name).is_dir()]

    @property
    def folders(self) -> list[Path]:
        """The folders of all present and earlier champions that still exist, by number."""
        names = {event["name"] for event in self.history}
        if (current := self.current) is not None:
            names.add(current.name)
        existing = [self.folder / name for name in names if (self.folder / name).is_dir()]
        return sorted(existing, key=lambda folder: number_of(folder.name))

    @contextmanager
    def lock(self, progress: Progress) -> Iterator[None]:
        """Keep other processes from changing the champion; first clean up after one that died while it did.

        The folder is made when missing, and removed again if nothing was left in it.

        Raises:
            UserError: the place cannot be written to, or another process holds the lock for ten minutes.
        """
        waiting = partial(progress, "another export is at work; waiting for it to end")
        with ExitStack() as stack:
            with self.writing():
                made = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
                lock = locked(self.folder / LOCK, timeout_s=LOCK_TIMEOUT_S, on_wait=waiting)
                try:
                    stack.enter_context(lock)
                except TimeoutError:
                    raise UserError(
                        f"champion.directory={self.link}: another export has been at work for "
                        f"{LOCK_TIMEOUT_S:.0f} s; end it, or name another place"
                    ) from None
                stack.callback(self._remove_if_empty, made)
                self._recover()
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn a disk that refuses a write into one line.

        Raises:
            UserError: instead of an OSError.
        """
        try:
            yield
        except OSError as error:
            name = os.path.basename(os.readlink(self.link)) if self.link.is_symlink() else None
            state = f"{name} is still the champion" if name else "there is no champion yet"
            raise UserError(
                f"champion.directory={self.link}: cannot be written ({error.strerror or error}); {state}; "
                "make room, or name another place"
            ) from error

    def commit(self, staged: Path, name: str) -> Path:
        """Make a staged folder the current champion.

        Args:
            staged: a folder in `folder`, on the same disk therefore.
            name: `<number>-<run>`, not taken.

        Raises:
            UserError: the file system has no links.
            OSError: the disk did not take it; the old champion is still current.
        """
        self._write_intent("promoted", name)
        try:
            os.rename(staged, self.folder / name)
            self._replace_link(name)
        except BaseException:
            self._recover()
            raise
        self._add_to_history("promoted", name)
        return self.folder / name

    def set_current(self, name: str, event: Event) -> Path:
        """Make one of the kept folders the current champion.

        Raises:
            OSError: the disk did not take it; the old champion is still current.
        """
        self._write_intent(event, name)
        self._replace_link(name)
        self._add_to_history(event, name)
        return self.folder / name

    def discard(self, staged: Path) -> None:
        """Remove a staged folder that was not promoted; it may be gone already."""
        with suppress(FileNotFoundError):
            shutil.rmtree(staged)

    def next_number(self) -> int:
        """One more than the largest ever given."""
        names = [event["name"] for event in self.history] + os.listdir(self.folder)
        return 1 + max(map(number_of, names), default=0)

    def prune(self, keep: int) -> list[str]:
        """Remove earlier champions: first those rolled back, then the oldest.

        Returns:
            the names of those removed.
        """
        current, lineage = self.current, self.lineage
        others = [folder for folder in self.folders if folder != current]
        others.sort(
            key=lambda folder: (lineage.index(folder.name) if folder.name in lineage else -1, folder.name)
        )
        removed = others[: max(0, len(others) - keep)]
        for folder in removed:
            _remove(folder)
        return [folder.name for folder in removed]

    def _write_intent(self, event: Event, name: str) -> None:
        write_json(self.folder / INTENT, {"event": event, "name": name})

    def _replace_link(self, name: str) -> None:
        """One step: there is never no champion."""
        try:
            with replacing(self.link) as scratch:
                os.symlink(os.path.join(self.folder.name, name), scratch, target_is_directory=True)
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise UserError(
                    f"champion.directory={self.link}: no link can be made there ({error.strerror}), and the "
                    "champion is one; name a place on another file system"
                ) from error
            raise

    def _add_to_history(self, event: Event, name: str) -> None:
        """Record what happened; if that cannot be written now, the intent stays for the next process to finish."""
        with suppress(OSError):
            now = datetime.now(UTC).isoformat(timespec="seconds")
            events = [*self.history, {"event": event, "name": name, "at": now}]
            write_json(self.folder / HISTORY, events)
            (self.folder / INTENT).unlink()
            self.log_decision(event, name)

    def log_decision(self, decision: Event | Literal["refused"], name: str) -> None:
        """Add a line to the log of decisions; what the disk does not take is lost."""
        if not self.folder.is_dir():
            return
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        line = {"at": now, "decision": decision, "name": name, "by": self.by, "why": self.why}
        with suppress(OSError), (self.folder / DECISIONS).open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")

    def decisions(self) -> list[dict[str, str]]:
        """The log of decisions, oldest first: `at`, `decision`, `name`, `by`, `why`; damaged lines are left out."""
        try:
            lines = (self.folder / DECISIONS).read_text("utf-8").splitlines()
        except OSError:
            return []
        found = []
        for line in lines:
            with suppress(ValueError, KeyError, TypeError):
                read = json.loads(line)
                found.append({key: str(read[key]) for key in ("at", "decision", "name", "by", "why")})
        return found

    def _recover(self) -> None:
        """Finish or undo what a process that died was doing; only called under the lock."""
        current = self.current
        if (self.folder / INTENT).exists():
            intent = read_json(self.folder / INTENT)
            event, name, last = intent["event"], intent["name"], self.history[-1:]
            if current is not None and current.name == name:
                if not last or last[0]["name"] != name:
                    self._add_to_history(event, name)
            elif not any(earlier["name"] == name for earlier in self.history):
                _remove(self.folder / name)  # complete, but it never became current
            (self.folder / INTENT).unlink(missing_ok=True)
        for path in self.folder.glob(f".*{PARTIAL}"):
            _remove(path)
        for path in (*self.folder.glob(".*.tmp"), *self.link.parent.glob(f".{self.link.name}.*.tmp")):
            path.unlink(missing_ok=True)

    def _remove_if_empty(self, made: list[Path]) -> None:
        with suppress(OSError):  # as a rule there is something in it
            if os.listdir(self.folder) == [LOCK]:
                (self.folder / LOCK).unlink()
                for path in made:
                    path.rmdir()


def _command() -> str:
    """The program, as it is called: `python -m forecast.champion` is no `__main__.py`."""
    path = Path(sys.argv[0])
    return f"{path.parent.parent.name}.{path.parent.name}" if path.name == "__main__.py" else path.name


def number_of(name: str) -> int:
    """The number of a champion's folder; 0 for any other name."""
    number = name.partition("-")[0]
    return int(number) if number.isascii() and number.isdecimal() else 0


def _remove(folder: Path) -> None:
    """Remove a folder under another name first, so that half of it is never taken for a whole one."""
    if not folder.name.startswith("."):
        try:
            folder = folder.rename(folder.with_name(f".{folder.name}{PARTIAL}"))
        except FileNotFoundError:
            return
    shutil.rmtree(folder)
