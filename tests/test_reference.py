"""What a run keeps of its training inputs: ranges and deciles, as the network saw them."""

import json
import shutil

import numpy as np
import pytest
from commands import SMALL
from composed import compose
from markets import STRATEGIES, market, tables

import forecast
from forecast.bundle import verify
from forecast.bundle.reference import counted, inputs_of, read_reference, reference_of
from forecast.config import build
from forecast.errors import UserError

WORDS = (*SMALL, "tracker=none", "baselines=none", "data=range_panel", "data.tickers=[AAPL,IBM]")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return forecast.run(*WORDS, directory=tmp_path_factory.mktemp("runs") / "run").directory


def test_it_is_of_the_windows_the_run_was_trained_on(run):
    config = compose(*WORDS)
    data = build(config.data, source=build(config.source), target=build(config.get("target")))
    data.prepare()
    train = data.windows_["train"]
    inputs = inputs_of(data.normaliser_, train.take(np.arange(len(train))).windows.copy())
    kept = read_reference(run)
    assert kept.windows == len(train)
    assert kept.names == ["High", "Low", "Close", "Volume", "Range"]
    np.testing.assert_allclose(kept.low, inputs.min(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(kept.high, inputs.max(axis=(0, 1)), rtol=1e-5)
    assert not kept.outside(inputs).any()
    for number in range(len(kept.names)):
        own = inputs[..., number].ravel()
        assert set(kept.edges[number]) <= set(own.astype(np.float64))
        np.testing.assert_allclose(kept.shares[number], counted(own, kept.edges[number]) / own.size)


def test_it_is_strict_json_and_in_the_manifest(run, tmp_path):
    json.loads((run / "reference.json").read_text(), parse_constant=pytest.fail)
    assert "reference.json" in verify(run)["files"]
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "reference.json").write_text("{}")
    with pytest.raises(UserError, match=r"reference\.json"):
        forecast.load(copy)


def test_a_run_of_before_has_none_and_serves(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "reference.json").unlink()
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["files"]["reference.json"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    forecast.load(copy)
    assert read_reference(copy) is None


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("anchor", ["last", "none"])
def test_every_strategy_has_one_and_none_of_its_bins_is_empty(strategy, anchor):
    data = market(tables(), strategy, anchor=anchor)
    train = data.windows_["train"]
    inputs = inputs_of(data.normaliser_, train.take(np.arange(len(train))).windows.copy())
    kept = reference_of(inputs, data.layout.names[: inputs.shape[2]])
    assert len(kept.names) == inputs.shape[2]
    assert all((share > 0).all() for share in kept.shares)
    assert all(share.sum() == pytest.approx(1) for share in kept.shares)
    assert all(len(share) == len(edge) + 1 <= 10 for share, edge in zip(kept.shares, kept.edges, strict=True))
    again = type(kept).from_json(json.loads(json.dumps(kept.to_json(), allow_nan=False)))
    np.testing.assert_array_equal(again.low, kept.low)
    assert not again.outside(inputs).any()
    beyond = inputs.copy()
    beyond[3, 0, -1] = kept.high[-1] + 0.01 * (1 + abs(kept.high[-1]))
    assert np.argwhere(again.outside(beyond)).tolist() == [[3, inputs.shape[2] - 1]]


@pytest.mark.parametrize(
    ("values", "edges"), [([7.0] * 50, []), ([0.0] * 40 + [1.0] * 10, [1.0]), ([0.0] * 5 + [1.0] * 45, [1.0])]
)
def test_what_hardly_varies_has_fewer_bins(values, edges):
    kept = reference_of(np.asarray(values, np.float32).reshape(10, 5, 1), ["one"])
    assert kept.edges[0].tolist() == edges
    assert (kept.shares[0] > 0).all()
