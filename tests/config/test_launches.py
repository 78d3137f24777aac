"""Where a run goes and what was asked for."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from omegaconf import OmegaConf, open_dict

from forecast.config import compose, composing, origin, run_directory
from forecast.errors import UserError


def test_each_composed_config_has_a_directory_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = compose(), compose()
    assert run_directory(first) == run_directory(first)
    assert run_directory(first) != run_directory(second)
    assert run_directory(first).is_relative_to(tmp_path / "outputs")
    assert list(tmp_path.iterdir()) == []


def test_hydra_run_dir_says_where(tmp_path):
    assert run_directory(compose(f"hydra.run.dir={tmp_path}/here")) == tmp_path / "here"
    assert run_directory(compose("hydra.run.dir=here")) == Path.cwd() / "here"


def test_a_config_from_elsewhere_has_no_directory():
    with pytest.raises(UserError, match="say where the run shall go"):
        run_directory(OmegaConf.create({"seed": 0}))


def test_the_origin_is_what_was_asked_for():
    config = compose("data=range_single", "tracker=none", "seed=3")
    assert origin(config) == {
        "overrides": ["data=range_single", "tracker=none", "seed=3"],
        "choices": {
            "source": "sample",
            "data": "range_single",
            "covariates": "none",
            "target": "close",
            "model": "lstm",
            "trainer": "default",
            "evaluation": "holdout",
            "baselines": "default",
            "intervals": "scaled",
            "tracker": "none",
            "champion": "default",
            "cluster": "local",
            "tuner": "none",
        },
    }


def test_a_replay_adds_to_the_saved_origin():
    config = compose("seed=4")
    with open_dict(config):
        config.provenance = {
            "overrides": ["model=gru", r"note=\${x}"],
            "choices": {"model": "gru", "extra": "one"},
        }
    assert origin(config)["overrides"] == ["model=gru", "note=${x}", "seed=4"]
    assert origin(config)["choices"]["extra"] == "one"


def test_a_config_from_elsewhere_has_no_origin():
    assert origin(OmegaConf.create({"seed": 0})) == {"overrides": [], "choices": {}}


def test_nothing_is_kept_for_a_config_that_is_gone():
    gc.collect()
    before = len(composing._hydra_nodes)
    config = compose()
    assert len(composing._hydra_nodes) == before + 1
    del config
    gc.collect()
    assert len(composing._hydra_nodes) == before
