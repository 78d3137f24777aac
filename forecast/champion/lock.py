"""One process at a time at a folder, and no folder left behind where nothing came of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from forecast.errors import UserError

LOCK = ".lock"
WAIT_S = 600.0  # an export takes seconds; one that takes longer hangs
_LOOK_S = 0.1  # between two looks at the lock


@contextmanager
def locked(folder: Path, *, say: Callable[[str], None], who: str) -> Iterator[None]:
    """Hold the lock file of a folder, made when missing; the kernel lets go of it when its holder dies.

    Args:
        folder: made with those above it; those made are removed again if nothing was left in them.
        say: told once, if another process holds it.
        who: what a refusal begins with.

    Raises:
        UserError: another process holds it for ten minutes.
        OSError: the folder cannot be written to.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    descriptor = _acquire(folder, say, who)
    try:
        yield
    finally:
        with suppress(OSError):  # something is in it, as a rule
            if os.listdir(folder) == [LOCK]:
                (folder / LOCK).unlink()
                for path in made:
                    path.rmdir()
        os.close(descriptor)


def _acquire(folder: Path, say: Callable[[str], None], who: str) -> int:
    import fcntl

    path = folder / LOCK
    deadline, told = time.monotonic() + WAIT_S, False
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            continue  # its last holder has just removed the folder
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass  # likewise
        except BlockingIOError:
            if not told:
                say("another export is at work; waiting for it to end")
                told = True
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise UserError(
                    f"{who}: another export has been at work for {WAIT_S:.0f} s; end it, or name another place"
                ) from None
            time.sleep(_LOOK_S)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
