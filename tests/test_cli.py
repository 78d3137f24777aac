"""The words and exit codes that all commands share: unread output, unreadable arguments, relative paths."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from commands import REPOSITORY, RUN, SMALL, environment, run
from markets import random_bars

from forecast.cli import exit_code
from forecast.config import compose_saved
from forecast.errors import UserError


def raising(error: BaseException):
    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize(
    ("work", "code", "said"),
    [
        (lambda: None, 0, ""),
        (lambda: 7, 7, ""),
        (raising(UserError("a=1: is wrong")), 2, "a=1: is wrong\n"),
        (raising(KeyboardInterrupt()), 130, "interrupted\n"),
    ],
    ids=["finished", "own code", "mistake", "interrupted"],
)
def test_what_becomes_of_work(monkeypatch, capsys, work, code, said):
    monkeypatch.setattr(sys, "argv", ["run.py"])
    assert (exit_code(work), capsys.readouterr().err) == (code, said)


def test_our_own_fault_is_raised(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run.py"])
    with pytest.raises(ZeroDivisionError):
        exit_code(raising(ZeroDivisionError()))


def test_an_argument_that_the_locale_cannot_read_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run.py", os.fsdecode(b"data.tickers=['\xff']")])
    assert exit_code(lambda: 0) == 2
    assert capsys.readouterr().err == (
        "data.tickers=['\\udcff']: no text in this locale; set LC_ALL=C.UTF-8, or PYTHONUTF8=1\n"
    )


def test_output_that_cannot_be_written_ends_nothing(monkeypatch):
    with Path("/dev/full").open("w") as full, monkeypatch.context() as streams:
        streams.setattr(sys, "argv", ["run.py"])
        for name, stream in {"stdout": full, "__stdout__": full, "stderr": None, "__stderr__": None}.items():
            streams.setattr(sys, name, stream)

        def work() -> None:
            for stream in (sys.stdout, sys.stderr):
                print("nobody reads this", file=stream, flush=True)

        assert exit_code(work) == 0
        sys.stderr.close()


@pytest.mark.parametrize("arguments", [["trainer=none"], ["--cfg", "job"], ["--help"]], ids=str)
def test_it_ends_quietly_when_nobody_reads_its_output(tmp_path, arguments):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, str(RUN), *arguments],
        cwd=tmp_path,
        env=environment(),
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("module", ["predict", "update", "champion"])
def test_no_commands_help_needs_a_reader(tmp_path, module):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", f"forecast.{module}", "--help"],
        cwd=tmp_path,
        env=environment(REPOSITORY),
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_mistake_keeps_its_exit_code_when_nobody_reads_it(tmp_path):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, str(RUN), "data.seq_len=0"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), stdout=write, stderr=write, timeout=120, check=False
    )
    os.close(write)
    assert done.returncode == 2


@pytest.fixture
def bars(tmp_path: Path) -> list[str]:
    """A run on bars in the folder beside the one it is started in."""
    (tmp_path / "bars").mkdir()
    table: pd.DataFrame = random_bars(300, seed=0).round(4)
    table.to_csv(tmp_path / "bars" / "X.csv", index_label="Date")
    (tmp_path / "here").mkdir()
    return [
        *SMALL,
        "source=files",
        "source.path=../bars",
        "data.tickers=[X]",
        "data.period=max",
        "baselines=none",
    ]


def test_paths_are_saved_as_a_replay_from_anywhere_finds_them(tmp_path, bars):
    done = run(tmp_path / "here", *bars, "tracker=none", "hydra.run.dir=run")
    assert done.code == 0, done.err
    saved = yaml.safe_load((tmp_path / "here" / "run" / "config.yaml").read_text())
    assert saved["source"]["path"] == str(tmp_path / "bars")
    assert saved["champion"]["directory"] == str(tmp_path / "here" / "outputs" / "champion")
    replay = ["-cd", str(tmp_path / "here" / "run"), "-cn", "config", f"hydra.run.dir={tmp_path / 'again'}"]
    (tmp_path / "elsewhere").mkdir()
    done = run(tmp_path / "elsewhere", *replay)  # tracker=none: as it was saved
    assert done.code == 0, done.err
    assert list((tmp_path / "elsewhere").iterdir()) == []
    same = "forecasts.parquet"
    assert pd.read_parquet(tmp_path / "again" / same).equals(
        pd.read_parquet(tmp_path / "here" / "run" / same)
    )


def test_with_chdir_relative_paths_are_still_those_of_the_command(tmp_path, bars, empty_store):
    here = tmp_path / "here"
    written = Path(shutil.copy(empty_store, here / "runs.db")).stat().st_mtime_ns
    done = run(here, *bars, "hydra.job.chdir=true", "hydra.run.dir=run", "tracker.uri=sqlite:///runs.db")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == str(here / "run")
    assert (here / "runs.db").stat().st_mtime_ns > written
    assert not list((here / "run").glob("*.db"))
    config = compose_saved(here / "run")
    assert config.tracker.uri == f"sqlite:///{here / 'runs.db'}"
    done = run(here, *bars, "hydra.job.chdir=true", "hydra.run.dir=other", "source.path=../nowhere")
    assert (done.code, (here / "other").exists()) == (2, False)
    assert f"source.path={tmp_path / 'nowhere'}: does not exist" in done.err
