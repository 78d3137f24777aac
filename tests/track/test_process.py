from __future__ import annotations

import os
import subprocess
import sys

import pytest

from forecast.track import process
from forecast.track.process import HOST, PID, PROCESS, identity, is_dead

NEVER_A_PID = str(2**22 + 1)  # above Linux's largest


def _changed(part: int, value: str) -> dict[str, str]:
    """The tags of this living process, one part of its fingerprint (machine/boot/container/start) changed."""
    tags = identity()
    parts = tags[PROCESS].split("/")
    parts[part] = value
    return {**tags, PROCESS: "/".join(parts)}


def test_this_process_lives() -> None:
    assert not is_dead(identity())


def test_a_process_that_ended_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    # Nobody has asked for its exit code yet: its number is still taken.
    assert is_dead({**identity(), PID: str(child.pid)})
    child.wait()
    assert is_dead({**identity(), PID: str(child.pid)})


def test_a_number_used_again_is_another_process() -> None:
    assert is_dead(_changed(3, "1"))


def test_after_a_reboot_every_process_is_dead() -> None:
    assert is_dead(_changed(1, "another-boot"))


@pytest.mark.parametrize(
    "tags",
    [
        {**identity(), HOST: "another-host", PID: NEVER_A_PID},
        {**_changed(0, "another-machine"), PID: NEVER_A_PID},
        {**_changed(2, "another-container"), PID: NEVER_A_PID},
        {**identity(), PID: "text"},
        {},
    ],
    ids=["host", "machine", "container", "no number", "no tags"],
)
def test_what_cannot_be_seen_is_not_called_dead(tags: dict[str, str]) -> None:
    assert not is_dead(tags)


def test_without_proc_the_number_alone_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_fingerprint", lambda: "")
    monkeypatch.setattr(process, "_stat", lambda _: ("", ""))
    assert not is_dead(identity())
    assert is_dead({**identity(), PID: NEVER_A_PID})
