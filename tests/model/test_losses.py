"""Losses, and the quantiles a network answers with."""

import numpy as np
import pytest
import torch
from forecasters import trained, whole, with_network
from sklearn.metrics import mean_pinball_loss
from torch import nn

from forecast.data import MarketData, TimeSeriesScaler
from forecast.data.features import NoProcessing
from forecast.data.normaliser import WindowNormaliser
from forecast.data.sources import SyntheticSource
from forecast.errors import UserError
from forecast.model import LayeredNetwork, Trainer
from forecast.model.optimisation import loss_function, pinball

LEVELS = (0.05, 0.3, 0.5, 0.95)
LOSSES = ["mse", "mae", "huber", "quantile"]


def trainer(loss, **keys):
    plan = {"max_epochs": 3, "learning_rate": 3e-3, "progress": "off", "quantiles": LEVELS} | keys
    return Trainer(metric="val_loss", mode="min", seed=0, loss=loss, **plan)


@pytest.fixture(scope="module")
def data():
    data = MarketData(
        source=SyntheticSource(num_bars=500), features=NoProcessing(), scope="panel", tickers=["A", "B"],
        seq_len=8, horizon=3, scaler=TimeSeriesScaler(), batch_size=16,
    )  # fmt: skip
    data.prepare()
    return data


def fitted(data, loss, **keys):
    one = trainer(loss, **keys)
    sizes = {**data.facts, "output_size": data.horizon * len(one.quantile_levels or [0.5])}
    return trained(one, lambda: LayeredNetwork(**sizes, layer_config=["GRU", "Linear"], hidden_size=6), data)


def test_pinball_is_scikit_learn_s():
    torch.manual_seed(0)
    answers, targets = torch.randn(50, 2 * len(LEVELS)), torch.randn(50, 2)
    by_level = answers.view(50, 2, -1)
    expected = np.mean(
        [
            mean_pinball_loss(targets.ravel(), by_level[..., number].ravel(), alpha=level)
            for number, level in enumerate(LEVELS)
        ]
    )
    assert float(pinball(answers, targets, levels=torch.tensor(LEVELS))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "by_hand"), [("mse", [0.01, 9.0]), ("mae", [0.1, 3.0]), ("huber", [0.005, 2.5])]
)
def test_a_loss_of_a_small_and_a_large_error(name, by_hand):
    loss = loss_function(name, levels=None)
    for error, expected in zip((0.1, -3.0), by_hand, strict=True):
        assert float(loss(torch.tensor([[error]]), torch.zeros(1, 1))) == pytest.approx(expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_val_loss_is_the_loss_that_is_trained_on(data, loss):
    forecaster, fit = fitted(data, loss)
    batch = whole(data, "val")
    windows, future = torch.from_numpy(batch.windows), torch.from_numpy(batch.future)
    with torch.no_grad():
        answers = forecaster.answers(windows)
        again = loss_function(loss, levels=LEVELS)(answers, data.normaliser_.targets(windows, future))
    assert fit.history[fit.best_epoch]["val_loss"] == pytest.approx(float(again), rel=1e-5)
    assert fit.history[-1]["train_loss"] < fit.history[0]["train_loss"]


def test_each_loss_gives_other_weights(data):
    weights = [
        torch.cat([p.detach().ravel()[:20] for p in fitted(data, loss)[0].network.parameters()])
        for loss in ("mse", "mae", "huber")
    ]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[0], weights[2])


def test_quantiles_enclose_the_share_they_say(data):
    forecaster, _ = fitted(data, "quantile", max_epochs=12, patience=None, learning_rate=1e-2)
    for name in ("train", "val"):
        batch = whole(data, name)
        actual = batch.future[..., data.layout.target]
        quantiles = forecaster.forecast(batch).quantiles
        assert quantiles.shape == (*actual.shape, len(LEVELS))
        below = (actual[..., None] <= quantiles).mean(axis=(0, 1))
        np.testing.assert_allclose(below, LEVELS, atol=0.03 if name == "train" else 0.08)


def test_the_forecast_is_the_median(data):
    forecaster, fit = fitted(data, "quantile")
    batch = whole(data, "val")
    found = forecaster.forecast(batch)
    np.testing.assert_array_equal(found.values, found.quantiles[..., LEVELS.index(0.5)])
    error = np.sqrt(np.mean((found.values - batch.outcome) ** 2))
    assert fit.history[fit.best_epoch]["val_rmse"] == pytest.approx(error, rel=1e-5)


class Crossing(nn.Module):
    """Answers that fall from level to level."""

    def __init__(self):
        super().__init__()
        self.answers = nn.Parameter(torch.tensor([0.03, 0.02, 0.01, -0.05, 0.0, 0.5, -0.5, 0.25]))

    def forward(self, windows):
        return self.answers.expand(len(windows), -1)


def test_quantiles_that_cross_change_places():
    normaliser = WindowNormaliser(anchor="last", relations=["price"], closes=[0], target=0)
    forecaster = with_network(Crossing(), normaliser, quantile_levels=LEVELS)
    windows = np.full((2, 4, 1), 100.0, np.float32)
    found = forecaster.forecast_windows(windows)
    expected = [[95, 101, 102, 103], [50, 100, 125, 150]]  # a step's levels stand side by side
    np.testing.assert_allclose(found.quantiles, [expected, expected], rtol=1e-6)
    np.testing.assert_allclose(found.values, [[102, 125]] * 2, rtol=1e-6)


def test_levels():
    assert trainer("mse").quantile_levels is None
    assert trainer("quantile").quantile_levels == LEVELS


@pytest.mark.parametrize("levels", [[0.9, 0.5], [0.1, 0.9], [], [0.5, 0.5], [0.1, 0.50001, 0.9]])
def test_levels_that_cannot_be(levels):
    with pytest.raises(
        UserError, match=r"trainer.quantiles=\[.*\]: must be ascending with 0.5, the forecast itself"
    ):
        trainer("quantile", quantiles=levels)
