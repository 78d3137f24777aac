"""A model that MLflow's registry names is found, and fetched where it is not on this machine."""

from __future__ import annotations

import json
import shutil

import pytest
from commands import SMALL, run
from service import serving
from trained import run_without_plots

from forecast import bundle
from forecast.champion import ChampionConfig, Registry, promote
from forecast.champion.store import ChampionStore
from forecast.errors import UserError
from forecast.serve.registry import fetched, registered

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(empty_store, tmp_path_factory):
    """A folder with a champion that MLflow knows."""
    home = tmp_path_factory.mktemp("registered")
    shutil.copy(empty_store, home)
    done = run(home, *SMALL, "baselines=none", "hydra.run.dir=made")
    assert done.code == 0, done.err
    uri = f"sqlite:///{home / 'mlflow.db'}"
    promoted = promote(
        home / "made",
        champion=ChampionConfig(directory=str(home / "champion")),
        registry=Registry(uri=uri, patience_s=60.0, name="forecast"),
    )
    assert promoted.changed
    return home, uri


def test_by_alias_and_by_version(home, tmp_path):
    folder, uri = home
    found = registered("models:/forecast@champion", uri=uri, folder=tmp_path)
    assert fetched("models:/forecast/1", uri=uri, folder=tmp_path) == found
    bundle.verify(found)
    made = bundle.verify(folder / "made")["files"]
    assert bundle.verify(found)["files"]["model.safetensors"] == made["model.safetensors"]


def test_decisions_are_kept_in_mlflow(home):
    from mlflow import MlflowClient

    folder, uri = home
    tags = MlflowClient(uri).get_registered_model("forecast").tags
    (line,) = [json.loads(value) for key, value in tags.items() if key.endswith(".promoted")]
    (kept,) = ChampionStore(folder / "champion").decisions()
    assert line == kept
    assert (line["decision"], line["name"][:2]) == ("promoted", "1-")
    assert line["by"]
    assert line["why"].startswith("val_theil_u")


@pytest.mark.parametrize(
    ("ask", "name", "refusal"),
    [
        (registered, "models:/forecast@nobody", "cannot be had from tracker_uri=sqlite:///"),
        (fetched, "models:/nothing/1", "cannot be had from tracker_uri=sqlite:///"),
        (registered, "models:/forecast", "must be models:/name@alias or models:/name/version"),
        (registered, "models:/../x@y", "must be models:/name@alias or models:/name/version"),
    ],
)
def test_what_is_not_there_is_refused_in_a_line(home, tmp_path, ask, name, refusal):
    _, uri = home
    with pytest.raises(UserError) as refused:
        ask(name, uri=uri, folder=tmp_path)
    assert str(refused.value).startswith(f"bundle={name}: {refusal}")
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(UserError, match="no such database"):
        fetched("models:/forecast@champion", uri=f"sqlite:///{tmp_path}/no.db", folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_altered_copy_is_not_taken(home, tmp_path):
    folder, uri = home
    found = fetched("models:/forecast@champion", uri=uri, folder=tmp_path / "first")
    assert found.is_relative_to(tmp_path) or not found.is_relative_to(folder / "champions")
    copies = folder.rglob("artifacts/model.safetensors")  # of the run; its logged model has one as well
    weights = next((path for path in copies if "models" not in path.parts), None)
    assert weights is not None, "MLflow keeps a copy"
    kept = weights.read_bytes()
    try:
        weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        shutil.rmtree(tmp_path / "first", ignore_errors=True)
        with pytest.raises(UserError, match="was altered"):
            bundle.verify(fetched("models:/forecast@champion", uri=uri, folder=tmp_path / "second"))
    finally:
        weights.write_bytes(kept)


def test_an_alias_that_moves_is_followed(home, tmp_path):
    """The last test that wants the first champion."""
    folder, uri = home
    with serving(
        tmp_path, "bundle=models:/forecast@champion", f"tracker_uri={uri}", "registry_poll_s=1"
    ) as running:
        before = running.get("/readyz").json()["model_version"]
        run_without_plots(*SMALL, "baselines=none", "seed=1", "tracker=none", directory=folder / "second")
        place = ChampionConfig(directory=str(folder / "champion"))
        registry = Registry(uri=uri, patience_s=60.0, name="forecast")
        assert promote(folder / "second", champion=place, registry=registry).changed
        running.wait(lambda: running.get("/readyz").json()["model_version"] != before, "the second champion")
        assert "models:/forecast@champion leads to" in running.said()
