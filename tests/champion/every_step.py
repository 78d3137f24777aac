"""Promote a run and, at every step in turn, be killed or find the disk full; then look at what is there.

python every_step.py killed|full FOLDER [earlier]; prints how many steps there were.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from champion.made_up import made_up_run  # noqa: E402

from forecast import bundle  # noqa: E402
from forecast.champion import ChampionConfig, promote, promotion  # noqa: E402
from forecast.champion.store import ChampionStore  # noqa: E402
from forecast.errors import UserError  # noqa: E402

# What changes a disk, or waits for it.
WRITING = ((Path, "write_bytes"), (shutil, "copyfile"), (os, "mkdir"), (os, "symlink"))
STEPS = {
    "full": (*WRITING, (os, "fsync")),
    "killed": (*WRITING, (os, "replace"), (os, "rename"), (os, "unlink"), (os, "rmdir")),
}


PROMOTED, REFUSED, KILLED, NEVER_GOT_THERE = 0, 2, -signal.SIGKILL, 10


def arm(how: str, at: int) -> Callable[[], int]:
    """Have the step with that number, from 0, fail; returns what tells how many there have been."""
    steps = itertools.count()

    def armed(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **named: Any) -> Any:
            if next(steps) != at:
                return real(*args, **named)
            if real.__name__ == "copyfile":  # half of it is there by then
                Path(args[1]).touch()
            if how == "full":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return os.kill(os.getpid(), signal.SIGKILL)

        return step

    for home, name in STEPS[how]:
        setattr(home, name, armed(getattr(home, name)))
    return lambda: next(steps)


def attempt(how: str, at: int, run: Path, place: ChampionConfig) -> int:
    """In a process of its own; its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        so_far = arm(how, at)
        promote(run, champion=place)
    except UserError as error:
        said = str(error)
        assert "\n" not in said, said
        assert said.startswith("champion.directory="), said
        assert "No space left on device" in said, said
        os._exit(REFUSED)
    except BaseException:  # noqa: BLE001 - a fork must end here
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(PROMOTED if so_far() > at else NEVER_GOT_THERE)


def looks_like(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def main(how: str, folder: Path, earlier: bool) -> int:
    promotion.replay_check = lambda directory, named: len(bundle.verify(directory))
    first, second = (made_up_run(folder / "runs" / name) for name in ("first", "second"))
    start = folder / "start"
    start.mkdir()
    if earlier:
        promote(first, champion=ChampionConfig(directory=str(start / "champion")))
    before = looks_like(start)
    at = 0
    while True:
        here = folder / "here"
        shutil.copytree(start, here, symlinks=True)
        place = ChampionConfig(directory=str(here / "champion"))
        code = attempt(how, at, second, place)
        expected = {PROMOTED, REFUSED if how == "full" else KILLED, NEVER_GOT_THERE}
        assert code in expected, f"step {at}: exit code {code}"
        store = ChampionStore(here / "champion")
        current = store.current
        if current is not None:
            bundle.verify(current)
        name = None if current is None else current.name.partition("-")[2]
        assert name in ("first" if earlier else None, "second"), f"step {at}: {name} is champion"
        if code == REFUSED:
            assert name != "second", f"step {at}: refused, yet promoted"
            assert looks_like(here) == before, f"step {at}: left {set(looks_like(here)) - set(before)}"
        # Whatever happened, the next export does its work and leaves nothing of the one that failed.
        promote(second, champion=place)
        numbered = ["1-first", "2-second"] if earlier else ["1-second"]
        assert sorted(os.listdir(store.folder)) == [".lock", *numbered, "decisions.jsonl", "history.json"], (
            f"step {at}"
        )
        assert sorted(os.listdir(here)) == ["champion", "champions"], f"step {at}"
        assert [event["name"] for event in store.history] == numbered, f"step {at}: {store.history}"
        assert store.lineage == numbered, f"step {at}"
        shutil.rmtree(here)
        if code == NEVER_GOT_THERE:
            assert name == "second"
            return at
        at += 1


if __name__ == "__main__":
    print(main(sys.argv[1], Path(sys.argv[2]), "earlier" in sys.argv))
