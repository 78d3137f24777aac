"""One run: what it imports, what its hooks are asked, what it refuses before anything is fetched."""

import subprocess
import sys

import numpy as np
import pytest
from composed import compose

import forecast
from forecast import pipeline
from forecast.bundle import verify_golden
from forecast.config import check
from forecast.errors import StoppedError, UserError
from forecast.evaluate import metric
from forecast.evaluate.folds import Holdout
from forecast.model.trainer import Trainer

SMALL = [
    "trainer=smoke",
    "tracker=none",
    "data.period=3y",
    "model.hidden_size=4",
    "baselines=none",
    "intervals=none",
    "plots=false",
]


@metric(mode="min")
def worst(table, share: float = 1.0) -> float:
    """A metric of one's own: the largest error on the rows of the first ticker."""
    errors = np.abs(table.actual - table.forecast)[table.ticker == table.names[0]]
    return float(share * errors.max())


built: list[str] = []


class Split(Holdout):
    """Says when it is built."""

    def __init__(self, **arguments) -> None:
        built.append("evaluation")
        super().__init__(**arguments)


class Training(Trainer):
    """Likewise."""

    def __post_init__(self) -> None:
        built.append("trainer")
        super().__post_init__()


MINE = "evaluation.metrics={worst:{_target_:test_pipeline.worst,_partial_:true,share:0.5}}"
ASKED = [
    *SMALL,
    MINE,
    "objective.metric=val_worst",
    "evaluation._target_=test_pipeline.Split",
    "trainer._target_=test_pipeline.Training",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small run with a metric of one's own, which its hooks have watched."""
    asked = {"epochs": [], "identity": []}
    hooks = pipeline.RunHooks(
        on_epoch=lambda epoch, metrics: asked["epochs"].append((epoch, metrics)),
        earlier=lambda identity: asked["identity"].append(identity),
    )
    config = compose(*ASKED)
    pipeline.check(config)
    finished = pipeline.run(config, tmp_path_factory.mktemp("runs") / "one", hooks)
    # the config has imported this file under a name of its own
    asked["built"] = list(sys.modules["test_pipeline"].built)
    return finished, asked


def test_an_untracked_run_imports_nothing_of_sweep_champion_and_track(tmp_path):
    code = (
        "import sys, forecast\n"
        f"forecast.run(*{SMALL}, directory={str(tmp_path / 'run')!r})\n"
        "found = [name for name in sys.modules if name.startswith(('forecast.sweep', 'forecast.champion', "
        "'forecast.track', 'forecast.serve', 'mlflow', 'ray', 'onnx'))]\n"
        "print(found)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


class Tails(Holdout):
    """Has a metric that no key names."""

    def __init__(self, **arguments) -> None:
        super().__init__(**arguments | {"metrics": {"worst": worst}})


def test_a_metric_of_an_evaluation_of_ones_own_is_an_objective():
    evaluation = ("evaluation._target_=test_pipeline.Tails", "objective.metric=val_worst")
    pipeline.check(compose(*SMALL, *evaluation))
    with pytest.raises(
        UserError, match=r"^objective\.metric=val_wurst: no epoch reports it; did you mean val_worst"
    ):
        pipeline.check(compose(*SMALL, evaluation[0], "objective.metric=val_wurst"))


def test_no_part_is_built_twice(run):
    assert sorted(run[1]["built"]) == ["evaluation", "trainer"]


def test_hooks_hear_of_each_epoch_and_are_asked_once_for_an_earlier_run(run):
    finished, asked = run
    assert [epoch for epoch, _ in asked["epochs"]] == [0, 1]
    assert all({"train_loss", "val_rmse", "val_worst"} <= set(metrics) for _, metrics in asked["epochs"])
    assert len(asked["identity"]) == 1
    assert finished.figures == {}
    assert not (finished.directory / "plots").exists()


def test_an_earlier_run_is_read_back_and_not_run_again(run, tmp_path):
    finished, asked = run
    config = compose(*ASKED)
    again = pipeline.run(
        config, tmp_path / "again", pipeline.RunHooks(earlier={asked["identity"][0]: finished.directory}.get)
    )
    assert again.directory == finished.directory
    assert again.metrics == finished.metrics
    assert again.verdict.text == finished.verdict.text
    assert not (tmp_path / "again").exists()


def test_what_a_hook_raises_ends_the_run_and_leaves_no_finished_one(tmp_path):
    def stop(epoch, metrics):  # noqa: ARG001
        raise StoppedError("others do better")

    with pytest.raises(StoppedError):
        pipeline.run(compose(*SMALL), tmp_path / "run", pipeline.RunHooks(on_epoch=stop))
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_metric_of_ones_own_is_one_function_and_one_line(run):
    finished, _ = run
    for split in ("val", "test"):
        rows = finished.forecasts.query(f"split == '{split}'")
        expected = 0.5 * (rows["actual"] - rows["forecast"]).abs().max()
        assert finished.metrics[f"{split}_worst"] == pytest.approx(expected, rel=1e-12)
    best = min(finished.history, key=lambda epoch: epoch["val_worst"])
    assert finished.metrics["best_epoch"] == best["epoch"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["objective.metric=val_r2_oos"], "objective.mode=min: val_r2_oos is better when larger"),
        (["objective.mode=max"], "objective.mode=max: val_theil_u_by_ticker is better when smaller"),
        (
            [MINE, "objective.metric=val_worst", "objective.mode=max"],
            "objective.mode=max: val_worst is better",
        ),
        (["objective.metric=val_worst"], "objective.metric=val_worst: no epoch reports it"),
    ],
)
def test_an_objective_in_the_wrong_direction_is_refused_before_a_bar_is_fetched(
    overrides, message, tmp_path, monkeypatch
):
    from forecast.data.sources import SampleSource

    def fetched(*_):
        raise AssertionError("fetched")

    monkeypatch.setattr(SampleSource, "bars", fetched)
    with pytest.raises(UserError) as refused:
        pipeline.run(compose(*SMALL, *overrides), tmp_path / "run")
    assert str(refused.value).startswith(message)
    assert not (tmp_path / "run").exists()


def test_many_runs_are_one_frame(run, tmp_path):
    finished, _ = run
    frame = forecast.runs(finished.directory.parent).to_frame()
    assert list(frame.index) == [str(finished.directory)]
    row = frame.iloc[0]
    assert (row["model"], row["data"]) == ("lstm", "no_processing_single")
    assert row["model.hidden_size"] == "4"
    assert row["test_rmse"] == finished.metrics["test_rmse"]
    assert [one.metrics for one in forecast.runs(finished.directory.parent)] == [finished.metrics]
    assert len(forecast.runs(tmp_path)) == 0
    with pytest.raises(UserError, match="is no folder"):
        forecast.runs(tmp_path / "none")


def test_a_run_shows_itself_in_a_notebook(run):
    shown = run[0]._repr_html_()
    assert shown.startswith("<iframe")
    assert "tomorrow = today" in shown


def test_a_directory_that_another_run_is_writing_to_is_refused_and_left_alone(tmp_path):
    directory, refused = tmp_path / "run", []

    def on_epoch(*_):
        with pytest.raises(UserError) as found:
            forecast.run(*SMALL, "model.hidden_size=8", directory=directory)
        refused.append(str(found.value))

    config = compose(*SMALL)
    check(config)
    pipeline.run(config, directory, pipeline.RunHooks(on_epoch=on_epoch, draw_plots=False))
    text = (
        f"hydra.run.dir={directory}: another run is writing there; wait for its end, or name another folder"
    )
    assert refused == [text] * len(refused) != []
    assert verify_golden(directory, forecast.load(directory)) > 50
    forecast.run(*SMALL, "model.hidden_size=8", directory=directory)  # it is free again
