"""An LSTM: torch's own to six digits, and the same bits for a window alone as among many; in training torch's bits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from forecast.model.layers import Recurrent
from forecast.model.lstm import PackedLSTM, suits


def recurrent(features, width, layers, *, last=True):
    torch.manual_seed(0)
    built = Recurrent(kind=nn.LSTM, input_size=features, hidden_size=width, num_layers=layers, last=last)
    return built.eval()


sizes = {
    "features": st.integers(1, 40),
    "width": st.integers(1, 40),
    "layers": st.integers(1, 3),
    "lookback": st.integers(1, 30),
}


@settings(deadline=None, max_examples=40)
@given(**sizes, batch=st.integers(1, 70), seed=st.integers(0, 1000))
def test_a_window_is_answered_the_same_alone_and_among_others(features, width, layers, lookback, batch, seed):
    layer = recurrent(features, width, layers)
    x = torch.randn(batch, lookback, features, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        together = layer(x)
        for place in {0, batch // 2, batch - 1}:
            assert torch.equal(layer(x[place : place + 1])[0], together[place])


@settings(deadline=None, max_examples=40)
@given(**sizes, last=st.booleans())
def test_it_is_torchs_lstm(features, width, layers, lookback, last):
    layer = recurrent(features, width, layers, last=last)
    x = torch.randn(5, lookback, features, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        steps, _ = layer.cell(x.transpose(0, 1))
        wanted = steps[-1] if last else steps.transpose(0, 1)
        found = layer(x)
        assert suits(layer.cell)
        packed = x
        for number in range(layers):
            final = number == layers - 1
            packed = PackedLSTM(layer.cell, number=number, lookback=lookback, last=last and final)(packed)
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert torch.equal(packed, found)


@settings(deadline=None, max_examples=40)
@given(**sizes, last=st.booleans(), training=st.booleans(), dropout=st.sampled_from([0.0, 0.3]))
def test_with_gradients_it_is_torchs_lstm_to_the_bit(
    features, width, layers, lookback, last, training, dropout
):
    torch.manual_seed(0)
    layer = Recurrent(
        kind=nn.LSTM, input_size=features, hidden_size=width, num_layers=layers, dropout=dropout, last=last
    ).train(training)
    x = torch.randn(5, lookback, features, generator=torch.Generator().manual_seed(1), requires_grad=True)

    def gone_through(forward):
        torch.manual_seed(2)  # of the dropout
        layer.zero_grad()
        out = forward()
        (gradient,) = torch.autograd.grad(out.square().sum(), x, retain_graph=True)
        out.square().sum().backward(inputs=list(layer.parameters()))
        return out, gradient, *[parameter.grad for parameter in layer.parameters()]

    def of_the_cell():
        steps, _ = layer.cell(x.transpose(0, 1))
        return steps[-1] if last else steps.transpose(0, 1)

    for found, wanted in zip(gone_through(lambda: layer(x)), gone_through(of_the_cell), strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("more", [{"bidirectional": True}, {"proj_size": 2}, {"bias": False}])
def test_others_are_left_to_torch(more):
    assert not suits(nn.LSTM(4, 8, **more))
    assert not suits(nn.GRU(4, 8))
