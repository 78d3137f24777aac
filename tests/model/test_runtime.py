"""Recurrent layers that ONNX Runtime answers, held against torch's own."""

import itertools
import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn

from forecast.model import AroundReference, Average, Ensemble, Naive
from forecast.model.layers import Recurrent
from forecast.model.neural import NetworkForecaster
from forecast.model.runtime import MOST_WINDOWS, use_onnx_runtime

FACTS = {"input_size": 3, "lookback": 6, "output_size": 1, "hidden_size": 5}


def layer(kind=nn.LSTM, **keys):
    torch.manual_seed(0)
    return Recurrent(kind=kind, input_size=3, hidden_size=5, **keys).eval()


@torch.inference_mode()
def both(one, windows):
    """The outputs of torch and of ONNX Runtime."""
    one.run = None
    expected = one(windows)
    assert use_onnx_runtime(one, threads=1) == [one]
    return expected, one(windows)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_answers_are_those_of_torch(kind):
    """Stacked, in both directions, of every step or the last, of any number of windows of any length."""
    for layers, two_ways, last in itertools.product((1, 3), (False, True), (False, True)):
        made = layer(kind, num_layers=layers, bidirectional=two_ways, last=last)
        for batch, lookback in ((1, 1), (1, 9), (MOST_WINDOWS, 20)):
            expected, found = both(made, torch.randn(batch, lookback, 3))
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
            assert not torch.equal(found, expected) or lookback == 1, "torch answered"


def test_torch_answers_what_the_runtime_does_not():
    windows = torch.randn(2, 9, 3)
    windows[0, 4, 1] = float("nan")
    expected, found = both(layer(), windows)
    assert expected[0, 4:].isnan().all()
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    for count in (0, MOST_WINDOWS + 1):
        assert torch.equal(*both(layer(), torch.randn(count, 9, 3)))
    made = layer()
    use_onnx_runtime(made, threads=1)
    made(torch.randn(2, 9, 3, requires_grad=True)).sum().backward()
    assert made.cell.weight_ih_l0.grad.abs().sum() > 0
    assert made.double()(windows.double()).dtype == torch.float64


def test_copies_and_further_training_answer_by_torch():
    made, windows = layer(num_layers=2, dropout=0.5), torch.randn(2, 9, 3)
    expected, _ = both(made, windows)
    with torch.inference_mode():
        for copied in (deepcopy(made), pickle.loads(pickle.dumps(made))):
            assert torch.equal(copied(windows), expected)
        made.train()
        nn.init.zeros_(made.cell.weight_ih_l0)
        assert not torch.allclose(made.eval()(windows), expected, atol=1e-3)


def test_every_network_of_a_forecaster_is_found():
    plan = FACTS | {"layer_config": [{"LSTM": {"bidirectional": True}}, "GRU", "Linear"]}

    def forecaster(network):
        return NetworkForecaster(make_network=lambda: network, lookback=6)

    ensemble, around = Ensemble(**plan, members=2), AroundReference(**plan, reference=Naive())
    made = {"one": forecaster(ensemble), "two": forecaster(around), "three": Naive()}
    average = Average(members={name: {"name": name} for name in made}, make=lambda node: made[node["name"]])
    found = use_onnx_runtime(average, threads=1)
    assert found == [one for stack in (*ensemble.members, around.layers) for one in list(stack)[:2]]
    assert use_onnx_runtime(Naive(), threads=1) == []
    windows = torch.randn(4, 6, 3)
    for one in found:
        torch.testing.assert_close(*both(one, windows if one.cell.input_size == 3 else torch.randn(4, 6, 10)))
