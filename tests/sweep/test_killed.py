"""Sweeps that are killed with -9, in every part, and issued again: nothing is lost, nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import warm
from commands import RUN, environment, run

from forecast.bundle.manifest import is_finished
from forecast.sweep.record import JobResult, Jobs
from forecast.track import process
from forecast.track.connection import connect

# Long enough to be caught at it, but for seed 1; short when run again, see Patient.
JOB = (
    "data.period=2y",
    "model=linear",
    "model.layer_config=[Flatten,{_target_:sweep_parts.Patient,seed:${seed}},Linear]",
    "trainer.max_epochs=8",
    "trainer.patience=null",
    "baselines=none",
)
SEEDS = (1, 2, 3)
WAIT_S = 500.0
TESTS = Path(__file__).parents[1]
# Ray's two agents of a node look for the rest of it so long before they end.
AGENTS_WAIT = {"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}

pytestmark = pytest.mark.slow


def arguments_of(folder: Path, store: str, *more: str) -> list[str]:
    tracker = [f"tracker.uri={store}", f"tracker.experiment_name={folder.name}"]
    return ["-m", *JOB, *tracker, "champion=none", *more]


@contextmanager
def sweeping(folder: Path, arguments: list[str]) -> Iterator[warm.Process]:
    """A sweep in a process of its own."""
    said = folder / "said.txt"
    with said.open("w") as file:
        process_ = warm.Process(
            [sys.executable, str(RUN), *arguments],
            cwd=folder,
            env=environment(TESTS) | AGENTS_WAIT,
            stdout=file,
            stderr=file,
        )
    try:
        yield process_
    finally:
        process_.kill()
        process_.wait()


def jobs(folder: Path) -> list[JobResult]:
    """Of the latest issue."""
    issues = sorted(
        folder.glob("multirun/*/*/sweep.json"), key=lambda path: json.loads(path.read_text())["began"]
    )
    return Jobs(issues[-1].parent).read() if issues else []


def until(found: Callable[[], Any], process_: warm.Process, folder: Path) -> Any:
    """What is found, once it is, while the sweep goes on."""
    deadline = time.monotonic() + WAIT_S
    while not (answer := found()):
        assert process_.poll() is None, (folder / "said.txt").read_text()
        assert time.monotonic() < deadline, (folder / "said.txt").read_text()
        time.sleep(0.05)
    return answer


def under_way(folder: Path, *, besides: int) -> JobResult | None:
    """A job that trains, once so many others have finished."""
    found = jobs(folder)
    if sum(job.status == "finished" for job in found) < besides:
        return None
    return next((job for job in found if job.status == "running" and job.epochs), None)


def done_in(folder: Path) -> list[str]:
    """Directories that hold a finished run, whether or not the job came to say so."""
    return sorted(
        str(path.parent) for path in folder.glob("multirun/*/*/*/job.json") if is_finished(path.parent)
    )


def kill(job: JobResult) -> None:
    os.kill(int(job.process[process.PID]), signal.SIGKILL)


def ray_processes(driver: int) -> set[int]:
    """Every process below one."""
    below: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        below.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, new = set(), [driver]
    while new:
        children = below.get(new.pop(), [])
        found.update(children)
        new += children
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def is_agent(pid: int) -> bool:
    """Whether it is one of Ray's two agents of a node, which do no work and end some time after it."""
    try:
        return (
            Path(f"/proc/{pid}/cmdline")
            .read_bytes()
            .startswith((b"ray::DashboardAgent", b"ray::RuntimeEnvAgent"))
        )
    except OSError:
        return False


def until_gone(processes: set[int]) -> None:
    deadline = time.monotonic() + WAIT_S
    while any(map(alive, processes)):
        assert time.monotonic() < deadline, "Ray outlived the sweep"
        time.sleep(0.05)


def recorded(folder: Path, store: str) -> tuple[list[Any], list[Any]]:
    """Runs in MLflow: those of sweeps, those of jobs."""
    client = connect(store, patience_s=60.0)
    experiment = client.get_experiment_by_name(folder.name)
    runs = list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"]))
    sweeps = [run for run in runs if run.data.tags.get("kind") == "sweep"]
    return sweeps, [run for run in runs if run not in sweeps]


def check_records(folder: Path, store: str, *, number: int) -> None:
    """Every job finished once, under one sweep that finished; nothing still running."""
    sweeps, runs = recorded(folder, store)
    finished = [run for run in runs if run.info.status == "FINISHED"]
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    assert len({run.data.tags["identity"] for run in finished}) == len(finished) == number
    assert [run.info.status for run in sweeps] in (["FINISHED"], ["KILLED", "FINISHED"])
    assert {run.data.tags["mlflow.parentRunId"] for run in finished} == {sweeps[-1].info.run_id}


def without_seconds(directory: str | Path) -> dict[str, Any]:
    metrics = json.loads((Path(directory) / "metrics.json").read_text())
    return {name: value for name, value in metrics.items() if name != "seconds"}


def test_a_worker_and_the_driver_are_killed_and_the_same_command_is_issued_again(tmp_path, store):
    arguments = arguments_of(tmp_path, store, "cluster.num_cpus=1", f"seed={','.join(map(str, SEEDS))}")
    with sweeping(tmp_path, arguments) as driver:
        first = until(lambda: under_way(tmp_path, besides=1), driver, tmp_path)  # the first job is too quick
        kill(first)
        again = until(
            lambda: next(
                (job for job in jobs(tmp_path) if job.number == first.number and job.attempts == 2), None
            ),
            driver,
            tmp_path,
        )
        assert again.process != first.process
        until(lambda: under_way(tmp_path, besides=1), driver, tmp_path)
        workers = ray_processes(driver.pid)
        assert len(workers) > 2
        finished = {job.directory for job in jobs(tmp_path) if job.status == "finished"}
        driver.kill()
        driver.wait()
    agents = set(filter(is_agent, workers))
    assert len(agents) <= 2
    until_gone(workers - agents)
    done = done_in(tmp_path)
    assert finished <= set(done)
    assert 1 <= len(done) < len(SEEDS)
    (tmp_path / "hurry").touch()
    with sweeping(tmp_path, arguments) as driver:
        assert driver.wait(WAIT_S) == 0, (tmp_path / "said.txt").read_text()
    issued = jobs(tmp_path)
    assert [job.number for job in issued] == list(range(len(SEEDS)))
    assert Counter(job.status for job in issued) == {"reused": len(done), "finished": len(SEEDS) - len(done)}
    assert done == sorted(job.directory for job in issued if job.status == "reused")
    check_records(tmp_path, store, number=len(SEEDS))
    said = (tmp_path / "said.txt").read_text()
    assert f"{len(SEEDS)} of {len(SEEDS)} jobs over" in said
    assert "ray" not in said.lower().replace(str(tmp_path), "")
    # A worker was used for several jobs: each gave what the same config gives alone, bit for bit.
    assert len({job.process[process.PID] for job in issued}) < len(SEEDS)
    done_by = [job.process[process.PID] for job in issued]
    later = [n for n, pid in enumerate(done_by) if pid in done_by[:n]]
    for job in [issued[n] for n in later[:1]]:
        alone = tmp_path / f"alone-{job.number}"
        single = run(tmp_path, *JOB, f"seed={SEEDS[job.number]}", "tracker=none", f"hydra.run.dir={alone}")
        assert single.code == 0, single.err
        assert without_seconds(alone) == without_seconds(job.directory)
        assert (alone / "forecasts.parquet").read_bytes() == Path(
            job.directory, "forecasts.parquet"
        ).read_bytes()
    until_gone(agents)


def test_a_trial_is_killed_the_tuner_is_interrupted_and_the_same_command_is_issued_again(
    tmp_path, store, ray_cluster
):
    space = "++tuner.space={seed: 'choice(1,2)'}"
    arguments = arguments_of(
        tmp_path,
        store,
        "cluster=ray",
        f"cluster.address={ray_cluster}",
        "tuner=grid",
        "tuner.max_concurrent=1",
        space,
    )
    with sweeping(tmp_path, arguments) as driver:
        first = until(lambda: under_way(tmp_path, besides=1), driver, tmp_path)  # the first job is too quick
        kill(first)
        until(lambda: any(job.attempts == 2 for job in jobs(tmp_path)), driver, tmp_path)
        until(lambda: under_way(tmp_path, besides=1), driver, tmp_path)
        driver.send_signal(signal.SIGINT)
        assert driver.wait(WAIT_S) == 130
    said = (tmp_path / "said.txt").read_text()
    assert "interrupted; the same command goes on from here" in said
    assert "Traceback" not in said
    done = [job for job in jobs(tmp_path) if job.status == "finished"]
    assert sorted(job.status for job in jobs(tmp_path)) == ["finished", "interrupted"]
    sweeps, runs = recorded(tmp_path, store)
    assert [run.info.status for run in sweeps] == ["KILLED"]
    assert {run.info.status for run in runs} == {"FINISHED", "KILLED"}
    (tmp_path / "hurry").touch()
    with sweeping(tmp_path, arguments) as driver:
        assert driver.wait(WAIT_S) == 0, (tmp_path / "said.txt").read_text()
    assert Counter(job.status for job in jobs(tmp_path)) == {"reused": len(done), "finished": 2 - len(done)}
    check_records(tmp_path, store, number=2)
