"""python -m forecast.serve.training FOLDER: do the job that was written down there. Started by the server."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from forecast.errors import SourceError, UserError
from forecast.files import write_whole
from forecast.serve.training.order import Order
from forecast.serve.training.state import RUN, JobState
from forecast.serve.training.title import holds_title
from forecast.serve.training.training import CANCEL, PID

log = logging.getLogger("forecast.serve.training")

SAVE_S = 0.5  # between two notes of how far it got
_CANCELLED = "cancelled; the model that was served still is"
_KILL_ME_FIRST = "500"  # of 1000, when memory runs out: the server can do without the job


def main() -> int:
    """Do the job; 0 unless it failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--champion", type=Path, required=True)
    parser.add_argument("--nice", type=int, required=True)
    parser.add_argument("--held", type=int, action="append", required=True)
    parser.add_argument("--allow", action="append", default=[])
    asked = parser.parse_args()
    for descriptor in asked.held:
        os.set_inheritable(descriptor, False)  # what it starts must not seem to be it
    os.nice(asked.nice)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_KILL_ME_FIRST, "utf-8")
    folder: Path = asked.folder
    state = JobState.load(folder)
    assert state is not None
    order = Order.load(folder)
    try:
        # A shell's background job ignores Ctrl-C and hands that on; both mean the same here.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        write_whole(folder / PID, str(os.getpid()))
        if (folder / CANCEL).exists():  # since before there was a process to tell
            raise KeyboardInterrupt
        _do(order, folder, state, asked.champion, asked.allow)
    except KeyboardInterrupt:
        if holds_title(asked.champion, folder / RUN):
            state.model_path = str(asked.champion.resolve())
            state.end("promoted", "promoted; its cancellation came too late")
        else:
            state.end("cancelled", _CANCELLED, status=500)
    except UserError as error:
        log.error("%s", error)
        state.end("failed", str(error), status=_status(error))
    except Exception as error:
        log.exception("the job failed")
        told = f"{type(error).__name__}: {error}"
        state.end("failed", f"{told[:500]}; the model that was served still is", status=500)
    if state.state == "failed" and (folder / CANCEL).exists():
        state.end("cancelled", _CANCELLED, status=500)  # an interrupted import may end in any exception
    _last_word(state, folder)
    return 1 if state.state == "failed" else 0


def _do(order: Order, folder: Path, state: JobState, champion: Path, allow: list[str]) -> None:
    saved = 0.0

    def note(*, urgent: bool = True) -> None:
        nonlocal saved
        if urgent or time.monotonic() - saved > SAVE_S:
            with suppress(OSError):  # how far it got is not worth failing for
                state.save(folder)
            saved = time.monotonic()

    from forecast.serve.training.job import conduct

    conduct(order, folder, state, champion=champion, allow=allow, note=note)


def _status(error: UserError) -> int:
    """Whose fault it is, as HTTP has it."""
    if isinstance(error, SourceError):
        return 502
    return 500 if isinstance(error.__cause__, OSError) else 400  # the disk, else the config


def _last_word(state: JobState, folder: Path) -> None:
    """Without it the job is told as one that died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        state.save(folder)
    except OSError:
        log.exception("what became of the job could not be written down")


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    sys.exit(main())
