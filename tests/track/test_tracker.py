from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import warm

from forecast.track import MLflowTracker, delivery, tracker
from forecast.track.connection import connect
from forecast.track.delivery import Record

HANG = """
import sys
from pathlib import Path
from forecast.track import MLflowTracker

tracker = MLflowTracker(uri=sys.argv[1], experiment_name="forecast")
tracker.start(directory=Path(sys.argv[2]), name="dead", params={}, tags={})
print("started", flush=True)
sys.stdin.read()
"""


def _tracker(uri: str) -> MLflowTracker:
    return MLflowTracker(uri=uri, experiment_name="forecast", patience_s=60.0)


def test_nothing_heavy_is_imported_with_the_package() -> None:
    script = "import sys, forecast.track; print({'mlflow', 'pandas', 'sqlalchemy'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_a_run_stands_in_the_store_whole(
    store: str, directory: Path, runs: Callable[..., list[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    one = _tracker(store)
    one.start(
        directory=directory,
        name="aapl",
        params={"seed": 0, "model": {"hidden_size": 64}, "data": {"tickers": ["A"] * 9000, "k+": "x"}},
        tags={"strategy": "range_single", "mlflow.parentRunId": "f" * 32, "git": "a1b2"},
    )
    assert Record.load(directory).state == "running"
    assert one.run_id == Record.load(directory).run_id
    assert runs(store)[0].info.status == "RUNNING"
    for epoch in range(3):
        one.log_epoch(epoch, {"val_rmse": 3.0 - epoch, "train_loss": float("nan")})
    one.finish(status="FINISHED", metrics={"val_rmse": 1.5, "test_r2_oos": None})

    (run,) = runs(store)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "aapl"
    assert run.info.end_time >= run.info.start_time
    assert run.data.params["model.hidden_size"] == "64"
    assert len(run.data.params["data.tickers"]) == 6000
    assert run.data.params["data.k_"] == "x"
    assert run.data.metrics == {"val_rmse": 1.5}
    assert run.data.tags["strategy"] == "range_single"
    assert run.data.tags["mlflow.parentRunId"] == "f" * 32
    assert run.data.tags["forecast.directory"] == str(directory)
    client = connect(store, patience_s=60.0)
    history = client.get_metric_history(run.info.run_id, "val_rmse")
    assert [(point.step, point.value) for point in history] == [(0, 3.0), (1, 2.0), (2, 1.0), (2, 1.5)]
    listed = [file.path for file in client.list_artifacts(run.info.run_id)]
    assert sorted(listed) == ["config.yaml", "metrics.json", "plots"]
    assert Path(run.info.artifact_uri).is_relative_to(
        Path(store.removeprefix("sqlite:///")).parent / "mlruns"
    )
    record = Record.load(directory)
    assert (record.state, record.status, record.epochs) == ("sent", "FINISHED", [])
    assert [entry for entry in caplog.records if entry.levelno >= logging.WARNING] == []


def test_what_mlflows_pages_show_of_a_run_is_filled(
    store: str, directory: Path, runs: Callable[..., list[Any]]
) -> None:
    (directory / "model.safetensors").write_bytes(b"weights")
    one = _tracker(store)
    tags = {"git_revision": "a1b2-dirty", "strategy": "range_single"}
    dataset = {"name": "AAPL", "digest": "0123456789abcdef", "source": '{"source": "sample"}'}
    one.start(directory=directory, name="range_single lstm", params={}, tags=tags, dataset=dataset)
    one.log_epoch(0, {"val_rmse": 1.0})
    one.finish(status="FINISHED", metrics={"val_rmse": 1.0}, description="Verdict: does not beat naive")
    (run,) = runs(store)
    assert run.info.run_name == "range_single lstm"
    assert run.data.tags["mlflow.user"]
    assert run.data.tags["mlflow.source.type"] == "LOCAL"
    assert run.data.tags["mlflow.source.name"] == sys.argv[0]
    assert run.data.tags["mlflow.source.git.commit"] == "a1b2"
    assert run.data.tags["mlflow.note.content"] == "Verdict: does not beat naive"
    import mlflow.data

    (entry,) = run.inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest) == ("AAPL", "0123456789abcdef")
    assert mlflow.data.get_source(entry).to_dict() == {"tags": {"source": "sample"}}
    client = connect(store, patience_s=60.0)
    (output,) = run.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert model.source_run_id == run.info.run_id
    assert str(model.status) == "READY"
    # Sent again, as sync does after a connection that broke: nothing is there twice.
    record = Record.load(directory)
    record.epochs = []
    delivery.deliver(client, record, directory)
    (again,) = runs(store)
    assert len(again.outputs.model_outputs) == len(again.inputs.dataset_inputs) == 1


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_a_run_that_ends_badly_says_so(
    store: str, directory: Path, runs: Callable[..., list[Any]], status: Any
) -> None:
    one = _tracker(store)
    one.start(directory=directory, name="run", params={}, tags={})
    one.finish(status=status, metrics={})
    assert [run.info.status for run in runs(store)] == [status]


def test_interrupted_before_the_run_was_open(
    store: str, directory: Path, runs: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = _tracker(store)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tracker, "connect", interrupted)
        with pytest.raises(KeyboardInterrupt):
            one.start(directory=directory, name="run", params={"seed": 1}, tags={})
    one.finish(status="KILLED", metrics={})
    (run,) = runs(store)
    assert run.info.status == "KILLED"
    assert run.data.params == {"seed": "1"}
    one.finish(status="KILLED", metrics={})
    assert len(runs(store)) == 1


def test_finish_without_start_is_nothing(store: str) -> None:
    _tracker(store).finish(status="KILLED", metrics={})
    assert connect(store, patience_s=60.0).get_experiment_by_name("forecast") is None


def test_two_trackers_do_not_mix(
    store: str, make_directory: Callable[[str], Path], runs: Callable[..., list[Any]]
) -> None:
    one, two = _tracker(store), _tracker(store)
    one.start(directory=make_directory("one"), name="one", params={"n": 1}, tags={})
    two.start(directory=make_directory("two"), name="two", params={"n": 2}, tags={})
    one.log_epoch(0, {"loss": 1.0})
    two.log_epoch(0, {"loss": 2.0})
    one.finish(status="FINISHED", metrics={"m": 1.0})
    assert two.run_id is not None
    two.finish(status="FAILED", metrics={"m": 2.0})
    # The same tracker again: nothing of the first run is left in it.
    one.start(directory=make_directory("three"), name="three", params={}, tags={})
    one.finish(status="FINISHED", metrics={})
    got = {run.info.run_name: (run.info.status, run.data.params, run.data.metrics) for run in runs(store)}
    assert got == {
        "one": ("FINISHED", {"n": "1"}, {"loss": 1.0, "m": 1.0}),
        "two": ("FAILED", {"n": "2"}, {"loss": 2.0, "m": 2.0}),
        "three": ("FINISHED", {}, {}),
    }
    import mlflow

    assert mlflow.active_run() is None


def test_epochs_go_out_together_not_one_by_one(
    store: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    send = tracker.delivery.send_epochs
    monkeypatch.setattr(
        tracker.delivery,
        "send_epochs",
        lambda client, run, epochs: calls.append(len(epochs)) or send(client, run, epochs),
    )
    one = _tracker(store)
    one.start(directory=directory, name="run", params={}, tags={})
    for epoch in range(50):
        one.log_epoch(epoch, {"loss": 1.0})
    assert calls == []
    monkeypatch.setattr(one, "_next_flush", 0.0)  # some seconds later
    one.log_epoch(50, {"loss": 1.0})
    one.log_epoch(51, {"loss": 1.0})
    assert calls == [51]
    one.finish(status="FINISHED", metrics={})
    assert calls == [51, 2]  # the last epoch and the final figures


def test_a_thousand_metrics_and_more_pass_the_limits_of_a_call(
    store: str, directory: Path, runs: Callable[..., list[Any]]
) -> None:
    one = _tracker(store)
    params = {f"p{i}": "é" * 7000 for i in range(101)}
    one.start(directory=directory, name="run", params=params, tags={f"t{i}": "x" for i in range(120)})
    for epoch in range(120):
        one.log_epoch(epoch, {f"m{i}": float(epoch) for i in range(10)})
    one.finish(status="FINISHED", metrics={})
    (run,) = runs(store)
    assert len(run.data.params) == 101
    assert run.data.metrics == {f"m{i}": 119.0 for i in range(10)}


@pytest.mark.slow
def test_runs_of_dead_processes_are_ended_and_those_of_living_ones_are_not(
    store: str,
    make_directory: Callable[[str], Path],
    runs: Callable[..., list[Any]],
    python: Callable[..., warm.Process],
) -> None:
    dead = python(HANG, store, make_directory("dead"))
    assert dead.stdout is not None
    assert dead.stdout.readline() == "started\n"
    alive = _tracker(store)
    alive.start(directory=make_directory("alive"), name="alive", params={}, tags={})
    assert [run.info.status for run in runs(store)] == ["RUNNING", "RUNNING"]
    dead.kill()
    dead.communicate()
    other = _tracker(store)
    other.start(directory=make_directory("other"), name="other", params={}, tags={})
    assert {run.info.run_name: run.info.status for run in runs(store)} == {
        "dead": "KILLED",
        "alive": "RUNNING",
        "other": "RUNNING",
    }


def test_jobs_inside_a_sweep_directory_are_not_its_files(
    store: str, directory: Path, runs: Callable[..., list[Any]]
) -> None:
    job = directory / "0"
    job.mkdir()
    (job / "config.yaml").write_text("seed: 1\n")
    child = _tracker(store)
    child.start(directory=job, name="job", params={}, tags={})
    child.finish(status="FINISHED", metrics={})
    parent = _tracker(store)
    parent.start(directory=directory, name="sweep", params={}, tags={})
    parent.finish(status="FINISHED", metrics={})
    client = connect(store, patience_s=60.0)
    files = {run.info.run_name: client.list_artifacts(run.info.run_id) for run in runs(store)}
    assert sorted(file.path for file in files["sweep"]) == ["config.yaml", "metrics.json", "plots"]
    assert [file.path for file in files["job"]] == ["config.yaml"]
