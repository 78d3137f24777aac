"""An ensemble: networks that stand alone in training and answer together."""

import numpy as np
import pytest
import torch
from forecasters import trained, with_network
from torch import nn

from forecast.data import MarketData, TimeSeriesScaler
from forecast.data.features import NoProcessing
from forecast.data.sources import SyntheticSource
from forecast.errors import UserError
from forecast.model import Ensemble, LayeredNetwork, Trainer

PLAN = {"layer_config": ["GRU", "Linear"], "hidden_size": 6, "num_layers": 1, "dropout": 0.0}
FACTS = {"input_size": 4, "lookback": 8, "output_size": 1}


def ensemble(members, *, seed=0, **keys):
    torch.manual_seed(seed)
    return Ensemble(**FACTS | PLAN | keys, members=members)


def weights(network):
    return torch.cat([parameter.detach().ravel() for parameter in network.parameters()])


def answering(network):
    """Its last layer would answer zero."""
    torch.manual_seed(1)
    for member in network.members:
        nn.init.normal_(member[-1].weight)
    return network


@pytest.fixture(scope="module")
def data():
    data = MarketData(
        source=SyntheticSource(num_bars=400), features=NoProcessing(), scope="panel", tickers=["A", "B"],
        seq_len=8, scaler=TimeSeriesScaler(), batch_size=16,
    )  # fmt: skip
    data.prepare()
    return data


def fit(data, network, **keys):
    plan = {"max_epochs": 1, "learning_rate": 1e-2, "gradient_clip": 0.05, "progress": "off"} | keys
    trainer = Trainer(metric="val_loss", mode="min", seed=0, **plan)
    return trained(trainer, lambda: network, data)


def test_first_weights_depend_on_seed_and_place_alone():
    three, five, again, other = ensemble(3), ensemble(5), ensemble(5), ensemble(5, seed=1)
    for k in range(3):
        assert torch.equal(weights(three.members[k]), weights(five.members[k]))
    assert torch.equal(weights(five), weights(again))
    assert not torch.equal(weights(five), weights(other))
    for k in range(1, 5):
        assert not torch.equal(weights(five.members[0]), weights(five.members[k]))
    torch.manual_seed(0)
    assert torch.equal(weights(LayeredNetwork(**FACTS, **PLAN)), weights(five.members[0]))


def test_the_answer_is_the_mean():
    network = answering(ensemble(4, output_size=6))
    windows = torch.randn(32, 8, 4)
    expected = torch.stack([member(windows) for member in network.members]).mean(dim=0)
    torch.testing.assert_close(network(windows), expected)
    assert expected.abs().max() > 0


def test_each_member_is_trained_as_if_it_stood_alone(data):
    together, _ = fit(data, ensemble(3))
    for k in range(3):
        alone, _ = fit(data, ensemble(3).members[k])
        assert torch.equal(weights(alone.network), weights(together.network.members[k]))
    assert not torch.equal(weights(together.network.members[0]), weights(ensemble(3).members[0]))


def test_its_losses_are_the_members_mean_and_the_mean_s_own(data):
    _, result = fit(data, ensemble(3), max_epochs=2)
    alone = [fit(data, ensemble(3).members[k], max_epochs=2)[1] for k in range(3)]
    for epoch in range(2):
        losses = [one.history[epoch]["train_loss"] for one in alone]
        assert result.history[epoch]["train_loss"] == pytest.approx(np.mean(losses), rel=1e-6)
    # Squared errors of a mean are at most the mean of squared errors.
    assert result.history[0]["val_loss"] <= np.mean([one.history[0]["val_loss"] for one in alone]) + 1e-9


def test_forecasts_do_not_depend_on_the_batch(data):
    network = answering(ensemble(3, hidden_size=16))
    forecaster = with_network(network, data.normaliser_)
    windows = data.windows_["train"].take(np.arange(100)).windows
    pieces = [forecaster.forecast_windows(windows[at : at + 7]).values for at in range(0, 100, 7)]
    together = forecaster.forecast_windows(windows).values
    np.testing.assert_allclose(np.concatenate(pieces), together, rtol=1e-6)


def test_quantiles_of_an_ensemble_are_the_means_of_its_members(data):
    levels = (0.1, 0.5, 0.9)
    network = ensemble(3, output_size=3)
    forecaster, _ = fit(data, network, loss="quantile", quantiles=levels, max_epochs=4)
    windows = data.windows_["val"].take(np.arange(40)).windows
    members = [
        with_network(member, data.normaliser_, quantile_levels=levels).forecast_windows(windows).quantiles
        for member in network.members
    ]
    quantiles = forecaster.forecast_windows(windows).quantiles
    np.testing.assert_allclose(quantiles, np.mean(members, axis=0), rtol=1e-4)
    assert (np.diff(quantiles, axis=-1) >= 0).all()


def test_weights_load_strictly():
    network, other = answering(ensemble(2)), ensemble(2, seed=5)
    other.load_state_dict(network.state_dict(), strict=True)
    assert torch.equal(weights(network), weights(other))
    for wrong in (ensemble(3), ensemble(1), ensemble(2, hidden_size=5)):
        with pytest.raises(RuntimeError):
            wrong.load_state_dict(network.state_dict(), strict=True)


def test_a_layer_that_cannot_follow_is_refused_as_in_one_network():
    with pytest.raises(
        UserError, match=r"model.layer_config\[1\]=LSTM: cannot stand after layer_config\[0\]=Flatten"
    ):
        ensemble(2, layer_config=["Flatten", "LSTM", "Linear"])
