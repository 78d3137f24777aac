"""What options of the forecaster leave in a run directory, and what earlier versions left there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from commands import SMALL
from trained import run_without_plots

import forecast
from forecast.bundle import verify_golden
from forecast.data.sources import SampleSource

OPTIONS = (
    "model=ensemble", "model.members=3", "trainer.loss=quantile", "trainer.quantiles=[0.1,0.5,0.75,0.9]",
    "data.horizon=2", "data.instance_norm=true", "data=returns_single", "data.calendar=XNYS",
)  # fmt: skip


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("options") / "run"
    run_without_plots(*SMALL, "tracker=none", "baselines=none", *OPTIONS, directory=folder)
    return folder


def test_facts_of_the_network_and_of_the_forecast(directory):
    facts = json.loads((directory / "scaler.json").read_text())
    assert (facts["output_size"], facts["horizon"]) == (8, 2)
    assert facts["quantile_levels"] == [0.1, 0.5, 0.75, 0.9]
    assert facts["normaliser"]["instance_norm"] is True
    assert facts["input_size"] == len(facts["normaliser"]["relations"]) == 15


def test_all_of_it_is_read_back(directory):
    predictor = forecast.load(directory)
    assert verify_golden(directory, predictor) > 50
    assert (predictor.horizon, predictor.enough) == (2, 40)
    forecaster = predictor.forecaster
    assert forecaster.quantile_levels == (0.1, 0.5, 0.75, 0.9)
    assert len(forecaster.network.members) == 3
    windows = np.abs(np.random.default_rng(0).normal(1, 0.1, (5, 20, 16))).astype(np.float32)
    found = predictor.forecast_windows(windows)
    quantiles = found.quantiles
    assert quantiles.shape == (5, 2, 4)
    np.testing.assert_array_equal(quantiles[..., 1], found.values)
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    assert (np.diff(quantiles, axis=-1) > 0).any()


def test_a_directory_of_an_earlier_version_still_loads(tmp_path):
    """It had no horizon beside output_size, no quantiles, no instance normalisation and no calendar."""
    folder = tmp_path / "run"
    run_without_plots(*SMALL, "tracker=none", "baselines=none", "data.horizon=2", directory=folder)
    bars = SampleSource().bars("AAPL")
    expected = forecast.load(folder).predict(bars)
    facts = json.loads((folder / "scaler.json").read_text())
    del facts["horizon"], facts["quantile_levels"], facts["normaliser"]["instance_norm"]
    (folder / "scaler.json").write_text(json.dumps(facts))
    config = (folder / "config.yaml").read_text()
    kept = [
        line
        for line in config.splitlines()
        if line.strip().split(":")[0] not in ("instance_norm", "loss") and line != "  calendar: auto"
    ]
    assert len(kept) == len(config.splitlines()) - 3
    (folder / "config.yaml").write_text("\n".join(kept))
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("scaler.json", "config.yaml"):
        manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    predictor = forecast.load(folder)
    assert predictor.horizon == 2
    assert predictor.predict(bars).equals(expected)
