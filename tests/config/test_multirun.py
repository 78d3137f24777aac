"""What is said of a sweep before its first job, and that nothing is begun before that."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from forecast.config import multirun
from forecast.config.multirun import JobContext, Launch, SweepCallback, SweepContext

TUNE = {
    "_target_": "hydra_plugins.ray_tune_sweeper.ray_tune_sweeper.RayTuneSweeper",
    "params": "${tuner.space}",
}
BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def task(config):
    return config.seed


class Recorder:
    """Notes what a session is called with."""

    def __init__(self):
        self.begun = []

    def begin(self, context: SweepContext):
        self.begun.append(context)
        return run_job

    def end(self, error):
        raise NotImplementedError


def run_job(job: JobContext, config, task):
    raise NotImplementedError


def announce(monkeypatch, *, directory="here", overrides=("seed=1,2",), **sweeper):
    """The config of a sweep after the callback, its session, and the job that launchers would call."""
    session = Recorder()
    launch = Launch(task, session=lambda: session)
    monkeypatch.setattr(multirun, "_current", launch)
    sweep = {"dir": directory, "subdir": "0"}
    given = {"_target_": BASIC, "params": None} | sweeper
    hydra = {"sweep": sweep, "sweeper": given, "overrides": {"hydra": [], "task": list(overrides)}}
    tuner = {"tuner": {"space": {"model": "choice(a,b,c)"}}} if "search" in sweeper else {}
    config = OmegaConf.create({"seed": 0, **tuner, "hydra": hydra})
    SweepCallback().on_multirun_start(config=config)
    assert session.begun == []
    return config, session, launch.job()


@pytest.mark.parametrize(
    ("written", "root"),
    [
        ("here", "here"),
        ("multirun/${seed}/now", "multirun"),
        ("sweeps/of-${seed}", "sweeps"),
        ("${seed}", "."),
    ],
)
def test_the_directory_is_absolute_and_the_root_is_what_does_not_change(tmp_path, monkeypatch, written, root):
    monkeypatch.chdir(tmp_path)
    config, session, job = announce(monkeypatch, directory=written)
    pickle.dumps(job)
    (context,) = session.begun
    assert context.directory == Path(tmp_path, written.replace("${seed}", "0"))
    assert context.root == Path(tmp_path, root)
    assert context.folder == tmp_path
    assert config.hydra.overrides.hydra == [f"hydra.sweep.dir='{context.directory}'"]
    assert context.config == {"seed": 0}


@pytest.mark.parametrize(
    ("overrides", "sweeper", "total"),
    [
        (["seed=1,2", "model=a,b,c", "data.seq_len=5"], {}, 6),
        (["seed=range(4)"], {}, 4),
        ([], {}, 1),
        (["seed=1,2"], {"params": {"model": "a,b"}}, 4),
        (["seed=interval(0,1)"], {}, None),
        (["seed=range(9)"], TUNE | {"search": "random", "num_samples": 5}, 5),
        (["seed=3"], TUNE | {"search": "random", "num_samples": 5}, 3),
        (["seed=interval(0,1)"], TUNE | {"search": {"_target_": "a.Search"}, "num_samples": 5}, 5),
        (["seed=1,2"], TUNE | {"search": "grid", "num_samples": None}, 6),
        (["++tuner.space={seed: 'range(4)'}"], TUNE | {"search": "grid", "num_samples": None}, 4),
        (["seed=interval(0,1)"], TUNE | {"search": "grid", "num_samples": None}, None),
        (["seed=1,2"], TUNE | {"search": "random", "num_samples": "many"}, None),
    ],
    ids=str,
)
def test_how_many_jobs_will_come_of_it(monkeypatch, overrides, sweeper, total):
    from hydra.core.global_hydra import GlobalHydra

    monkeypatch.setattr(GlobalHydra, "config_loader", lambda self: None)
    _, session, job = announce(monkeypatch, overrides=overrides, **sweeper)
    pickle.dumps(job)
    assert session.begun[0].total == total


def test_a_job_begins_the_sweep_once_when_it_is_sent_away(monkeypatch):
    _, session, job = announce(monkeypatch)
    sent = [pickle.loads(pickle.dumps(job)) for _ in range(2)]
    assert len(session.begun) == 1
    assert [job.args for job in sent] == [(run_job, task)] * 2


SESSION = """
class Session:
    def begin(self, context):
        print("begun", context.total)
        return run_job
    def end(self, error):
        print("ended", type(error).__name__)
        return 7


def run_job(job, config, task):
    if job.number == 1:
        raise ZeroDivisionError
    print("job", *job.overrides, job.directory.name)
    return task(config)
"""


def test_a_session_runs_the_jobs_and_gives_the_exit_code_whatever_they_end_of(start, project):
    (project / "session.py").write_text(SESSION)
    done = start("-m", "seed=1,2", "hydra.sweep.dir=sweep")
    assert done.returncode == 7
    lines = done.stdout.splitlines()
    assert (lines[:2], lines[-1]) == (["begun 2", "job seed=1 0"], "ended ZeroDivisionError")
    refused = start("-m", "seed=1,2", "nope=3", "hydra.sweep.dir=other")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert not (project / "other").exists()
