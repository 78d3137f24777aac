from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import warm

from forecast.track import MLflowTracker, sync
from forecast.track.__main__ import main
from forecast.track.connection import connect
from forecast.track.delivery import FILE, Record
from forecast.track.process import PID

NEVER_A_PID = str(2**22 + 1)


@pytest.fixture
def pending(store: str, free_port: int) -> Callable[[Path], str]:
    """Record a run into a store that is down, then mend its address as if the store were up again."""

    def run(directory: Path) -> str:
        one = MLflowTracker(uri=f"http://127.0.0.1:{free_port}", experiment_name="forecast")
        one.start(
            directory=directory, name=directory.name, params={"seed": 0}, tags={"strategy": "range_single"}
        )
        for epoch in range(3):
            one.log_epoch(epoch, {"loss": 3.0 - epoch})
        one.finish(status="FINISHED", metrics={"val_rmse": 1.5})
        _change(directory, uri=store)
        return store

    return run


def _change(directory: Path, **fields: Any) -> None:
    record = Record.load(directory)
    for name, value in fields.items():
        setattr(record, name, value)
    record.save(directory)


def test_what_was_pending_is_sent_once(
    make_directory: Callable[[str], Path],
    pending: Callable[[Path], str],
    runs: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = make_directory("first"), make_directory("second")
    store = pending(first)
    pending(second)
    monkeypatch.chdir(tmp_path)
    assert main(["sync"]) == 0
    assert capsys.readouterr().out == "sent outputs/first\nsent outputs/second\n"
    one, two = runs(store)
    assert {one.info.run_name, two.info.run_name} == {"first", "second"}
    assert one.info.status == "FINISHED"
    assert one.data.params == {"seed": "0"}
    assert one.data.metrics == {"loss": 1.0, "val_rmse": 1.5}
    assert one.data.tags["strategy"] == "range_single"
    client = connect(store, patience_s=60.0)
    assert len(client.get_metric_history(one.info.run_id, "loss")) == 3
    assert sorted(file.path for file in client.list_artifacts(one.info.run_id)) == [
        "config.yaml",
        "metrics.json",
        "plots",
    ]
    assert main(["sync"]) == 0
    assert capsys.readouterr().out == "nothing to send\n"
    assert len(runs(store)) == 2


def test_sent_to_another_store_than_it_was_meant_for(
    directory: Path,
    pending: Callable[[Path], str],
    free_port: int,
    runs: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = pending(directory)
    _change(directory, uri=f"http://127.0.0.1:{free_port}")
    assert main(["sync", str(directory), "--uri", "file:mlruns"]) == 2
    assert capsys.readouterr().err.startswith(
        "tracker.uri='file:mlruns': MLflow no longer records in folders"
    )
    assert main(["sync", str(directory), "--uri", store]) == 0
    assert [run.info.status for run in runs(store)] == ["FINISHED"]
    assert Record.load(directory).uri == store


def test_a_sync_that_died_halfway_is_taken_up(
    directory: Path,
    pending: Callable[[Path], str],
    runs: Callable[..., list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = pending(directory)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    # Everything is in the store, only the note of it is missing.
    with monkeypatch.context() as patch:
        patch.setattr(Record, "save", die)
        assert main(["sync", str(directory)]) == 130
    assert Record.load(directory).state == "pending"
    assert main(["sync", str(directory)]) == 0
    (run,) = runs(store)
    client = connect(store, patience_s=60.0)
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 3
    assert len(client.get_metric_history(run.info.run_id, "val_rmse")) == 1


def test_a_store_that_is_still_down_is_one_line(
    make_directory: Callable[[str], Path],
    pending: Callable[[Path], str],
    free_port: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = make_directory("first"), make_directory("second")
    for directory in (first, second):
        pending(directory)
        _change(directory, uri=f"http://127.0.0.1:{free_port}")
    assert main(["sync", str(first), str(second)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"not sent: {first} and 1 more (http://127.0.0.1:{free_port}: [Errno 111] Connection refused); "
        "run this again later\n"
    )
    assert Record.load(first).state == "pending"


def test_a_store_that_does_not_answer_is_waited_for_once(
    make_directory: Callable[[str], Path], pending: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    directories = [make_directory(str(i)) for i in range(3)]
    for directory in directories:
        pending(directory)
    asked: list[str] = []

    def hang(uri: str, **_: object) -> None:
        asked.append(uri)
        raise TimeoutError("no answer")

    monkeypatch.setattr(sync, "connect", hang)
    monkeypatch.setattr(sync, "PATIENCE_S", 0.0)
    summary = sync.sync(directories)
    assert len(asked) == 1
    assert list(summary.failed) == directories


def test_one_run_that_cannot_be_read_does_not_keep_back_the_others(
    make_directory: Callable[[str], Path],
    pending: Callable[[Path], str],
    runs: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad, good = make_directory("bad"), make_directory("good")
    (bad / FILE).write_text("{")
    store = pending(good)
    assert main(["sync", str(bad), str(good)]) == 1
    said = capsys.readouterr()
    assert said.out == f"sent {good}\n"
    assert str(bad / FILE) in said.err
    assert [run.info.run_name for run in runs(store)] == ["good"]


def test_a_run_that_goes_on_is_left_alone(
    store: str, directory: Path, runs: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    one = MLflowTracker(uri=store, experiment_name="forecast", patience_s=60.0)
    one.start(directory=directory, name="run", params={}, tags={})
    assert main(["sync", str(directory)]) == 0
    assert capsys.readouterr().out.startswith(f"left {directory}: still running")
    assert [run.info.status for run in runs(store)] == ["RUNNING"]


@pytest.mark.parametrize(
    ("manifest", "status", "metrics"),
    [(False, "KILLED", {"val_rmse": 1.5}), (True, "FINISHED", {"val_rmse": 1.5})],
    ids=["killed", "finished"],
)
def test_a_run_whose_process_died_is_ended(
    store: str,
    directory: Path,
    runs: Callable[..., list[Any]],
    manifest: bool,
    status: str,
    metrics: dict[str, float],
) -> None:
    one = MLflowTracker(uri=store, experiment_name="forecast", patience_s=60.0)
    one.start(directory=directory, name="run", params={}, tags={})
    if manifest:
        (directory / "manifest.json").write_text("{}")
    _change(directory, tags={**Record.load(directory).tags, PID: NEVER_A_PID})
    assert main(["sync", str(directory)]) == 0
    (run,) = runs(store)
    assert (run.info.status, run.data.metrics) == (status, metrics)
    assert Record.load(directory).state == "sent"


def test_a_folder_that_does_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sync", str(tmp_path / "none")]) == 2
    said = capsys.readouterr()
    assert (
        said.err == f"{tmp_path / 'none'}: no such folder; name run directories or folders that hold some\n"
    )


@pytest.mark.slow
def test_two_at_once_send_it_once(
    directory: Path,
    pending: Callable[[Path], str],
    runs: Callable[..., list[Any]],
    python: Callable[..., warm.Process],
) -> None:
    store = pending(directory)
    script = "import sys; from forecast.track.__main__ import main; sys.exit(main(['sync', sys.argv[1]]))"
    both = [python(script, directory) for _ in range(2)]
    said = sorted(process.communicate(timeout=300)[0] for process in both)
    assert said == ["nothing to send\n", f"sent {directory}\n"]
    assert len(runs(store)) == 1


def test_the_command_runs_as_it_is_written(tmp_path: Path) -> None:

    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "forecast.track", "sync"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing to send\n", "")
