"""No process of a server outlives it, and each can be told from the others."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from contextlib import suppress

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_LOOK_S = 0.5


def die_with_parent(how: int = signal.SIGTERM) -> None:
    """Have this process end when the one that started it is gone, however it went (Linux).

    The kernel means the thread that started it: see follow_parent for processes whose thread ends before theirs does.

    Args:
        how: signal that it is then sent.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, how)


def follow_parent() -> None:
    """Have this process end within half a second of the one that started it, whichever of its threads did."""
    parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=look, name="lifeline", daemon=True).start()


def named(name: str) -> None:
    """What `ps` and `top` call this process (Linux).

    Args:
        name: at most 15 letters.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NAME, name.encode())
