"""tuner= and cluster=: every option holds together, and a search on real bars ends as it should."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hydra_plugins.hydra_ray_launcher._config
import pytest
from commands import REPOSITORY, SMALL, run
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_class, instantiate

import hydra_plugins.ray_tune_sweeper.ray_tune_sweeper  # noqa: F401  both register before Hydra's fixture looks

CONF = REPOSITORY / "conf"
TUNERS = sorted(path.stem for path in (CONF / "tuner").glob("*.yaml") if path.stem != "none")


@contextmanager
def composed(*overrides: str) -> Iterator[tuple[Any, Any]]:
    """The config of a sweep, and what knows the groups' options."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("run", list(overrides), run_mode=RunMode.MULTIRUN)
        HydraConfig.instance().set_config(config)
        yield config, loader


@pytest.mark.usefixtures("hydra_restore_singletons")
@pytest.mark.parametrize("tuner", TUNERS)
def test_every_tuner_can_be_built(tuner):
    from hydra_plugins.ray_tune_sweeper._settings import Settings, read_space
    from hydra_plugins.ray_tune_sweeper._sweep import built_scheduler, built_search

    with composed(f"tuner={tuner}", "objective.metric=val_mae", "seed=7") as (config, loader):
        sweeper: Any = instantiate(config.hydra.sweeper)
        settings = Settings.of(sweeper.keys, config)
        space = read_space(settings.params, [], loader, name=settings.name("params"))
        search, trials = built_search(settings, space), space.trials(settings.search, settings.num_samples)
        scheduler = built_scheduler(settings)
    assert (settings.metric, settings.mode, settings.seed) == ("val_mae", "min", 7)
    assert settings.init["address"] == "local"
    assert settings.names["address"] == "cluster.address"
    assert settings.name("num_samples") == "tuner.num_samples"
    tried = {axis.key for axis in space.axes}
    assert {"data", "model.hidden_size", "model.num_layers", "data.seq_len", "data.batch_size"} <= tried
    assert "trainer.learning_rate" in tried
    strategies = next(axis.values for axis in space.axes if axis.key == "data")
    assert {"no_processing_single", "no_processing_multiple", "range_single", "range_multiple"} == set(
        strategies
    )
    expected = {"grid": 128, "random": 24, "asha": 32, "hyperband": 32, "optuna": 24}
    assert trials == expected[tuner]
    assert (scheduler is None) == (tuner not in ("asha", "hyperband"))
    assert (type(search).__name__ == "OptunaSearch") == (tuner == "optuna")


@pytest.mark.usefixtures("hydra_restore_singletons")
def test_what_a_model_does_not_have_is_not_tried():
    from hydra_plugins.ray_tune_sweeper._job import Composer
    from hydra_plugins.ray_tune_sweeper._settings import Settings, read_space

    def tried(*typed: str) -> set[str]:
        params = Settings.of(instantiate(config.hydra.sweeper).keys, config).params
        space = read_space(params, typed, loader, name="tuner.space")
        return {axis.key for axis in space.fitting(composer, tell=heard.append).axes}

    heard: list[str] = []
    with composed("tuner=random") as (config, loader):
        composer = Composer(loader, config)
        assert {"model.hidden_size", "model.num_layers"} <= tried("model=gru")
        assert not heard
        assert tried("model=har,lstm") == {
            "data",
            "data.seq_len",
            "data.batch_size",
            "model",
            "trainer.learning_rate",
        }
        assert "model.hidden_size" in tried("model=har", "model.hidden_size=1,2"), (
            "refused later: it was typed"
        )
    assert heard[0].startswith("model.hidden_size, model.num_layers: not tried")


@pytest.mark.usefixtures("hydra_restore_singletons")
@pytest.mark.parametrize("cluster", ["local", "ray"])
def test_one_group_says_where_ray_lives_for_launcher_and_tuner(cluster):
    keys = [f"cluster={cluster}", "cluster.cpus_per_job=2", "cluster.gpus_per_job=0.5"]
    with composed(*keys, "tuner=random") as (config, _):
        init, remote = config.hydra.launcher.ray.init, config.hydra.launcher.ray.remote
        bases = {
            f"{base.__module__}.{base.__name__}" for base in get_class(config.hydra.launcher._target_).__mro__
        }
        assert "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher" in bases, "the official one"
        assert init.address == config.cluster.address == {"local": "local", "ray": "auto"}[cluster]
        assert init.object_store_memory is None
        assert (remote.num_cpus, remote.num_gpus, remote.max_retries) == (2, 0.5, 5)
        assert (config.hydra.sweeper.resources.cpus, config.hydra.sweeper.resources.gpus) == (2, 0.5)
        assert ("num_cpus" in init) == (cluster == "local"), "a cluster that is there has the cores it has"


REFUSED = {
    "a key that does not exist": (
        ["tuner=random", "model.hiden_size=8,16"],
        "model.hiden_size: no such key; did you mean model.hidden_size?",
    ),
    "a space that is gone": (["tuner=random", "~tuner.space"], "Interpolation key 'tuner.space' not found"),
    "no space": (["tuner=random", "tuner.space=null"], "tuner.space: the space is empty"),
    "braces": (["tuner=grid", "tuner.space={}"], "tuner.space: the space is empty"),
    "an interval in a grid": (
        ["tuner=grid", "trainer.learning_rate=interval(1e-4,1e-2)"],
        "trainer.learning_rate: an interval has no end of points",
    ),
    "an option that does not exist": (["tuner=random", "data=range_single,range_sinlge"], "data=range_sinlge: no such option"),
    "no number": (["tuner=random", "tuner.num_samples=many"], "tuner.num_samples=many: must be a whole number >= 1"),
    "a wrong argument": (["tuner=asha", "tuner.reduction_factor=1"], "hydra.sweeper.scheduler: ray.tune.schedulers.ASHA"),
    "population based training": (["tuner=pbt"], "tuner=pbt: no such option"),
    "no cluster": (
        ["cluster=ray", "cluster.address=127.0.0.1:1", "seed=0,1"],
        "cluster.address=127.0.0.1:1: does not answer",
    ),
    "no cluster for the tuner": (
        ["cluster=ray", "cluster.address=127.0.0.1:1", "tuner=random"],
        "cluster.address=127.0.0.1:1: does not answer",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("overrides", "said"), REFUSED.values(), ids=REFUSED)
def test_mistakes_are_said_in_a_line_and_nothing_is_left(tmp_path, overrides, said):
    done = run(tmp_path, "-m", *overrides, "hydra.sweep.dir=sweep")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(said), done.err
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "override", ["tuner=asha", "tuner.num_samples=3", "cluster=ray", "cluster.cpus_per_job=2"]
)
def test_a_tuner_without_a_sweep_is_not_passed_over_in_silence(tmp_path, override):
    needed = ["tuner=random"] if override == "tuner.num_samples=3" else []
    done = run(tmp_path, *needed, override)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"{(needed or [override])[0]}: applies to a sweep alone; add -m\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("ray_cluster")
def test_a_search_stops_the_hopeless(tmp_path):
    """Learning rates of zero or so learn nothing: one of two stops at the first rung, and none at the last epoch."""
    command = (
        "-m", *SMALL, "tuner=asha", "tracker=none", "champion=none", "baselines=none", "trainer.max_epochs=4",
        "trainer.patience=null", "trainer.start=zero", "tuner.grace_period=1", "tuner.reduction_factor=2", "tuner.max_concurrent=1",
        "++tuner.space={trainer.learning_rate: 'choice(1e-2,1e-9,2e-9,3e-9)'}", "hydra.sweep.dir=sweep",
    )  # fmt: skip
    done = run(tmp_path, *command)
    assert done.code == 0, done.err
    jobs = [json.loads(path.read_text()) for path in sorted((tmp_path / "sweep").glob("*/job.json"))]
    assert [job["number"] for job in jobs] == [0, 1, 2, 3]
    states = {job["status"]: job["epochs"] for job in jobs}
    assert set(states) == {"finished", "pruned"}
    assert states["finished"] == 4
    assert all(job["epochs"] < 4 for job in jobs if job["status"] == "pruned")
    assert len({job["process"]["forecast.pid"] for job in jobs}) == 1, "imports are paid once"
    best = min(job["objective"] for job in jobs)
    assert any(job["objective"] == best and job["status"] == "finished" for job in jobs)


@pytest.mark.usefixtures("ray_cluster")
def test_a_sweep_whose_worker_dies_says_so_and_is_not_interrupted(tmp_path):
    layers = "'choice([Flatten,Linear],[Flatten,{_target_: sweep_parts.Fatal},Linear])'"
    command = (
        "-m",
        *SMALL,
        "tuner=grid",
        "tuner.max_concurrent=1",
        "tracker=none",
        "champion=none",
        "baselines=none",
    )
    space = f"++tuner.space={{model.layer_config: {layers}}}"
    done = run(tmp_path, *command, space, "hydra.sweep.dir=sweep")
    assert done.code == 1, done.err
    assert "1 of 2 jobs failed:\n  job 1 (" in done.err
    assert "its worker died 2 times; out of memory or killed?" in done.err
    assert "interrupted" not in done.out + done.err
    jobs = [json.loads(path.read_text()) for path in sorted((tmp_path / "sweep").glob("*/job.json"))]
    assert [(job["status"], job["attempts"]) for job in jobs] == [("finished", 1), ("failed", 2)]


def test_the_sweep_benchmark_can_be_asked_for_help(monkeypatch, capsys):
    from benchmarks import sweep

    monkeypatch.setattr("sys.argv", ["sweep", "--help"])
    with pytest.raises(SystemExit, match="0"):
        sweep.main()
    shown = capsys.readouterr().out
    assert "python -m benchmarks.sweep" in shown
    assert all(part in shown for part in sweep.PARTS)
