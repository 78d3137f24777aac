"""Trials as they run: what tasks report, return and raise, and what a sweep makes of it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from pathlib import Path

import pytest
from hydra.core.utils import JobStatus
from hydra.errors import ConfigCompositionException, MissingConfigException
from ray.tune.schedulers import FIFOScheduler

from hydra_plugins.ray_tune_sweeper import SweepError, TrialsFailed

GRID = ("hydra.sweeper.search=grid", "hydra.sweeper.metric=loss")
TOGETHER = "hydra.sweeper.max_concurrent=null"


def test_a_grid_runs_every_combination_each_in_its_folder(sweep, app):
    def task(config):
        from hydra.core.hydra_config import HydraConfig

        node = HydraConfig.get()
        record = {"number": node.job.num, "x": config.x, "width": config.net.width}
        with open(os.path.join(node.runtime.output_dir, "record.json"), "w") as file:
            json.dump(record, file)
        return config.x * config.net.width

    returns = sweep(task, *GRID, TOGETHER, "x=1,2", "net=glob(*)")
    expected = [(1, "large", 8), (1, "small", 1), (2, "large", 8), (2, "small", 1)]
    for number, (job, (x, net, width)) in enumerate(zip(returns, expected, strict=True)):
        assert job.overrides == [f"x={x}", f"net={net}"]
        assert (job.status, job.return_value) == (JobStatus.COMPLETED, x * width)
        record = json.loads((app / str(number) / "record.json").read_text())
        assert record == {"number": number, "x": x, "width": width}
        assert job.cfg.net.width == width


def test_a_scheduler_stops_the_hopeless_and_their_tasks_end_by_themselves(sweep, app):
    def task(config):
        from hydra_plugins.ray_tune_sweeper import TrialStopped, report

        done = 0
        try:
            for done in range(1, 10):
                report({"loss": config.x / done})
        except TrialStopped:
            with pytest.raises(TrialStopped):
                report({"loss": 0.0})  # over is over
            return
        finally:
            (app / f"epochs_{config.x}").write_text(str(done))

    asha = "{_target_: ray.tune.schedulers.ASHAScheduler, grace_period: 3, reduction_factor: 2, max_t: 100}"
    returns = sweep(task, *GRID, "x=1,2,3,4", f"hydra.sweeper.scheduler={asha}")
    epochs = {x: int((app / f"epochs_{x}").read_text()) for x in (1, 2, 3, 4)}
    assert epochs == {1: 9, 2: 3, 3: 3, 4: 3}
    assert [job.result.status for job in returns] == ["finished", "stopped", "stopped", "stopped"]
    assert [job.return_value for job in returns] == [1 / 9, 2 / 3, 3 / 3, 4 / 3]


def test_failures_are_named_and_the_others_finish(sweep, app):
    def task(config):
        if config.x == 2:
            raise ValueError("bad luck\nand more of it")
        (app / f"ran_{config.x}").touch()
        return config.x

    with pytest.raises(TrialsFailed) as raised:
        sweep(task, *GRID, "x=1,2,3")
    assert str(raised.value) == "1 of 3 trials failed:\n  trial 1 (x=2): ValueError: bad luck"
    assert [path.name for path in sorted(app.glob("ran_*"))] == ["ran_1", "ran_3"]


def test_what_does_not_fit_together_is_left_out_and_is_no_failure(sweep):
    def task(config):
        from hydra_plugins.ray_tune_sweeper import TrialSkipped

        if config.x == 2:
            raise TrialSkipped("two is none of ours")
        return config.x

    returns = sweep(task, *GRID, "x=1,2,3")
    assert [job.result.status for job in returns] == ["finished", "skipped", "finished"]
    assert returns[1].result.error == "two is none of ours"


def test_a_metric_that_no_trial_reports_is_said(sweep):
    def task(config):
        from hydra_plugins.ray_tune_sweeper import report

        report({"error": config.x, "epoch": 1})

    with pytest.raises(TrialsFailed, match=r"^every trial failed") as raised:
        sweep(task, *GRID, "x=1,2")
    assert "trial 0 (x=1): reported epoch, error, never loss" in str(raised.value)


def test_a_trial_that_gives_nothing_failed(sweep):
    with pytest.raises(TrialsFailed, match=r"trial 1 \(x=2\): neither reported loss nor returned a number"):
        sweep(lambda config: 1.0 if config.x == 1 else None, *GRID, "x=1,2")


def test_no_trial_at_all_is_no_success(sweep):
    def task(config):
        from hydra_plugins.ray_tune_sweeper import TrialSkipped

        raise TrialSkipped(f"{config.x} does not fit")

    with pytest.raises(TrialsFailed, match=r"^none of 2 trials was run: 1 does not fit; 2 does not fit$"):
        sweep(task, *GRID, "x=1,2")


def test_undefined_metrics_are_the_worst_there_are(sweep):
    def task(config):
        from hydra_plugins.ray_tune_sweeper import report

        for value in (1.0, float("nan"), None, float("inf")):
            report({"loss": value if config.x == 1 else 1.0})
        return float("nan") if config.x == 1 else 1.0

    optuna = "{_target_: ray.tune.search.optuna.OptunaSearch, seed: 0}"
    keys = (f"hydra.sweeper.search={optuna}", "hydra.sweeper.metric=loss", "hydra.sweeper.num_samples=4")
    returns = sweep(task, *keys, "x=choice(1,2)")
    assert {job.return_value for job in returns} <= {None, 1.0}
    assert [job.result.status for job in returns] == ["finished"] * 4


def test_a_search_algorithm_learns(sweep):
    optuna = "{_target_: ray.tune.search.optuna.OptunaSearch, seed: 1}"
    keys = (
        f"hydra.sweeper.search={optuna}",
        "hydra.sweeper.num_samples=24",
    )
    returns = sweep(
        lambda config: (config.x - 3) ** 2 + config.lr, *keys, "x=interval(-10,10)", "lr=choice(0,50)"
    )
    values = [job.return_value for job in returns]
    assert len(values) == 24
    assert sum(values[12:]) < sum(values[:12]) / 2


def test_the_time_budget_ends_a_trial_at_its_next_report():
    from hydra_plugins.ray_tune_sweeper import report
    from hydra_plugins.ray_tune_sweeper._job import Job
    from hydra_plugins.ray_tune_sweeper._trial import Ended, Goal, RunningTask

    class Endless:
        def run(self, _):
            for loss in itertools.count():
                report({"loss": loss})

    goal = Goal(metric="loss", mode="min", needed=True, deadline=time.time() - 1)
    task = RunningTask(jobs=Endless(), job=Job(0, (), "t"), goal=goal)
    assert task.next(None) == 0.0
    assert task.next(None) == Ended("stopped", 0.0, None, None)


def test_no_trial_starts_after_the_time_budget(sweep, app):
    with pytest.raises(TrialsFailed, match=r"^no trial was run: the time budget"):
        sweep(lambda config: 1.0, *GRID, "x=1,2", "hydra.sweeper.time_budget_s=1e-6")
    assert not (app / "0").exists()


def test_a_killed_worker_costs_one_attempt(sweep, app):
    def task(config):
        marks = len(list(app.glob(f"attempt_{config.x}_*")))
        (app / f"attempt_{config.x}_{marks}").touch()
        if config.x == 2 or (config.x == 1 and marks == 0):
            os.kill(os.getpid(), signal.SIGKILL)
        return config.x

    with pytest.raises(TrialsFailed) as raised:
        sweep(task, *GRID, TOGETHER, "x=0,1,2,3")
    said = "1 of 4 trials failed:\n  trial 2 (x=2): its worker died 2 times; out of memory or killed?"
    assert str(raised.value) == said
    attempts = {x: len(list(app.glob(f"attempt_{x}_*"))) for x in range(4)}
    assert attempts == {0: 1, 1: 2, 2: 2, 3: 1}


def test_a_space_with_fewer_points_than_samples_says_how_many_there_are(sweep, caplog):
    keys = ("hydra.sweeper.num_samples=5", "x=choice(1,1,1,1,1,1,1,1,1,1,1)")
    returns = sweep(lambda config: float(config.x), *keys)
    assert [job.return_value for job in returns] == [1.0]
    assert "hydra.sweeper.num_samples=5: the space has 1 distinct points, each is tried once" in caplog.text


class Losing(FIFOScheduler):
    """Gives up the second trial before it starts."""

    def on_trial_add(self, _, trial):
        if trial.config["number"] == 1:
            trial.set_status(trial.TERMINATED)


def test_trials_that_are_lost_are_no_interruption(sweep, monkeypatch):
    monkeypatch.setattr("hydra_plugins.ray_tune_sweeper._sweep.built_scheduler", lambda _: Losing())
    with pytest.raises(TrialsFailed) as raised:
        sweep(lambda config: float(config.x), *GRID, TOGETHER, "x=1,2,3")
    said = "1 of 3 trials failed:\n  trial 1 (x=2): lost: Ray Tune left it terminated, without a result"
    assert str(raised.value) == said


def test_a_worker_that_cannot_be_started_says_why(sweep, monkeypatch):
    from hydra_plugins.ray_tune_sweeper import _job

    def refuse(_):
        raise ModuleNotFoundError("No module named 'numbers_of_ours'")

    class Unlucky(_job.Jobs):  # known to this process alone, so it travels by value
        install = refuse

    monkeypatch.setattr("hydra_plugins.ray_tune_sweeper._sweep.Jobs", Unlucky)
    with pytest.raises(TrialsFailed) as raised:
        sweep(lambda config: 1.0, *GRID, "x=1,2", "hydra.sweeper.retries=0")
    said = "its worker could not be started: ModuleNotFoundError: No module named 'numbers_of_ours'"
    assert str(raised.value).count(said) == 2


def test_a_worker_is_used_again_and_every_job_finds_it_clean(sweep, app):
    def task(config):
        import logging
        import random
        import sys
        import warnings

        import numpy as np
        from hydra.core.global_hydra import GlobalHydra
        from omegaconf import OmegaConf

        found = {
            "pid": os.getpid(),
            "cwd": os.getcwd(),
            "left": os.environ.get("LEFT_BEHIND"),
            "handlers": len(logging.getLogger().handlers),
            "path": "/nowhere" in sys.path,
            "filters": any(entry[3] == 4321 for entry in warnings.filters),
            "resolver": OmegaConf.has_resolver("left_behind"),
            "hydra": GlobalHydra.instance().is_initialized(),
        }
        drawn = [random.random(), np.random.rand()]  # noqa: NPY002
        (app / f"found_{config.x}.json").write_text(json.dumps([found, drawn]))
        os.environ["LEFT_BEHIND"] = "1"
        os.chdir("/")
        sys.path.append("/nowhere")
        warnings.filterwarnings("ignore", lineno=4321)
        logging.getLogger().addHandler(logging.StreamHandler())
        OmegaConf.register_new_resolver("left_behind", lambda: 1)
        GlobalHydra.instance().clear()
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        return 1.0

    keys = (*GRID, "x=1,2,3")
    sweep(task, *keys)
    first = [json.loads((app / f"found_{x}.json").read_text()) for x in (1, 2, 3)]
    assert len({found["pid"] for found, _ in first}) == 1
    assert [found for found, _ in first] == [first[0][0]] * 3
    assert first[0][0]["cwd"] == os.getcwd()
    assert len({tuple(drawn) for _, drawn in first}) == 3
    sweep(task, *keys)
    again = [json.loads((app / f"found_{x}.json").read_text()) for x in (1, 2, 3)]
    assert [drawn for _, drawn in again] == [drawn for _, drawn in first]


REFUSED = {
    "empty space": ([], "hydra.sweeper.params: the space is empty"),
    "interval in a grid": (["hydra.sweeper.search=grid", "x=interval(0,1)"], "x: an interval has no end of points"),
    "no samples": (["x=1,2", "hydra.sweeper.num_samples=0"], "hydra.sweeper.num_samples=0: must be a whole number >= 1"),
    "half a trial": (["x=1,2", "hydra.sweeper.max_concurrent=0.5"], "hydra.sweeper.max_concurrent=0.5: must be a whole"),
    "no time": (["x=1,2", "hydra.sweeper.time_budget_s=0"], "hydra.sweeper.time_budget_s=0: must be a number of seconds"),
    "mode": (["x=1,2", "hydra.sweeper.mode=least"], "hydra.sweeper.mode=least: must be min or max"),
    "search": (["x=1,2", "hydra.sweeper.search=cleverly"], "hydra.sweeper.search=cleverly: must be grid, random or a node"),
    "retries": (["x=1,2", "hydra.sweeper.retries=-1"], "hydra.sweeper.retries=-1: must be a whole number >= 0"),
    "too many GPUs": (["x=1,2", "hydra.sweeper.resources.gpus=64"], "hydra.sweeper.resources.gpus=64: no node"),
    "a scheduler without a metric": (
        ["x=1,2", "hydra.sweeper.scheduler={_target_: ray.tune.schedulers.ASHAScheduler}"],
        "hydra.sweeper.metric=null: a scheduler compares",
    ),
    "a scheduler that pauses": (
        ["x=1,2", "hydra.sweeper.metric=m", "hydra.sweeper.scheduler={_target_: ray.tune.schedulers.HyperBandScheduler}"],
        "hydra.sweeper.scheduler: HyperBandScheduler pauses trials",
    ),
    "population based training": (
        [
            "x=1,2",
            "hydra.sweeper.metric=m",
            "hydra.sweeper.scheduler={_target_: ray.tune.schedulers.PopulationBasedTraining, hyperparam_mutations: {x: [1]}}",
        ],
        "hydra.sweeper.scheduler: PopulationBasedTraining pauses trials",
    ),
    "not a scheduler": (
        ["x=1,2", "hydra.sweeper.metric=m", "hydra.sweeper.scheduler={_target_: collections.OrderedDict}"],
        "hydra.sweeper.scheduler: collections.OrderedDict is no ray.tune scheduler",
    ),
    "a wrong argument": (
        ["x=1,2", "hydra.sweeper.metric=m", "hydra.sweeper.scheduler={_target_: ray.tune.schedulers.ASHAScheduler, grace: 1}"],
        "hydra.sweeper.scheduler: ray.tune.schedulers.ASHAScheduler cannot be made: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("overrides", "said"), REFUSED.values(), ids=REFUSED)
def test_refusals_are_one_line_before_anything_runs(sweep, app, overrides, said):
    with pytest.raises(SweepError) as refused:
        sweep(lambda config: (app / "ran").touch(), *overrides)
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)
    assert not (app / "ran").exists()
    assert not (app / "0").exists()


def test_hydra_refuses_unknown_keys_and_options(sweep, app):
    with pytest.raises(ConfigCompositionException, match="Could not override 'y'"):
        sweep(lambda config: 1.0, "y=1,2")
    with pytest.raises(MissingConfigException, match="Could not find 'net/huge'"):
        sweep(lambda config: 1.0, "net=small,huge")
    assert not (app / "0").exists()


def test_outside_a_trial_nobody_listens():
    from hydra_plugins.ray_tune_sweeper import in_trial, report

    assert not in_trial()
    report({"loss": 1.0})


def test_importing_the_plugin_imports_no_ray():
    import subprocess
    import sys

    code = (
        "import sys, hydra_plugins.ray_tune_sweeper, hydra_plugins.ray_tune_sweeper.ray_tune_sweeper;"
        "import hydra_plugins.ray_cluster_launcher.ray_cluster_launcher;"
        "print([name for name in ('ray', 'torch', 'pandas', 'numpy') if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True, check=True
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
