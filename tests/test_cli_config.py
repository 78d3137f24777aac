"""run.py itself: what it answers before there is a run, and what that costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / "run.py"
HEAVY = {
    "torch",
    "pytorch_lightning",
    "lightning",
    "numpy",
    "pandas",
    "mlflow",
    "ray",
    "sklearn",
    "matplotlib",
}


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "HYDRA_FULL_ERROR"}
    command = [sys.executable, "-X", "importtime", str(RUN), *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Standard error without Python's own list of imports."""
    return [line for line in done.stderr.splitlines() if not line.startswith("import time:")]


def imported(done: subprocess.CompletedProcess[str]) -> set[str]:
    """The packages that were imported on the way."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["--help"], 0, []),
        (["--cfg", "job"], 0, []),
        (["model.hiden_size=64"], 2, ["model.hiden_size: no such key; did you mean model.hidden_size?"]),
        (
            ["trainer=smok"],
            2,
            ["trainer=smok: no such option; did you mean smoke? options: default, gpu, none, smoke"],
        ),
    ],
    ids=["help", "cfg", "unknown key", "unknown option"],
)
def test_it_answers_without_importing_anything_heavy(tmp_path, arguments, code, error):
    done = start(tmp_path, *arguments)
    assert (done.returncode, said(done)) == (code, error)
    assert {"hydra", "forecast"} <= imported(done)
    assert imported(done) & HEAVY == set()
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_options_the_keys_and_the_ways_to_start(tmp_path):
    text = start(tmp_path, "--help").stdout
    assert "python run.py -m model=lstm,gru seed=1,2,3" in text
    assert "\nsource: files, sample, synthetic, yfinance\n" in text
    assert "\n  hidden_size: " in text


def test_every_fault_of_a_config_is_said_before_anything_is_fetched(tmp_path):
    done = start(
        tmp_path,
        "source=yfinance",
        "data.seq_len=0",
        "data.horizon=-1",
        "data.batch_size=many",
        "+model.hiden_size=3",
        "trainer.learning_rate=nan",
        "data.seqlen=5",  # refused by Hydra, which stops at the first
        "objective.metric=val_r2_oos",  # by what the keys come to together
    )
    assert done.returncode == 2
    assert said(done) == [
        "data.seqlen: no such key; did you mean data.seq_len?",
        "data.seq_len=0: must be >= 1",
        "data.horizon=-1: must be >= 1",
        "data.batch_size=many: must be an integer",
        "model.hiden_size=3: unknown key; did you mean hidden_size?",
        "trainer.learning_rate=nan: must be a finite number",
        "objective.mode=min: val_r2_oos is better when larger; use objective.mode=max",
    ]
    assert "yfinance" not in imported(done)
    assert list(tmp_path.iterdir()) == []
