"""The quick form of a network: the same bits, whatever stands beside a window, or no quick form at all."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from torch import nn

from forecast.data.normaliser import WindowNormaliser
from forecast.model.ensemble import Ensemble
from forecast.model.few_rows import FewRows
from forecast.model.forecaster import Forecaster
from forecast.model.layers import Recurrent
from forecast.model.lstm import PackedLSTM
from forecast.model.network import LayeredNetwork
from forecast.serve import quick

LOOKBACK, COLUMNS = 20, 4
STACK = {"input_size": COLUMNS, "lookback": LOOKBACK, "output_size": 1, "hidden_size": 48}
NETWORKS = {
    "lstm": lambda: LayeredNetwork(**STACK, layer_config=["LSTM", "Linear"], num_layers=2),
    "wide lstm": lambda: LayeredNetwork(
        **STACK | {"hidden_size": 128}, layer_config=["LSTM", "Linear"], num_layers=3
    ),
    "several kinds": lambda: LayeredNetwork(
        **STACK, layer_config=["LSTM", "LayerNorm", "GRU", "Linear", "ReLU", "Linear"]
    ),
    "bidirectional": lambda: LayeredNetwork(
        **STACK, layer_config=[{"LSTM": {"bidirectional": True}}, "Linear"]
    ),
    "gru": lambda: LayeredNetwork(**STACK, layer_config=["GRU", "Linear"], num_layers=2),
    "tcn": lambda: LayeredNetwork(**STACK, layer_config=["TCN", "Linear"], num_layers=2),
    "flat": lambda: LayeredNetwork(**STACK, layer_config=["Flatten", "Linear", "GELU", "Linear"]),
    "horizon 3": lambda: LayeredNetwork(**STACK | {"output_size": 3}, layer_config=["LSTM", "Linear"]),
    "ensemble": lambda: Ensemble(**STACK, layer_config=["LSTM", "Linear"], members=3),
    "from elsewhere": lambda: nn.Sequential(nn.Flatten(), nn.Linear(LOOKBACK * COLUMNS, 1)),
}


def windows(count, seed=0):
    """(count, LOOKBACK, COLUMNS) prices and volumes that walk."""
    rng = np.random.default_rng(seed)
    walks = np.exp(0.02 * rng.standard_normal((count, LOOKBACK, COLUMNS)).cumsum(axis=1))
    return (walks * [100.0, 98.0, 99.0, 1e6]).astype(np.float32)


def forecaster(network):
    torch.manual_seed(1)
    built = network()
    with torch.no_grad():
        for parameter in built.parameters():  # a fresh head answers with nothing but zeros
            parameter.uniform_(-0.4, 0.4)
    relations = ["price", "price", "price", "amount"]
    normaliser = WindowNormaliser(anchor="last", relations=relations, closes=[2] * 4, target=2)
    return Forecaster(network=built, normaliser=normaliser)


def recorded(folder, made, count=300):
    """A run directory's kept windows, as the run would have answered them: all at once."""
    asked = windows(count)
    save_file({"windows": asked, "forecast": made.predict(asked)}, folder / "golden.safetensors")
    return folder


@pytest.fixture(scope="module", params=NETWORKS)
def quickened(request, tmp_path_factory):
    usual, made = forecaster(NETWORKS[request.param]), forecaster(NETWORKS[request.param])
    quick.quicken(recorded(tmp_path_factory.mktemp("run"), usual), made)
    return SimpleNamespace(name=request.param, usual=usual, quick=made)


@settings(deadline=None, max_examples=25)
@given(size=st.integers(1, 200), seed=st.integers(1, 10_000))
def test_any_batch_of_unseen_windows_gives_the_same_bits(quickened, size, seed):
    asked = windows(size, seed)
    assert (quickened.quick.predict(asked) == quickened.usual.predict(asked)).all()


def test_a_window_alone_takes_fewer_rows(quickened):
    assert quickened.usual.block == 32
    assert quickened.quick.block == 1
    forms = [form for form in quickened.quick.modules() if isinstance(form, FewRows)]
    assert len(forms) == (3 if quickened.name == "ensemble" else 1)
    assert all(1 <= multiple < 32 for form in forms for multiple in form.multiples)


@pytest.mark.parametrize("name", ["lstm", "wide lstm", "horizon 3", "ensemble"])
def test_the_weights_of_lstms_are_laid_out_once(name, tmp_path):
    made = forecaster(NETWORKS[name])
    layers = sum(layer.cell.num_layers for layer in made.modules() if isinstance(layer, Recurrent))
    quick.quicken(recorded(tmp_path, made), made)
    assert sum(isinstance(layer, PackedLSTM) for layer in made.modules()) == layers
    assert not any(isinstance(layer, Recurrent) for layer in made.modules())


def test_where_weights_cannot_be_laid_out_rows_are_still_saved(tmp_path, monkeypatch):
    def refuse(*_args, **_more):
        raise RuntimeError("could not create a primitive")

    monkeypatch.setattr(PackedLSTM, "__init__", refuse)
    made = forecaster(NETWORKS["lstm"])
    quick.quicken(recorded(tmp_path, made), made)
    assert made.block == 1
    assert isinstance(made.network, FewRows)


def test_a_form_with_other_bits_is_refused(tmp_path, monkeypatch):
    plain = PackedLSTM.forward
    monkeypatch.setattr(PackedLSTM, "forward", lambda self, x: plain(self, x) * (1 + 2**-20))
    made = forecaster(NETWORKS["lstm"])
    quick.quicken(recorded(tmp_path, made), made)
    assert not any(isinstance(layer, PackedLSTM) for layer in made.modules())
    assert isinstance(made.network, FewRows)


def test_where_no_form_agrees_the_network_stays(tmp_path):
    made = forecaster(NETWORKS["gru"])
    folder = recorded(tmp_path, forecaster(NETWORKS["lstm"]))  # of another network
    before = made.network
    quick.quicken(folder, made)
    assert made.network is before
    assert made.block == 32


def test_a_run_that_kept_few_windows(tmp_path):
    made = forecaster(NETWORKS["lstm"])
    usual = forecaster(NETWORKS["lstm"])
    quick.quicken(recorded(tmp_path, made, count=3), made)
    asked = windows(70, seed=5)
    assert (made.predict(asked) == usual.predict(asked)).all()
