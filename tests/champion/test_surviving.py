"""Killed on the way, a disk that fills up, two exports at once: there is one champion, whole, and no debris."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import warm
from champion.made_up import made_up_run
from commands import REPOSITORY, environment

from forecast import bundle
from forecast.champion.store import ChampionStore

HERE = Path(__file__).parent
# Promote with a proof that lasts until it is asked to end: who waits for whom is then no matter of luck.
SLOW = """
import sys
from pathlib import Path
from forecast import bundle
from forecast.champion import ChampionConfig, promote, promotion

def replay_check(directory, named):
    print("proving", flush=True)
    sys.stdin.readline()
    return len(bundle.verify(directory))

promotion.replay_check = replay_check
print(promote(sys.argv[1], champion=ChampionConfig(directory=sys.argv[2]), progress=lambda line: print(line, flush=True)).text)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "earlier"), [("killed", "earlier"), ("full", "")], ids=["killed", "disk full"]
)
def test_at_every_step(tmp_path, how, earlier):
    command = [sys.executable, "-W", "error", str(HERE / "every_step.py"), how, str(tmp_path), earlier]
    done = warm.run(command, env=environment())
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40, "fewer steps than there are files"


@pytest.mark.parametrize("room", [30_000, 1_500], ids=["for all but one file", "for next to nothing"])
def test_a_disk_that_takes_no_more(tmp_path, room):
    """A real limit: the kernel refuses to write more."""
    place = tmp_path / "outputs" / "champion"
    words = ["-m", "forecast.champion", "export", "", "tracker=none", f"champion.directory={place}"]

    def export(run: Path, **more: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *words[:3], str(run), *words[4:]]
        return subprocess.run(
            command, env=environment(REPOSITORY), capture_output=True, text=True, check=False, **more
        )

    def little() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    done = export(made_up_run(tmp_path / "large", size=100_000), preexec_fn=little)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"champion.directory={place}: cannot be written (File too large); there is no champion yet; "
        "make room, or name another place\n"
    )
    assert not (tmp_path / "outputs").exists()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Path], warm.Process]]:
    """Begin to promote a run in a process of its own."""
    started = []

    def begin(run: Path) -> warm.Process:
        command = [
            sys.executable,
            "-W",
            "error",
            "-c",
            SLOW,
            str(run),
            str(tmp_path / "outputs" / "champion"),
        ]
        pipe = warm.PIPE
        process = warm.Process(
            command, env=environment(REPOSITORY), stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_a_second_export_waits_for_the_first(tmp_path, start):
    store = ChampionStore(tmp_path / "outputs" / "champion")
    first = start(made_up_run(tmp_path / "a"))
    assert first.stdout.readline() == "proving\n"
    second, same = start(made_up_run(tmp_path / "b")), start(tmp_path / "a")
    for waiting in (second, same):
        assert waiting.stdout.readline() == "another export is at work; waiting for it to end\n"
    assert not store.link.exists()
    said, wrong = first.communicate("go on\n")
    assert first.returncode == 0, wrong
    assert "Champion 1" in said
    # In whichever order they come: each is proved unless it is the champion already.
    for waiting in (second, same):
        said, wrong = waiting.communicate("go on\n")
        assert waiting.returncode == 0, wrong
    names = [event["name"] for event in store.history]
    assert names in (["1-a", "2-b"], ["1-a", "2-b", "3-a"])
    assert store.current is not None
    assert store.current.name == names[-1]
    bundle.verify(store.current)
    assert sorted(os.listdir(store.folder)) == [".lock", *names, "decisions.jsonl", "history.json"]


def test_nobody_waits_for_the_dead(tmp_path, start):
    first = start(made_up_run(tmp_path / "a"))
    assert first.stdout.readline() == "proving\n"
    second = start(made_up_run(tmp_path / "b"))
    assert second.stdout.readline() == "another export is at work; waiting for it to end\n"
    first.send_signal(signal.SIGKILL)
    assert second.stdout.readline() == "proving\n"
    _, wrong = second.communicate("go on\n")
    assert second.returncode == 0, wrong
    assert json.loads((tmp_path / "outputs" / "champion" / "metadata.json").read_text())["identity"] == "b"
    assert sorted(os.listdir(tmp_path / "outputs" / "champions")) == [
        ".lock",
        "1-b",
        "decisions.jsonl",
        "history.json",
    ]


def test_who_waits_for_one_that_is_refused_finds_its_place(tmp_path, start):
    """The folder that the first made and removed again is another one when the second gets its turn."""
    first = start(made_up_run(tmp_path / "a"))
    assert first.stdout.readline() == "proving\n"
    second = start(made_up_run(tmp_path / "b"))
    assert second.stdout.readline() == "another export is at work; waiting for it to end\n"
    first.send_signal(signal.SIGINT)
    first.communicate()
    assert second.stdout.readline() == "proving\n"
    _, wrong = second.communicate("go on\n")
    assert second.returncode == 0, wrong
    assert sorted(os.listdir(tmp_path / "outputs" / "champions")) == [
        ".lock",
        "1-b",
        "decisions.jsonl",
        "history.json",
    ]
