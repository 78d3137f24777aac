"""Whole sweeps in one process: what they leave, what they say, and what they do when they are issued again."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from commands import SMALL, Done, run

from forecast.config.multirun import SweepContext
from forecast.sweep.record import JobResult, Jobs
from forecast.sweep.session import SweepSession
from forecast.track.connection import connect

HERE = ("-m", "hydra/launcher=basic", "champion=none", "baselines=none", *SMALL)


def sweep(folder: Path, *arguments: str, tracked: bool = False) -> Done:
    return run(folder, *HERE, *([] if tracked else ["tracker=none"]), *arguments)


def directory_of(done: Done) -> Path:
    return Path(done.out.splitlines()[-1])


def jobs(done: Done) -> list[JobResult]:
    return Jobs(directory_of(done)).read()


def recorded(store: str) -> tuple[list[Any], list[Any]]:
    """Runs of sweeps, and of jobs, oldest first."""
    client = connect(store, patience_s=60.0)
    experiment = client.get_experiment_by_name("forecast")
    runs = list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"]))
    sweeps = [run for run in runs if run.data.tags.get("kind") == "sweep"]
    return sweeps, [run for run in runs if run not in sweeps]


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_sweep_and_the_same_again(tmp_path, store):
    first = sweep(tmp_path, "seed=1,2", tracked=True)
    assert first.code == 0, first.err
    directory = directory_of(first)
    assert left(directory) >= {"0", "1", "leaderboard.csv", "leaderboard.html", "sweep.json", "multirun.yaml"}
    assert [job.status for job in jobs(first)] == ["finished", "finished"]
    assert "2 of 2 jobs over (2 finished)" in first.err
    rows = list(csv.DictReader((directory / "leaderboard.csv").read_text().splitlines()))
    metrics = json.loads((directory / rows[0]["number"] / "metrics.json").read_text())
    assert (rows[0]["best"], float(rows[0]["objective"])) == ("true", metrics[rows[0]["metric"]])
    assert float(rows[0]["objective"]) <= float(rows[1]["objective"])

    (held,), children = recorded(store)
    assert (held.info.status, held.data.metrics["jobs_finished"]) == ("FINISHED", 2)
    assert [child.info.status for child in children] == ["FINISHED", "FINISHED"]
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {held.info.run_id}
    assert {job.run_id for job in jobs(first)} == {child.info.run_id for child in children}
    files = {file.path for file in connect(store, patience_s=60.0).list_artifacts(held.info.run_id)}
    assert files >= {"leaderboard.csv", "leaderboard.html"}
    assert not files & {"0", "1", ".runs"}
    notes = [run.data.tags["mlflow.note.content"] for run in (held, *children)]
    assert "over seeds" in notes[0]
    assert all(note.partition("\n\n")[2].startswith("```text\nAAPL, ") for note in notes[1:])

    again = sweep(tmp_path, "seed=1,2,3", tracked=True)
    assert [job.status for job in jobs(again)] == ["reused", "reused", "finished"]
    assert [job.directory for job in jobs(again)][:2] == [str(directory / "0"), str(directory / "1")]
    assert [job.objective for job in jobs(again)][:2] == [job.objective for job in jobs(first)]
    (held, new), children = recorded(store)
    assert [child.info.status for child in children] == ["FINISHED"] * 3
    # A sweep that finished keeps its children.
    parents = [child.data.tags["mlflow.parentRunId"] for child in children]
    assert parents == [held.info.run_id, held.info.run_id, new.info.run_id]

    third = sweep(tmp_path, "seed=1,2,3", tracked=True)
    assert [job.status for job in jobs(third)] == ["reused"] * 3
    assert [len(runs) for runs in recorded(store)] == [2, 3]  # nothing was run: nothing is recorded


def test_the_runs_of_a_killed_sweep_are_taken_over_by_the_one_that_completes_it(tmp_path, store):
    sweep(tmp_path, "seed=1", tracked=True)
    client = connect(store, patience_s=60.0)
    (killed,), (child,) = recorded(store)
    client.set_terminated(killed.info.run_id, "KILLED")
    sweep(tmp_path, "seed=1", tracked=True)
    (_, taker), (child,) = recorded(store)
    assert (taker.info.status, child.data.tags["mlflow.parentRunId"]) == ("FINISHED", taker.info.run_id)


def test_a_run_whose_end_mlflow_never_heard_of_is_said_it_late(tmp_path, store):
    first = sweep(tmp_path, "seed=1", tracked=True)
    client = connect(store, patience_s=60.0)
    _, (child,) = recorded(store)
    client.update_run(child.info.run_id, status="RUNNING")
    path = directory_of(first) / "0" / "mlflow.json"
    record = json.loads(path.read_text())
    # As a process leaves it that dies between the manifest and its last word to MLflow.
    record.update(state="running", status=None, end_time=None)
    record["tags"]["forecast.pid"] = "4194304"
    path.write_text(json.dumps(record))
    sweep(tmp_path, "seed=1", tracked=True)
    _, (child,) = recorded(store)
    assert child.info.status == "FINISHED"


def test_the_same_directory_again(tmp_path):
    first = sweep(tmp_path, "seed=1,2", "hydra.sweep.dir=here")
    assert directory_of(first) == tmp_path / "here"
    before = (tmp_path / "here" / "0" / "manifest.json").stat().st_mtime_ns
    again = sweep(tmp_path, "seed=1", "hydra.sweep.dir=here")
    assert [job.status for job in Jobs(tmp_path / "here", sweep=json.loads(
        (tmp_path / "here" / "sweep.json").read_text())["sweep"]).read()] == ["reused"]  # fmt: skip
    assert (tmp_path / "here" / "0" / "manifest.json").stat().st_mtime_ns == before
    assert "1 of 1 jobs over (1 reused)" in again.err


def test_what_was_altered_is_run_again(tmp_path):
    first = sweep(tmp_path, "seed=1")
    (directory_of(first) / "0" / "metrics.json").write_text("{}")
    assert [job.status for job in jobs(sweep(tmp_path, "seed=1"))] == ["finished"]


def test_two_alike_in_one_sweep_run_once(tmp_path):
    done = sweep(tmp_path, "data=no_processing_single,default")
    assert [job.status for job in jobs(done)] == ["finished", "reused"]


def test_combinations_that_exclude_themselves_are_left_out_and_listed(tmp_path):
    done = sweep(tmp_path, "data=range_single,range_multiple", "data.tickers=[AAPL],[AAPL,IBM]")
    assert done.code == 0, done.err
    assert [job.status for job in jobs(done)] == ["finished", "skipped", "skipped", "finished"]
    assert "2 of 4 jobs skipped:\n  job 1 (" in done.out
    assert "a single strategy takes exactly 1 ticker" in done.out
    assert run(tmp_path, *SMALL, "data=range_single", "data.tickers=[AAPL,IBM]").code == 2


def test_strategies_that_forecast_the_same_prices_are_ranked_and_others_are_not(tmp_path):
    done = sweep(tmp_path, "data=no_processing_single,range_multiple")
    assert sum(row["best"] == "true" for row in _rows(done)) == 1
    done = sweep(tmp_path, "data.tickers=[AAPL],[IBM]", "objective.metric=val_rmse")
    assert all(row["best"] == "false" for row in _rows(done))
    assert "differ in tickers, so it does not rank them; use objective.metric=val_theil_u" in done.out


def _rows(done: Done) -> list[dict[str, str]]:
    return list(csv.DictReader((directory_of(done) / "leaderboard.csv").read_text().splitlines()))


def test_a_failed_job_is_named_the_others_finish_and_the_exit_code_says_it(tmp_path):
    done = sweep(tmp_path, "model.layer_config=[Linear],[Flatten,Linear]")
    assert done.code == 2  # all that failed were mistakes
    assert [job.status for job in jobs(done)] == ["failed", "finished"]
    assert "1 of 2 jobs failed:\n  job 0 (" in done.err
    assert "layer_config[0]=Linear" in (directory_of(done) / "0" / "run.log").read_text()
    done = sweep(
        tmp_path, "trainer.learning_rate=1e38,0.001", "trainer.gradient_clip=null", "data.anchor=none"
    )
    assert done.code == 1, done.err
    assert [job.status for job in jobs(done)] == ["failed", "finished"]
    assert "TrainingDivergedError" in done.err
    assert "Traceback" in (directory_of(done) / "0" / "run.log").read_text()


@pytest.mark.parametrize(
    "mistake",
    ["data.seq_len=0,-1", "model=lstm,lsmt", "data.tickers=[NOPE],[NADA]", "model.hiden_size=1,2"],
)
def test_a_sweep_of_mistakes_leaves_nothing(tmp_path, mistake):
    done = sweep(tmp_path, mistake, tracked=True)
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    assert left(tmp_path) == set()


def test_a_sweep_without_anything_to_sweep_over_is_one_job(tmp_path):
    assert [job.status for job in jobs(sweep(tmp_path))] == ["finished"]


def test_a_sweep_that_only_checks_data(tmp_path):
    done = run(
        tmp_path,
        "-m",
        "hydra/launcher=basic",
        "trainer=none",
        "tracker=none",
        "data=range_single,range_panel",
    )
    assert done.code == 0, done.err
    assert [(job.status, job.objective) for job in jobs(done)] == [("finished", None)] * 2


def test_a_store_that_does_not_answer_does_not_stop_a_sweep(tmp_path):
    done = sweep(tmp_path, "seed=1,2", "tracker.uri=http://127.0.0.1:9", "tracker.patience_s=1", tracked=True)
    assert done.code == 0, done.err
    assert [job.status for job in jobs(done)] == ["finished", "finished"]
    assert "tracking is down" in done.err


def test_a_champion_that_cannot_be_chosen_does_not_hide_the_sweep(tmp_path):
    arguments = [argument for argument in HERE if argument != "champion=none"]
    done = run(tmp_path, *arguments, "tracker=none", "data.tickers=[AAPL],[IBM]", "objective.metric=val_rmse")
    assert done.code == 0, done.err
    assert "no new champion: objective.metric=val_rmse" in done.err
    assert not (tmp_path / "outputs").exists()
    done = run(tmp_path, *arguments, "tracker=none", "seed=1")
    assert (tmp_path / "outputs" / "champion" / "manifest.json").is_file(), done.err
    assert directory_of(done).parent.parent == tmp_path / "multirun"


def test_a_second_sweep_in_a_directory_waits_for_the_first(tmp_path, config, capsys):
    config.tracker = config.champion = None
    context = SweepContext(
        directory=tmp_path, root=tmp_path, folder=tmp_path, overrides=[], total=0, config=config
    )
    first, second = SweepSession(), SweepSession()
    first.begin(context)
    waiting = Thread(target=lambda: (second.begin(context), second.end(None)))
    waiting.start()
    waiting.join(timeout=0.3)
    assert waiting.is_alive()
    assert (tmp_path / "sweep.json").read_text().count(first.run.sweep) == 1
    first.end(None)
    waiting.join(timeout=30)
    assert not waiting.is_alive()
    assert f"{tmp_path}: another sweep is at work there; waiting for it to end" in capsys.readouterr().err
    assert not list(tmp_path.glob(".sweep*"))
