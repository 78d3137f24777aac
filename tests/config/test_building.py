"""Nodes to objects."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hydra.errors import InstantiationException
from omegaconf import OmegaConf

from forecast.config import build
from forecast.errors import UserError

pytestmark = pytest.mark.usefixtures("parts")


@dataclass
class Passed:
    """A dataclass, which Hydra would take for a config."""

    path: str = "here"


def test_what_is_supplied_arrives_as_it_is_and_lists_are_plain():
    source = Passed()
    node = OmegaConf.create(
        {
            "_target_": "parts.Data",
            "tickers": ["A"],
            "weights": {"A": 1},
            "scaler": {"_target_": "parts.Scaler"},
        }
    )
    data = build(node, source=source)
    assert data.source is source
    assert (type(data.tickers), type(data.weights), data.scaler.floor) == (list, dict, 0.0)


def test_a_node_that_is_not_recursive_keeps_its_nodes():
    layer = {"_target_": "parts.Layer", "width": 4}
    node = OmegaConf.create(
        {"_target_": "parts.Model", "_recursive_": False, "layer_config": ["LSTM", layer]}
    )
    model = build(node, input_size=1, lookback=2, output_size=3)
    assert model.layer_config == ["LSTM", layer]
    assert build(model.layer_config[1], in_features=5).in_features == 5


def test_null_builds_nothing():
    assert build(None) is None


@pytest.mark.parametrize("key", ["data.scaler", "scaler alone"])
def test_a_constructors_refusal_arrives_as_it_was_raised(key):
    scaler = {"_target_": "parts.Scaler", "floor": -1}
    node = {"_target_": "parts.Data", "scaler": scaler} if key == "data.scaler" else scaler
    supplied = {"source": None} if key == "data.scaler" else {}
    with pytest.raises(UserError, match=r"^data\.scaler\.floor=-1: must be >= 0$"):
        build(OmegaConf.create(node), **supplied)


def test_a_target_that_hydra_forbids_is_the_users_mistake():
    with pytest.raises(UserError, match=r"os\.remove"):
        build(OmegaConf.create({"_target_": "os.remove", "path": "x"}))


def test_our_own_fault_stays_what_it_is():
    with pytest.raises(ZeroDivisionError, match="faulty"):
        build(OmegaConf.create({"_target_": "parts.Faulty"}))
    nested = OmegaConf.create({"_target_": "parts.Data", "scaler": {"_target_": "parts.Faulty"}})
    with pytest.raises(InstantiationException, match="faulty"):
        build(nested, source=None)
