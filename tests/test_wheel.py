"""What `pip install .` brings: commands and configs that work from any folder, without a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import REPOSITORY, SMALL

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the project is installed into, built from a copy, as pip would from a checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    names = listed.stdout.split() or pytest.skip("no checkout to take the files from")
    for name in names:
        if (source := REPOSITORY / name).is_file() and not name.startswith(("tests/", "docs/")):
            copy = folder / "copy" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
    site = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", site, folder / "copy"], check=True, capture_output=True, text=True)
    return site


def start(site: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_it_holds_every_config_and_both_scripts(installed):
    project = installed / "forecast" / "project"
    held = {path.relative_to(project).as_posix() for path in (project / "conf").rglob("*.yaml")}
    ours = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "conf").rglob("*.yaml")}
    assert held == ours
    assert {path.name for path in installed.iterdir()} >= {"forecast", "hydra_plugins", "bin"}
    assert not (installed / "conf").exists()


def test_a_run_from_python_and_its_champion(installed, tmp_path):
    words = [*SMALL, "tracker=none", "baselines=none"]
    code = f"import forecast; print(forecast.__file__); print(forecast.run(*{words!r}, directory='run').directory)"
    done = start(installed, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(installed / "forecast" / "__init__.py"), "run"]
    assert (tmp_path / "run" / "manifest.json").is_file()
    ranked = start(installed, tmp_path, "-m", "forecast.champion", "rank")
    assert "no such database" in ranked.stderr + ranked.stdout, ranked


@pytest.mark.parametrize(
    ("command", "arguments", "code", "words"),
    [
        (["bin/forecast"], ["trainer=none"], 0, "AAPL"),
        (["bin/forecast-run"], ["--help"], 0, "model: "),
        (["-m", "forecast"], ["data.seq_len=0"], 2, "data.seq_len=0: must be >= 1\n"),
        (["bin/forecast-serve"], ["--help"], 0, "engine: "),
        (["bin/forecast-serve"], ["bundle=nope"], 2, "bundle=nope"),
    ],
    ids=str,
)
def test_its_commands(installed, tmp_path, command, arguments, code, words):
    *module, last = command
    done = start(installed, tmp_path, *module, last if module else str(installed / last), *arguments)
    assert done.returncode == code, done.stderr
    assert words in (done.stderr if code else done.stdout)
    assert list(tmp_path.iterdir()) == []
