"""The champions of one place on disk: folders side by side, and a link to the one that holds the title.

outputs/champion -> champions/3-4f0c...     the link, replaced in one step
outputs/champions/2-91ab.../                an earlier one, kept for rollback
outputs/champions/history.json              what was promoted and rolled back, oldest first
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from forecast.champion.lock import locked
from forecast.errors import UserError
from forecast.files import write_whole

HISTORY, INTENT, PARTIAL = "history.json", ".intent.json", ".partial"
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)

Event = Literal["promoted", "rolled back"]


class Shelf:
    """The link and the folder beside it. Whatever changes them needs `held`.

    Args:
        link: where the champion is found, such as outputs/champion.
    """

    def __init__(self, link: Path) -> None:
        self.link = link
        self.folder = link.with_name(f"{link.name}s")

    @property
    def current(self) -> Path | None:
        """The folder that the link leads to, None where there is no champion.

        Raises:
            UserError: something else stands in the link's place, or it leads elsewhere.
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
        """What happened, oldest first: `event`, `name` of the champion since, `at`.

        Raises:
            UserError: the file that says so is damaged.
        """
        path = self.folder / HISTORY
        try:
            events = json.loads(path.read_text("utf-8"))
            return [{key: str(event[key]) for key in ("event", "name", "at")} for event in events]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: is damaged ({error}); move it away to go on without it") from error

    @property
    def line(self) -> list[str]:
        """Names of those that held the title and were not rolled back, the champion last."""
        line: list[str] = []
        for event in self.history:
            if event["event"] == "promoted":
                line.append(event["name"])
            else:
                while len(line) > 1 and line[-1] != event["name"]:
                    line.pop()
        return [name for name in line if (self.folder / name).is_dir()]

    @property
    def kept(self) -> list[Path]:
        """The folders of all that ever held the title and are still there, by number."""
        names = {event["name"] for event in self.history}
        if (current := self.current) is not None:
            names.add(current.name)
        there = [self.folder / name for name in names if (self.folder / name).is_dir()]
        return sorted(there, key=lambda folder: number_of(folder.name))

    @contextmanager
    def held(self, say: Callable[[str], None]) -> Iterator[None]:
        """Keep everybody else from changing the champion; what died in the middle is cleared away first.

        Args:
            say: told once, should another process be at work.

        Raises:
            UserError: the place cannot be written to, or another process does not let go of it.
        """
        with ExitStack() as stack:
            with self.writing():
                who = f"champion.directory={self.link}"
                stack.enter_context(locked(self.folder, say=say, who=who))
                self._recover()
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Say in a line what the disk did not take.

        Raises:
            UserError: instead of an OSError.
        """
        try:
            yield
        except OSError as error:
            name = os.path.basename(os.readlink(self.link)) if self.link.is_symlink() else None
            stays = f"{name} is still the champion" if name else "there is no champion yet"
            raise UserError(
                f"champion.directory={self.link}: cannot be written ({error.strerror or error}); {stays}; "
                "make room, or name another place"
            ) from error

    def install(self, staged: Path, name: str) -> Path:
        """Give a finished folder its name and the title.

        Args:
            staged: a folder in `folder`, on the same disk therefore.
            name: `<number>-<run>`, not taken.

        Raises:
            UserError: the file system has no links.
            OSError: the disk did not take it; the old champion is still there.
        """
        self._intend("promoted", name)
        try:
            os.rename(staged, self.folder / name)
            self._swap(name)
        except BaseException:
            self._recover()
            raise
        self._settle("promoted", name)
        return self.folder / name

    def point(self, name: str, event: Event) -> Path:
        """Give one of those kept the title.

        Raises:
            OSError: the disk did not take it; the old champion is still there.
        """
        self._intend(event, name)
        self._swap(name)
        self._settle(event, name)
        return self.folder / name

    def discard(self, staged: Path) -> None:
        """Remove a folder that came to nothing; it may be gone already."""
        with suppress(FileNotFoundError):
            shutil.rmtree(staged)

    def next_number(self) -> int:
        """One more than the largest ever given."""
        names = [event["name"] for event in self.history] + os.listdir(self.folder)
        return 1 + max(map(number_of, names), default=0)

    def prune(self, keep: int) -> list[str]:
        """Remove earlier champions: first those rolled back, then the oldest.

        Args:
            keep: how many stay besides the champion, >= 1; the one a rollback leads to is the last to go.

        Returns:
            the names of those removed.
        """
        current, line = self.current, self.line
        others = [folder for folder in self.kept if folder != current]
        others.sort(key=lambda folder: (line.index(folder.name) if folder.name in line else -1, folder.name))
        gone = others[: max(0, len(others) - keep)]
        for folder in gone:
            _remove(folder)
        return [folder.name for folder in gone]

    def _intend(self, event: Event, name: str) -> None:
        write_whole(self.folder / INTENT, json.dumps({"event": event, "name": name}) + "\n")

    def _swap(self, name: str) -> None:
        """One step: there is never no champion."""
        scratch = self.link.with_name(f".{self.link.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            os.symlink(os.path.join(self.folder.name, name), scratch, target_is_directory=True)
            os.replace(scratch, self.link)
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise UserError(
                    f"champion.directory={self.link}: no link can be made there ({error.strerror}), and the "
                    "champion is one; name a place on another file system"
                ) from error
            raise
        finally:
            with suppress(OSError):
                scratch.unlink()

    def _settle(self, event: Event, name: str) -> None:
        """Note what happened; if that cannot be written now, the intent stays and tells whoever comes next."""
        with suppress(OSError):
            now = datetime.now(UTC).isoformat(timespec="seconds")
            events = [*self.history, {"event": event, "name": name, "at": now}]
            write_whole(self.folder / HISTORY, json.dumps(events, indent=1) + "\n")
            (self.folder / INTENT).unlink()

    def _recover(self) -> None:
        """Finish or undo what a process that died was doing; only who holds the lock may."""
        intent = _intent(self.folder / INTENT)
        current = self.current
        if intent is not None:
            event, name = intent
            last = self.history[-1:]
            if current is not None and current.name == name:
                if not last or last[0]["name"] != name:
                    self._settle(event, name)
            elif not any(earlier["name"] == name for earlier in self.history):
                _remove(self.folder / name)  # whole, but it never got the title
            (self.folder / INTENT).unlink(missing_ok=True)
        for path in self.folder.glob(f".*{PARTIAL}"):
            _remove(path)
        for path in (*self.folder.glob(".*.tmp"), *self.link.parent.glob(f".{self.link.name}.*.tmp")):
            path.unlink(missing_ok=True)


def number_of(name: str) -> int:
    """The number of a champion's folder; 0 for any other name."""
    number = name.partition("-")[0]
    return int(number) if number.isascii() and number.isdecimal() else 0


def _intent(path: Path) -> tuple[Event, str] | None:
    try:
        told: Any = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    return told["event"], str(told["name"])


def _remove(folder: Path) -> None:
    """Remove a folder under another name first, so that half of it is never taken for a whole one."""
    if not folder.name.startswith("."):
        try:
            folder = folder.rename(folder.with_name(f".{folder.name}{PARTIAL}"))
        except FileNotFoundError:
            return
    shutil.rmtree(folder)
