"""The linear map that a network starts from: what it finds, what it leaves alone, and how the network keeps it."""

import numpy as np
import pytest
import torch
from forecasters import trained
from markets import market

from forecast.errors import UserError
from forecast.evaluate.metrics import Metrics
from forecast.model import LayeredNetwork, Ridge, Trainer
from forecast.model.neural import NetworkForecaster
from forecast.model.optimisation import Adam, AdamW
from forecast.model.shrinkage import fit_linear, moves_of, of_inputs

SIGNAL = 0.1  # of each return, what follows of it: an R2 of 1 %


def follower(*, share, seed, count=3270):
    """Bars whose returns follow the one before."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    returns = np.zeros(count)
    noise = rng.normal(0, 0.02, count)
    for place in range(1, count):
        returns[place] = share * returns[place - 1] + noise[place]
    close = 50 * np.exp(np.cumsum(returns))
    opened = close * np.exp(rng.normal(0, 0.01, count))
    high, low = np.maximum(opened, close) * 1.005, np.minimum(opened, close) / 1.005
    index = pd.bdate_range("2005-01-03", periods=count, name="Date").as_unit("ns")
    volume = rng.integers(1_000, 1_000_000, count).astype(float)
    return pd.DataFrame(
        {"Open": opened, "High": high, "Low": low, "Close": close, "Volume": volume}, index=index
    )


def single(*, share, seed, **keys):
    table = follower(share=share, seed=seed)
    return market({"T": table}, "no_processing_single", **{"seq_len": 20, "horizon": 1} | keys)


def excess(data, found, *, share):
    """Squared error of the forecast move, and of none, in units of what came: the known mean stands for what came, so
    that no luck of the test bars is in it."""
    windows = data.windows_["test"]
    batch = windows.take(np.arange(len(windows)))
    inputs = data.normaliser_.inputs(torch.from_numpy(batch.windows)).flatten(1).numpy()
    answers = torch.from_numpy(inputs @ found.coefficients + found.intercept)
    values = data.normaliser_.values(torch.from_numpy(batch.windows), answers).numpy()
    last = batch.history[:, -1]
    mean = share * (last / batch.history[:, -2] - 1)
    size = np.square(batch.outcome[:, 0] / last - 1).sum()
    return np.square(values[:, 0] / last - 1 - mean).sum() / size, np.square(mean).sum() / size


def test_half_of_a_signal_of_one_percent_is_found():
    pairs = [
        excess(data, fit_linear(data), share=SIGNAL)
        for data in (single(share=SIGNAL, seed=seed) for seed in range(4))
    ]
    missed, there = np.sum(pairs, axis=0)
    assert missed < 0.5 * there


def test_next_to_nothing_is_found_where_nothing_is_there():
    for seed in range(4):
        data = single(share=0.0, seed=seed)
        found = fit_linear(data)
        added, _ = excess(data, found, share=0.0)
        assert added < 0.002  # an RMSE of 1.001 times the least there can be
    strong = fit_linear(single(share=0.5, seed=0))
    assert strong.nothing[0] < 1e-6


def test_ridge_is_that_map_and_keeps_it():
    data = single(share=SIGNAL, seed=1)
    ridge, found = Ridge(), fit_linear(data)
    ridge.fit(data)
    np.testing.assert_array_equal(ridge.coefficients_, found.coefficients)
    assert ridge.alpha_ is None
    again = Ridge()
    arrays, facts = ridge.state()
    again.restore(arrays, facts | {"lookback": 20, "horizon": 1})
    windows = data.windows_["val"]
    batch = windows.take(windows.spread(64))
    np.testing.assert_array_equal(again.forecast(batch).values, ridge.forecast(batch).values)


def test_the_same_bars_twice_are_no_more_evidence():
    table = follower(share=SIGNAL, seed=2, count=1500)
    once = fit_linear(market({"A": table}, "no_processing_panel", horizon=1))
    twice = fit_linear(market({"A": table, "B": table}, "no_processing_panel", horizon=1))
    np.testing.assert_allclose(twice.coefficients, once.coefficients, rtol=1e-6, atol=1e-9)


def test_levels_are_left_to_the_penalty():
    data = single(share=SIGNAL, seed=0, anchor="none")
    assert fit_linear(data) is None
    ridge = Ridge()
    ridge.fit(data)
    assert ridge.alpha_ is not None


@pytest.mark.parametrize("lags", [1, 2, 7])
def test_moves_and_inputs_are_the_same_map(lags):
    rng = np.random.default_rng(0)
    inputs, moved = rng.normal(size=(5, lags, 3)), np.array([True, False, True])
    coefficients = rng.normal(size=(3 * lags, 2))
    found = of_inputs(coefficients, moved, lags).reshape(3 * lags, 2)
    np.testing.assert_allclose(inputs.reshape(5, -1) @ found, moves_of(inputs, moved) @ coefficients)


def fit(data, **keys):
    trainer = Trainer(metric="val_rmse", mode="min", seed=0, max_epochs=2, progress="off", **keys)

    def network():
        return LayeredNetwork(**data.facts, layer_config=["GRU", "Linear"], hidden_size=6)

    return trained(trainer, network, data)[0]


def test_a_network_starts_from_the_map_and_keeps_it():
    data = single(share=0.3, seed=3)
    forecaster = fit(data, decay="decoupled", weight_decay=3e-3)
    windows = data.windows_["test"]
    batch = windows.take(windows.spread(200))
    forecast = forecaster.forecast(batch).values
    naive = np.square(batch.outcome - batch.history[:, -1:]).sum()
    assert np.square(batch.outcome - forecast).sum() < 0.97 * naive  # 0.91 is all there is
    arrays, facts = forecaster.state()
    again = NetworkForecaster(make_network=forecaster.make_network, lookback=20)
    again.restore(arrays, facts)
    np.testing.assert_array_equal(again.forecast(batch).values, forecast)
    # a run of an earlier version had none
    older = {name: value for name, value in arrays.items() if not name.startswith("start.")}
    assert len(older) == len(arrays) - 2
    again.restore(older, facts)
    assert not np.allclose(again.forecast(batch).values, forecast, rtol=1e-6)


def test_the_old_decay_starts_from_nothing_and_zero_can_be_asked_for():
    data = single(share=0.3, seed=3)
    names = [
        {name for name in fit(data, **keys).state()[0] if name.startswith("start.")}
        for keys in (
            {"decay": "l2"},
            {"decay": "decoupled", "start": "zero"},
            {"decay": "l2", "start": "linear"},
        )
    ]
    assert names == [set(), set(), {"start.coefficients", "start.intercept"}]


def test_quantiles_start_from_the_map_too():
    data = single(share=0.3, seed=3, horizon=2)
    trainer = Trainer(
        metric="val_rmse",
        mode="min",
        seed=0,
        max_epochs=1,
        progress="off",
        loss="quantile",
        decay="decoupled",
    )
    sizes = data.facts | {"output_size": 6}
    forecaster = NetworkForecaster(
        make_network=lambda: LayeredNetwork(**sizes, layer_config=["GRU", "Linear"], hidden_size=4),
        lookback=20,
        trainer=trainer,
        score=Metrics(),
    )
    forecaster.fit(data)
    windows = data.windows_["test"]
    batch = windows.take(windows.spread(100))
    found = forecaster.forecast(batch)
    assert found.quantiles.shape == (len(batch.rows), 2, 3)
    assert (
        np.square(batch.outcome - found.values).sum() < np.square(batch.outcome - batch.history[:, -1:]).sum()
    )


def test_a_decay_apart_from_the_gradient_leaves_a_network_that_sees():
    """With a gradient that is small beside it, L2 inside Adam is all of a step; decoupled, it is a share of a weight."""
    left = {}
    for kind, decay in ((Adam, 3e-3), (AdamW, 3.0)):
        weight = torch.nn.Parameter(torch.full((8,), 0.2))
        optimiser = kind([weight], learning_rate=1e-3, weight_decay=decay)
        noise = torch.Generator().manual_seed(0)
        for _ in range(1500):
            # a signal of one part in a million, which always pulls upwards
            ((-1e-6 * weight * (1.0 + 0.5 * torch.randn(8, generator=noise))).sum()).backward()
            optimiser.step_and_clear()
        left[kind] = float(weight.detach().abs().min())
    assert left[Adam] < 1e-2
    assert left[AdamW] > 0.2


def test_the_share_that_a_step_takes_off_is_below_one():
    with pytest.raises(UserError, match=r"trainer\.weight_decay=1: .* must be below 1"):
        Trainer(metric="val_rmse", mode="min", seed=0, decay="decoupled", weight_decay=1.0)


def test_adamw_takes_the_steps_of_torch_s_own_bit_for_bit():
    ours, theirs = (torch.nn.Parameter(torch.linspace(-1, 1, 12)) for _ in range(2))
    quick = AdamW([ours], learning_rate=1e-2, weight_decay=0.5)
    plain = torch.optim.AdamW([theirs], lr=1e-2, weight_decay=0.5, fused=True)
    for number in range(20):
        for one in (ours, theirs):
            (one * torch.randn(12, generator=torch.Generator().manual_seed(number))).square().sum().backward()
        quick.step_and_clear()
        plain.step()
        plain.zero_grad()
        assert torch.equal(ours, theirs)
