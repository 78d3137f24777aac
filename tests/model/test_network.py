"""layer_config: shapes flow through, wrong orders are refused by name, every named layer works."""

import pytest
import torch
from torch import nn

from forecast.errors import UserError
from forecast.model.layers import TemporalBlock
from forecast.model.network import LayeredNetwork


def network(layer_config, *, input_size=4, lookback=12, output_size=3, **keys):
    torch.manual_seed(0)
    return LayeredNetwork(
        input_size=input_size, lookback=lookback, output_size=output_size, layer_config=layer_config, **keys
    )


ELEMENTWISE = ["ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Tanh", "Sigmoid", "Softplus", "Identity"]
STACKS = [
    ["LSTM", "Linear"],
    ["GRU", "Linear"],
    ["RNN", "Linear"],
    ["TCN", "Linear"],
    ["Flatten", "Linear"],
    ["LSTM", "LayerNorm", "LSTM", "Dropout", "Linear", "ReLU", "Linear"],
    ["Linear", "ReLU", "GRU", "Linear"],
    ["LSTM", "Flatten", "Linear"],
    ["LastStep", "Linear"],
    ["TCN", "GRU", "Linear"],
    [{"LSTM": {"hidden_size": 7, "bidirectional": True, "num_layers": 2, "dropout": 0.1}}, "Linear"],
    [{"LSTM": {"bidirectional": True}}, "LSTM", "Linear"],
    [{"LSTM": None}, "Linear"],
    [{"Linear": {"out_features": 5, "bias": False}}, "LSTM", {"Dropout": {"p": 0.5}}, "Linear"],
    ["Flatten", {"_target_": "torch.nn.Linear", "out_features": 9}, "ReLU", "Linear"],
    ["Flatten", {"_target_": "torch.nn.LazyLinear", "out_features": 9}, "Linear"],
    *[["Flatten", "Linear", name, "Linear"] for name in ELEMENTWISE],
    *[["GRU", name, "Linear"] for name in ELEMENTWISE],
]


@pytest.mark.parametrize("layer_config", STACKS, ids=str)
@pytest.mark.parametrize(("lookback", "output_size"), [(1, 1), (12, 3)])
def test_shapes_flow_through(layer_config, lookback, output_size):
    net = network(layer_config, lookback=lookback, output_size=output_size)
    out = net(torch.randn(6, lookback, 4))
    assert out.shape == (6, output_size)
    out.sum().backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize("layer_config", [stack for stack in STACKS if stack[-1] == "Linear"], ids=str)
def test_untrained_network_answers_zero(layer_config):
    assert not network(layer_config)(torch.randn(6, 12, 4)).any()


def test_sizes_come_from_the_config_or_the_layer():
    net = network(["LSTM", "Linear"], hidden_size=17, num_layers=3)
    assert (net[0].cell.hidden_size, net[0].cell.num_layers) == (17, 3)
    net = network([{"LSTM": {"hidden_size": 5}}, "Linear"], hidden_size=17)
    assert net[0].cell.hidden_size == 5
    assert (net[1].in_features, net[1].out_features) == (5, 3)


def test_recurrent_output_is_torch_s_own():
    net = network(["LSTM", "Linear"], hidden_size=8, num_layers=2)
    reference = nn.LSTM(4, 8, 2, batch_first=True)
    reference.load_state_dict(net[0].cell.state_dict())
    x = torch.randn(5, 12, 4)
    torch.testing.assert_close(net[0](x), reference(x)[0][:, -1])


def test_bidirectional_reads_the_whole_window_in_both_directions():
    net = network([{"GRU": {"bidirectional": True, "hidden_size": 6}}, "Linear"])
    x = torch.randn(2, 12, 4, requires_grad=True)
    net[0](x)[:, 6:].sum().backward()  # the backward half
    assert (x.grad.abs().sum(dim=-1) > 0).all()


@pytest.mark.parametrize("change_at", [0, 5, 11])
def test_tcn_is_causal(change_at):
    torch.manual_seed(0)
    block = TemporalBlock(input_size=4, hidden_size=8, num_layers=3)
    x = torch.randn(1, 12, 4)
    changed = x.clone()
    changed[:, change_at:] += 1
    same = (block(x) == block(changed)).all(dim=-1)[0]
    assert same[:change_at].all()
    assert not same[change_at:].any()


@pytest.mark.parametrize(
    ("layer_config", "message"),
    [
        (["LSMT", "Linear"], r"model\.layer_config\[0\]=LSMT: unknown layer; did you mean LSTM\?"),
        (
            ["Flatten", "LSTM", "Linear"],
            r"model\.layer_config\[1\]=LSTM: cannot stand after layer_config\[0\]=Flatten: gets \(48,\), needs \(lookback, features\)",
        ),
        (["LSTM", "Linear", "Flatten", "LSTM"], r"layer_config\[3\]=LSTM: .*gets \(\d+,\)"),
        (["Linear"], r"layer_config\[0\]=Linear: cannot stand as first layer: gets \(12, 4\), needs \(features,\)"),
        (["ReLU", "Linear"], r"layer_config\[1\]=Linear: cannot stand after layer_config\[0\]=ReLU: gets \(12, 4\)"),
        (["Linear", "LSTM"], r"last layer layer_config\[1\]=LSTM gives \(32,\), needs \(3,\): one answer a step of data.horizon \(and quantile\); end with Linear"),
        (["LSTM", "Linear", "ReLU", "Flatten", {"Linear": {"out_features": 2}}], r"gives \(2,\), needs \(3,\)"),
        ([{"LSTM": {"hiden_size": 3}}, "Linear"], r"layer_config\[0\]=LSTM: .*hiden_size"),
        ([{"LSTM": {"hidden_size": 0}}, "Linear"], r"layer_config\[0\]=LSTM: "),
        ([{"LSTM": 5}, "Linear"], r"layer_config\[0\]=LSTM: its arguments must be key: value pairs"),
        ([["LSTM"], "Linear"], r"layer_config\[0\]=\['LSTM'\]: must be a name"),
        ([{"_target_": "collections.OrderedDict"}, "Linear"], r"layer_config\[0\]=collections.OrderedDict: gives a OrderedDict"),
        ([{"_target_": "torch.nn.Conv2d", "out_channels": 3, "kernel_size": 3}, "Linear"], r"layer_config\[0\]=torch.nn.Conv2d: cannot take \(12, 4\)"),
    ],
    ids=str,
)  # fmt: skip
def test_impossible_networks_are_refused_in_one_line(layer_config, message):
    with pytest.raises(UserError, match=message) as refused:
        network(layer_config)
    assert "\n" not in str(refused.value)
