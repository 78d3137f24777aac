"""Another model takes the place of the present one whole and proved, or not at all."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from copy import deepcopy

import numpy as np
import pytest
import torch
from commands import SMALL
from trained import run_without_plots

from forecast.bundle import read_golden
from forecast.errors import UserError
from forecast.model import runtime
from forecast.model.layers import Recurrent
from forecast.model.runtime import to_onnx
from forecast.serve.model_store import ModelStore, load_model


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another run."""
    folder = tmp_path_factory.mktemp("other") / "run"
    run_without_plots(*SMALL, "data=range_single", "tracker=none", "baselines=none", directory=folder)
    return folder


def point(link, target):
    scratch = link.with_suffix(".new")
    scratch.symlink_to(target)
    os.replace(scratch, link)


def test_a_link_is_followed_and_said_of(bundle, other, tmp_path):
    link, stated = tmp_path / "champion", []
    point(link, bundle)
    models = ModelStore(source_path=link, on_reload=stated.append)
    models.load()
    first = models.current
    assert first.version.startswith("bundle@")
    assert not models.refresh()
    point(link, other)
    assert models.refresh()
    assert models.current.version.startswith("run@")
    assert stated == [models.current]
    assert models.current.predictor.features.columns.keys() != first.predictor.features.columns.keys()
    point(link, bundle)
    assert models.refresh()
    assert models.current.version == first.version


def test_nothing_there_yet_then_something(bundle, tmp_path):
    link = tmp_path / "champion"
    models = ModelStore(source_path=link)
    models.load()
    assert models.current is None
    assert not models.refresh()
    point(link, bundle)
    assert models.refresh()
    assert models.current is not None
    link.unlink()
    assert not models.refresh()
    link.symlink_to(link.name)  # leads to itself
    assert not models.refresh()
    assert models.current is not None, "a model is never taken away"


def alter(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1] + b"\0")


def half(folder):
    (folder / "manifest.json").unlink()


def another_network(folder):
    """Weights that load, under a manifest that vouches for them, but are not those of the run."""
    import hashlib

    from safetensors.numpy import load_file, save_file

    weights = {name: value * 1.5 for name, value in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors")
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    manifest["files"]["model.safetensors"] = digest
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("damage", "stated"),
    [
        (lambda folder: alter(folder, "model.safetensors"), "was altered"),
        (lambda folder: alter(folder, "config.yaml"), "was altered"),
        (lambda folder: (folder / "scaler.json").unlink(), "is missing"),
        (half, "no finished run here"),
        (another_network, "does not give the forecasts it was recorded with"),
    ],
    ids=["weights", "config", "a file gone", "half written", "another network"],
)
def test_what_is_not_what_it_was_is_refused_and_the_old_one_stays(
    bundle, other, tmp_path, caplog, damage, stated
):
    link, bad = tmp_path / "champion", tmp_path / "bad"
    shutil.copytree(other, bad)
    damage(bad)
    with pytest.raises(UserError, match=stated):
        ModelStore(source_path=bad).load()
    point(link, bundle)
    models = ModelStore(source_path=link)
    models.load()
    before = models.current
    point(link, bad)
    assert not models.refresh()
    assert models.current is before
    assert stated in caplog.text
    assert f"{before.version} stays" in caplog.text
    caplog.clear()
    assert not models.refresh()
    assert caplog.text == "", "said once"
    point(link, other)
    assert models.refresh()


def recurrent(model):
    (layer,) = [one for one in model.predictor.forecaster.modules() if isinstance(one, Recurrent)]
    return layer


def test_onnx_runtime_answers_where_it_answers_as_the_run_did(bundle, caplog, monkeypatch):
    served, golden = load_model(bundle), read_golden(bundle).some(8)
    assert recurrent(served).run is not None
    found = served.forecast(golden.windows, golden.names).values
    np.testing.assert_allclose(found, golden.forecast, rtol=1e-6)
    recurrent(served).run = lambda windows: torch.full((len(windows), 4), 0.5)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(served.forecast(golden.windows, golden.names).values, found, rtol=1e-6)
    assert not caplog.records

    def of_other_weights(layer):
        other = deepcopy(layer)
        for weights in other.parameters():
            weights.data *= 1.5
        return to_onnx(other)

    monkeypatch.setattr(runtime, "to_onnx", of_other_weights)
    doubted = load_model(bundle)
    assert recurrent(doubted).run is None
    np.testing.assert_allclose(
        doubted.forecast(golden.windows, golden.names).values, golden.forecast, rtol=1e-6
    )
    (record,) = caplog.records
    assert record.message.startswith(f"{served.version} is answered by torch, not by ONNX Runtime: ")


def there(models, answers):
    models.load()
    answers.put((str(models.source_path), models.current.version))


def test_all_processes_follow_the_same(bundle, other):
    models = ModelStore(source_path=bundle)
    models.load()
    models.follow(other)
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=there, args=(models, answers))
    process.start()
    following, version = answers.get(timeout=60)
    process.join(60)
    assert following == str(other)
    assert models.refresh()
    assert models.current.version == version
