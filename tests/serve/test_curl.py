"""Every curl command of the documentation, as printed, against `python serve.py` with a champion."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
import warm
from commands import environment
from service import serving

from forecast.champion import ChampionConfig, promote

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "serving.md"]
BLOCK = re.compile(
    r"^<!-- curl(?:: (?P<status>\d+))? -->\n```bash\n(?P<commands>.*?)^```$"
    r"(?:\n\n<!-- answer -->\n```json\n(?P<answer>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
# Sends what is meant for port 8000 to the server's own, and says how each question ended.
CURL = '#!/bin/sh\nexec "{curl}" --connect-to "::127.0.0.1:{port}" -w "%{{stderr}}%{{http_code}}\\n" "$@"\n'


class Block(NamedTuple):
    """Commands, and what is promised of them."""

    page: str
    commands: str
    status: str | None
    answer: str | None


def written_before(block, folder):
    """Commands that write the files which a block reads, where the block that has them did not run here."""
    for earlier in blocks():
        for name in re.findall(r"\| tee (\S+)", earlier.commands):
            if earlier != block and name in block.commands and not (folder / name).exists():
                yield earlier.commands


def blocks():
    found = []
    for page in PAGES:
        text = page.read_text("utf-8")
        own = [Block(page.name, m["commands"], m["status"], m["answer"]) for m in BLOCK.finditer(text)]
        assert len(own) == text.count("<!-- curl"), f"{page.name}: a marker without commands below it"
        assert sum(block.answer is not None for block in own) == text.count("<!-- answer")
        found += own
    return found


@pytest.fixture(scope="module")
def served(bundle, tmp_path_factory):
    """A folder with a champion and a server of it, and the environment to ask it from."""
    folder = tmp_path_factory.mktemp("project")
    promote(bundle, champion=ChampionConfig(directory=str(folder / "outputs" / "champion")))
    curl = shutil.which("curl")
    assert curl, "the documentation's examples need curl: apt-get install curl"
    with serving(folder) as service:
        commands = folder / "bin"
        commands.mkdir()
        for name, text in (
            ("curl", CURL.format(curl=curl, port=service.port)),
            ("python", warm.SHELL),
        ):
            (commands / name).write_text(text)
            (commands / name).chmod(0o755)
        yield folder, environment(ROOT) | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
        assert service.stop() == 0, service.said()


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.page)
def test_it_answers_as_printed(block, served):
    folder, variables = served

    def typed(commands):
        return subprocess.run(
            ["bash", "-euc", commands],
            cwd=folder, env=variables, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    for commands in written_before(block, folder):
        typed(commands)
    done = typed(block.commands)
    assert done.returncode == 0, done.stderr
    asked = done.stderr.split()
    assert asked, block.commands
    if block.status:
        assert set(asked) == {block.status}, done.stdout
    else:
        assert set(asked) <= {"200", "202"}, f"{asked}\n{done.stdout}"
    if block.answer:
        assert shape(json.loads(done.stdout)) == shape(json.loads(block.answer))


def shape(value):
    """Names and kinds; of a list the first element's."""
    if isinstance(value, dict):
        return {name: shape(below) for name, below in value.items()}
    if isinstance(value, list):
        return [shape(below) for below in value[:1]]
    return "number" if type(value) in (int, float) else type(value).__name__


def test_examples_are_there():
    assert len(blocks()) >= 8
