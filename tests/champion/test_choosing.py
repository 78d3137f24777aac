"""From the runs MLflow knows to the champion."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import warm
import yaml
from commands import REPOSITORY, environment, run
from composed import compose

import forecast
from forecast import bundle
from forecast.champion import candidates, select_and_promote, selection
from forecast.champion.registry import ALIAS
from forecast.config import check
from forecast.errors import UserError
from forecast.finished_runs import identity_of


def config(*overrides: str):
    composed = compose(*overrides)
    check(composed)
    return composed


def test_as_a_stranger_types_it(world, uri, ordered, tmp_path):
    """In processes of its own, the proof included; the bundle loads, replays, and says what it is."""
    asked = [sys.executable, "-m", "forecast.champion", f"tracker.uri={uri}"]
    done = warm.run(asked, cwd=tmp_path, env=environment(REPOSITORY))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[-1] == "outputs/champion"
    assert "best of 3 candidates (the best of many is flattered by chance)" in done.stdout
    assert "recorded test windows forecast again as recorded" in done.stdout
    assert "registered in MLflow: forecast version 1, alias champion" in done.stdout

    winner = world.runs[ordered[0]]
    champion = tmp_path / "outputs" / "champion"
    assert champion.is_symlink()
    assert not Path(os.readlink(champion)).is_absolute()
    said = json.loads((champion / "metadata.json").read_text())
    saved = yaml.safe_load((champion / "config.yaml").read_text())
    assert saved["metadata"] == said
    metrics = json.loads((winner / "metrics.json").read_text())
    assert said["metric"] == "val_theil_u_by_ticker"
    assert said["metric_value"] == metrics["val_theil_u_by_ticker"]
    assert said["candidates"] == 3
    assert said["strategy"] == "no_processing_single"
    assert said["experiment_name"] == "forecast"
    assert said["run_id"] == json.loads((winner / "mlflow.json").read_text())["run_id"]
    assert said["skill_val"] == pytest.approx(100 * (1 - metrics["val_theil_u"]))
    assert said["skill_test"] == pytest.approx(100 * (1 - metrics["test_theil_u"]))
    assert said["beats_naive"] == (metrics["val_theil_u"] < 1 and metrics["test_theil_u"] < 1)
    assert said["label"] in done.stdout
    assert identity_of(champion) == identity_of(winner)

    files = bundle.verify(champion)["files"]
    assert {"metadata.json", "config.yaml"} <= set(files)
    untouched = set(bundle.verify(winner)["files"]) - {"config.yaml"}
    for name in untouched:
        assert (champion / name).read_bytes() == (winner / name).read_bytes(), name
    assert not (champion / "mlflow.json").exists()  # else sync would send the run a second time
    assert forecast.load(champion).tickers == ["AAPL"]

    again = run(tmp_path, "-cd", str(champion), "-cn", "config", "hydra.run.dir=again", f"tracker.uri={uri}")
    assert again.code == 0, again.err
    replayed = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert replayed | {"seconds": 0} == metrics | {"seconds": 0}
    assert identity_of(tmp_path / "again") == identity_of(winner)
    assert "metadata" not in yaml.safe_load((tmp_path / "again" / "config.yaml").read_text())


@pytest.mark.usefixtures("quick_proof")
def test_mlflow_knows_the_champion(command, client, world, ordered, tmp_path):
    assert command("champion.registered_model=my model").code == 0
    version = client.get_model_version_by_alias("my model", ALIAS)
    said = json.loads((tmp_path / "outputs" / "champion" / "metadata.json").read_text())
    assert version.run_id == said["run_id"]
    best = client.get_run(said["run_id"])
    assert version.source == best.info.artifact_uri
    assert version.tags["forecast.champion"] == f"1-{said['run_id']}"
    assert best.data.tags["champion"] == "current"
    assert best.data.tags["champion.beats_naive"] == str(said["beats_naive"]).lower()
    assert best.data.tags["champion.label"] == version.description == said["label"]

    second = world.runs[ordered[1]]
    assert command("export", str(second), "champion.registered_model=my model").code == 0
    assert client.get_model_version_by_alias("my model", ALIAS).version == 2
    assert client.get_run(said["run_id"]).data.tags["champion"] == "former"

    assert command("rollback", "champion.registered_model=my model").code == 0
    assert client.get_model_version_by_alias("my model", ALIAS).version == 1
    assert client.get_run(said["run_id"]).data.tags["champion"] == "current"
    assert len(client.search_model_versions("name = 'my model'")) == 2  # the first was taken up again


@pytest.mark.usefixtures("quick_proof")
def test_a_run_that_mlflow_does_not_know_is_registered_with_its_folder(
    command, client, world, ordered, tmp_path
):
    unknown = tmp_path / "unknown"
    shutil.copytree(world.runs[ordered[0]], unknown)
    (unknown / "mlflow.json").unlink()
    done = command("export", str(unknown))
    assert done.code == 0, done.err
    assert "registered in MLflow: forecast version 1, alias champion" in done.out
    version = client.get_model_version_by_alias("forecast", ALIAS)
    assert Path(version.source) == (tmp_path / "outputs" / "champion").resolve()
    assert forecast.load(version.source).tickers == ["AAPL"]


@pytest.mark.usefixtures("quick_proof")
def test_nothing_registered_where_no_name_is_given(command, client):
    done = command("champion.registered_model=null")
    assert done.code == 0
    assert "noted in MLflow: the run's tags" in done.out
    assert list(client.search_registered_models()) == []


@pytest.mark.usefixtures("quick_proof")
def test_the_same_run_again_changes_nothing(command, client, tmp_path):
    assert command().code == 0
    before = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "outputs").rglob("*") if path.name != ".lock"
    }
    done = command()
    assert done.code == 0
    assert "nothing to do: it is the champion already" in done.out
    assert done.out.splitlines()[-1] == "outputs/champion"
    folders = [path for path in before if path.is_dir()]
    after = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "outputs").rglob("*") if path.name != ".lock"
    }
    assert {path: time for path, time in after.items() if path not in folders} == {
        path: time for path, time in before.items() if path not in folders
    }
    assert len(client.search_model_versions("name = 'forecast'")) == 1


@pytest.mark.usefixtures("quick_proof")
def test_a_damaged_champion_is_put_right_by_promoting_its_run_again(command, tmp_path):
    assert command().code == 0
    (tmp_path / "outputs" / "champion" / "model.safetensors").write_bytes(b"")
    (tmp_path / "outputs" / "champion" / "metadata.json").unlink()
    shown = command("show")
    assert (shown.code, shown.err.count("\n")) == (2, 1)
    done = command()
    assert done.code == 0, done.err
    assert bundle.verify(tmp_path / "outputs" / "champion")
    assert os.readlink(tmp_path / "outputs" / "champion").startswith("champions/2-")


@pytest.mark.usefixtures("quick_proof")
@pytest.mark.parametrize("how", ["gone", "taken by a later run"])
def test_the_copy_in_mlflow_is_taken_where_the_directory_is_not_here(
    command, spoiled, world, ordered, tmp_path, how
):
    directory = spoiled(ordered[0])
    weights = (directory / "model.safetensors").read_bytes()
    run_id = json.loads((directory / "mlflow.json").read_text())["run_id"]
    shutil.rmtree(directory)
    if how != "gone":
        shutil.copytree(world.runs[ordered[1]], directory)
    done = command()
    assert done.code == 0, done.err
    champion = tmp_path / "outputs" / "champion"
    said = json.loads((champion / "metadata.json").read_text())
    assert said["run_id"] == run_id
    assert said["run_directory"] == str(directory)
    assert (champion / "model.safetensors").read_bytes() == weights
    assert {path.name for path in (tmp_path / "outputs" / "champions").iterdir()} == {
        ".lock", "decisions.jsonl", "history.json", f"1-{run_id}",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["model.safetensors", "forecasts.parquet", "golden.safetensors", "manifest.json"]
)
@pytest.mark.parametrize("how", ["altered", "missing"])
def test_a_spoiled_run_is_refused_and_nothing_is_left(command, spoiled, ordered, tmp_path, name, how):
    path = spoiled(ordered[0]) / name
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-3] + b"xyz")
    done = command()
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert name in done.err
    assert "move" in done.err
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("how", ["altered", "missing", "never sent"])
def test_a_spoiled_copy_in_mlflow_is_refused(command, spoiled, client, ordered, tmp_path, how):
    directory = spoiled(ordered[0])
    run_id = json.loads((directory / "mlflow.json").read_text())["run_id"]
    shutil.rmtree(directory)
    artifacts = Path(client.get_run(run_id).info.artifact_uri.removeprefix("file://"))
    path = artifacts / ("manifest.json" if how == "never sent" else "scaler.json")
    content = path.read_bytes()
    try:
        if how == "altered":
            path.write_bytes(content + b" ")
        else:
            path.unlink()
        done = command()
    finally:
        path.write_bytes(content)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert run_id in done.err
    assert not (tmp_path / "outputs").exists()


def test_a_figure_that_somebody_changed_in_mlflow_wins_nothing(command, client, world, ordered, tmp_path):
    worst = json.loads((world.runs[ordered[-1]] / "mlflow.json").read_text())["run_id"]
    client.log_metric(worst, "val_theil_u_by_ticker", 0.001, step=10**6)
    done = command()
    assert (done.code, done.out) == (2, "")
    assert "MLflow says val_theil_u_by_ticker=0.001, its metrics.json says" in done.err
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["objective.metric=test_rmse"], "the test split is opened once and never used to choose; use objective.metric=val_rmse"),
        (["objective.metric=train_loss"], "a champion is chosen on validation"),
        (["objective.metric=val_rsme"], "none of 3 finished runs reports it; did you mean val_rmse?"),
        (["tracker.experiment_name=forcast"], "tracker.experiment_name=forcast: no such experiment"),
        (["tracker.experiment_name=Default"], "tracker.experiment_name=Default: no finished run in it (it is empty)"),
        (["champion=none"], "champion=none: no champion is wanted"),
        (["tracker=none", "~tracker"], "tracker=none: MLflow is asked for the runs"),
        (["champion.keep=0"], "champion.keep=0: must be >= 1"),
        (["champion.require_skil=true"], "champion.require_skil: no such key; did you mean champion.require_skill?"),
        (["champion.directory=/"], "champion.directory=/: has no name of its own"),
        (["champion.registered_model=a/b"], "champion.registered_model=a/b: MLflow takes no name with / or : in it"),
        (["export"], "export: which run?"),
        (["export", "nowhere"], "nowhere: no finished run here (manifest.json is missing)"),
        (["rollback"], "there is no champion to roll back"),
        (["show"], "there is no champion yet"),
        (["list"], "there is no champion yet"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_cannot_be_done_is_refused_in_a_line(uri, tmp_path, monkeypatch, capsys, words, said):
    from forecast.champion.__main__ import main

    monkeypatch.chdir(tmp_path)
    address = [] if "~tracker" in words else [f"tracker.uri={uri}"]
    code = main([*(word for word in words if word != "~tracker"), *address])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert said in err
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("address", ["sqlite:///nowhere.db", "http://127.0.0.1:9", "sqlite:///notes.db"])
def test_mlflow_that_cannot_be_asked(tmp_path, monkeypatch, capsys, address):
    from forecast.champion.__main__ import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.db").write_text("these are no tables, only some notes of mine about this and that")
    before = sorted(tmp_path.iterdir())
    code = main([f"tracker.uri={address}"])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith(f"tracker.uri={address}: ")
    assert err.endswith("python -m forecast.champion export RUN_DIRECTORY needs no MLflow\n")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.usefixtures("quick_proof")
@pytest.mark.parametrize("address", ["sqlite:///nowhere.db", "http://127.0.0.1:9"])
def test_a_given_run_needs_no_mlflow(world, tmp_path, monkeypatch, capsys, address):
    from forecast.champion.__main__ import main

    monkeypatch.chdir(tmp_path)
    assert main(["export", str(world.runs[0]), f"tracker.uri={address}"]) == 0
    out = capsys.readouterr().out
    assert f"not registered in MLflow ({address}: " in out
    assert out.splitlines()[-1] == "outputs/champion"
    said = json.loads((tmp_path / "outputs" / "champion" / "metadata.json").read_text())
    assert (said["candidates"], said["metric"]) == (1, "val_theil_u_by_ticker")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outputs"]


@pytest.mark.usefixtures("quick_proof")
def test_by_another_objective(command, world, tmp_path):
    done = command("objective.metric=val_direction", "objective.mode=max")
    assert done.code == 0, done.err
    said = json.loads((tmp_path / "outputs" / "champion" / "metadata.json").read_text())
    best = max(
        json.loads((directory / "metrics.json").read_text())["val_direction"]
        for directory in world.runs.values()
    )
    assert (said["metric"], said["mode"], said["metric_value"]) == ("val_direction", "max", best)


def test_the_table_alone(command, ordered, tmp_path):
    done = command("rank")
    assert done.code == 0
    seeds = [int(line.rpartition("seed=")[2]) for line in done.out.splitlines()[1:]]
    assert seeds == ordered
    assert "test" not in done.out
    assert not (tmp_path / "outputs").exists()


@pytest.mark.usefixtures("quick_proof")
class TestFromPython:
    def test_run_directories_instead_of_mlflow(self, world, ordered, place):
        asked = config("tracker=none", f"champion.directory={place.directory}")
        promoted = select_and_promote(asked, directories=world.runs.values())
        assert promoted.changed
        assert promoted.metadata["candidates"] == 3
        assert promoted.ranking.winner.directory == world.runs[ordered[0]]
        assert Path(place.directory).resolve() == promoted.folder.resolve()

    def test_no_run_at_all(self, place):
        with pytest.raises(UserError, match="no run is finished"):
            select_and_promote(
                config("tracker=none", f"champion.directory={place.directory}"), directories=[]
            )

    def test_mlflow_and_the_directories_agree(self, world, uri):
        known = candidates(config(f"tracker.uri={uri}")).candidates
        found = candidates(config(f"tracker.uri={uri}"), directories=world.runs.values()).candidates
        for one, other in zip(known, found, strict=True):
            assert one.identity == other.identity
            assert one.run_id == other.run_id
            assert one.strategy == other.strategy
            assert one.tickers == other.tickers
            assert one.subject == other.subject
            assert set(one.metrics) - set(other.metrics) == {"learning_rate"}  # of an epoch
            assert {name: one.metrics[name] for name in other.metrics} == other.metrics
            assert one.params == other.params

    def test_who_waited_sees_what_was_promoted_meanwhile(self, world, ordered, uri, place, monkeypatch):
        """The ranking that counts is made under the lock."""
        asked = []
        real = selection.candidates

        def at_first_only_the_worst(config, directories=None, sweep=()):
            asked.append(None)
            if len(asked) == 1:
                return real(config, directories=[world.runs[ordered[-1]]])
            return real(config, directories=directories, sweep=sweep)

        monkeypatch.setattr(selection, "candidates", at_first_only_the_worst)
        promoted = select_and_promote(config(f"tracker.uri={uri}", f"champion.directory={place.directory}"))
        assert promoted.ranking.winner.directory == world.runs[ordered[0]]
