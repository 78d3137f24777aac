"""What is told of a sweep before its first job, and that nothing is begun before that."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from forecast.config.multirun import Announce, JobFacts, SweepFacts, SweepJob, Watch
from forecast.errors import UserError

TUNE = {
    "_target_": "hydra_plugins.ray_tune_sweeper.ray_tune_sweeper.RayTuneSweeper",
    "params": "${tuner.space}",
}
BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def task(config):
    return config.seed


class Recorder:
    """Notes what a sweep is told."""

    def __init__(self):
        self.begun, self.ended = [], []

    def begin(self, facts: SweepFacts):
        self.begun.append(facts)
        return conduct

    def end(self, error):
        self.ended.append(error)
        return 7


def conduct(facts: JobFacts, config, task):
    raise NotImplementedError


def announce(watch: Watch, *, directory="here", overrides=("seed=1,2",), **sweeper):
    sweep = {"dir": directory, "subdir": "0"}
    given = {"_target_": BASIC, "params": None} | sweeper
    hydra = {"sweep": sweep, "sweeper": given, "overrides": {"hydra": [], "task": list(overrides)}}
    tuner = {"tuner": {"space": {"model": "choice(a,b,c)"}}} if "search" in sweeper else {}
    config = OmegaConf.create({"seed": 0, **tuner, "hydra": hydra})
    with watch.over():
        Announce().on_multirun_start(config=config)
        watch.conduct()
    return config


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
    sweep = Recorder()
    config = announce(Watch(lambda: sweep), directory=written)
    (facts,) = sweep.begun
    assert facts.directory == Path(tmp_path, written.replace("${seed}", "0"))
    assert facts.root == Path(tmp_path, root)
    assert config.hydra.overrides.hydra == [f"hydra.sweep.dir='{facts.directory}'"]
    assert facts.config == {"seed": 0}


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
    sweep = Recorder()
    announce(Watch(lambda: sweep), overrides=overrides, **sweeper)
    assert sweep.begun[0].total == total


def test_a_sweep_that_was_begun_ends_whatever_it_ended_of():
    sweep = Recorder()
    watch = Watch(lambda: sweep)
    announce(watch)
    assert (watch.code, sweep.ended) == (7, [None])


def test_what_is_refused_before_the_first_job_is_raised():
    sweep = Recorder()
    watch = Watch(lambda: sweep)
    with pytest.raises(UserError, match="no such key"), watch.over():
        raise UserError("no such key")
    assert (watch.code, sweep.begun, sweep.ended) == (None, [], [])


def test_a_job_begins_the_sweep_when_it_is_sent_away():
    sweep = Recorder()
    watch = Watch(lambda: sweep)
    job = SweepJob(task=task, alone=task, conductor=watch.conduct)
    announce_only = Watch(None)
    assert announce_only.conduct() is None
    announce(watch)
    sent = pickle.loads(pickle.dumps(job))
    assert len(sweep.begun) == 1
    assert (sent.task, sent.conduct) == (task, conduct)
