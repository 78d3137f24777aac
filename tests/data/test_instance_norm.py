"""Instance normalisation: a window in units of itself, undone for forecasts, the same in any batch."""

import json
import math

import numpy as np
import pytest
import torch
from forecasters import with_network
from markets import STRATEGIES, market, tables

from forecast.data import TimeSeriesScaler
from forecast.data.normaliser import WindowNormaliser, move_unit, standardised
from forecast.errors import UserError
from forecast.model import LayeredNetwork

RELATIONS = ["price", "price", "price", "amount", "free"]


def windows(count=9, lookback=6, seed=0):
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (count, lookback + 2)), axis=1))
    volume, free = rng.integers(1, 10**7, close.shape), rng.normal(size=close.shape)
    block = torch.tensor(np.stack([close * 1.01, close * 0.99, close, volume, free], -1), dtype=torch.float32)
    return block[:, :lookback], block[:, lookback:]


def normaliser(anchor="last", **more):
    plan = {"relations": RELATIONS, "closes": [2] * 5, "target": 2, "instance_norm": True}
    return WindowNormaliser(anchor=anchor, **plan | more)


def test_values_by_hand():
    block, _ = windows()
    rows = block.double().numpy()
    expected = (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True)
    np.testing.assert_allclose(standardised(block).numpy(), expected, atol=2e-4)
    np.testing.assert_allclose(normaliser("none").inputs(block).numpy(), expected, atol=2e-4)
    middle, unit = move_unit(block[..., 2])
    np.testing.assert_allclose(middle, (rows[..., 2].mean(1) - rows[:, -1, 2])[:, None], atol=1e-4)
    np.testing.assert_allclose(unit, rows[..., 2].std(axis=1)[:, None], rtol=1e-4)


def test_moves_are_in_units_of_the_window_s_spread():
    block, future = windows()
    closes, after = block[..., 2].double(), future[..., 2].double()
    anchored = (after / closes[:, -1:] - 1) / (closes / closes[:, -1:]).std(dim=1, correction=0, keepdim=True)
    torch.testing.assert_close(normaliser().moves(block, future).double(), anchored, rtol=1e-3, atol=1e-3)
    levels = (after - closes.mean(1, keepdim=True)) / closes.std(dim=1, correction=0, keepdim=True)
    torch.testing.assert_close(normaliser("none").moves(block, future).double(), levels, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("anchor", ["last", "none"])
def test_prices_undo_targets(anchor):
    block, future = windows()
    one = normaliser(anchor)
    moves = one.moves(block, future).numpy()
    one = normaliser(anchor, target_scaler=TimeSeriesScaler(center=False).fit(moves))
    prices = one.values(block, one.targets(block, future))
    assert prices.dtype == torch.float64
    torch.testing.assert_close(prices, future[..., 2].double(), rtol=1e-6, atol=1e-4)
    several = one.values(block, one.targets(block, future)[..., None].expand(-1, -1, 3))
    assert several.shape == (*prices.shape, 3)
    assert torch.equal(several, prices[..., None].expand(-1, -1, 3))


def test_zero_answer_is_tomorrow_equals_today():
    block, _ = windows()
    prices = normaliser().values(block, torch.zeros(len(block), 2))
    assert torch.equal(prices, block[:, -1:, 2].double().expand(-1, 2))


def test_calm_and_stormy_windows_look_alike():
    block, _ = windows()
    stormy = block.clone()
    stormy[..., :3] = block[:, -1:, 2:3] + 8 * (block[..., :3] - block[:, -1:, 2:3])
    one = normaliser()
    torch.testing.assert_close(one.inputs(stormy), one.inputs(block), rtol=1e-3, atol=1e-3)
    answers = torch.ones(len(block), 1)
    calm_move = one.values(block, answers) - block[:, -1:, 2].double()
    torch.testing.assert_close(
        one.values(stormy, answers) - stormy[:, -1:, 2].double(), 8 * calm_move, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("anchor", ["last", "none"])
@pytest.mark.parametrize("level", [0.1, 33.333332, 1e6])
def test_constant_windows_are_zero_and_finite(anchor, level):
    block, future = windows()
    block[:] = level
    future *= level / 100
    one = normaliser(anchor)
    assert not one.inputs(block).any()
    targets = one.targets(block, future)
    assert torch.isfinite(targets).all()
    torch.testing.assert_close(one.values(block, targets), future[..., 2].double(), rtol=1e-5, atol=0)
    # A move of one basis point of the price is the unit, not something that explodes.
    least = one.values(block, torch.ones(len(block), 1)) - level
    torch.testing.assert_close(least, torch.full_like(least, 1e-4 * level), rtol=1e-3, atol=0)


def test_inputs_are_bounded_whatever_comes():
    block, _ = windows(lookback=20)
    block[:, 7, 3] = 3e38 / 1e20
    assert normaliser().inputs(block).abs().max() <= math.sqrt(19) * (1 + 1e-6)


def test_a_window_is_the_same_in_any_batch():
    block, future = windows(count=300, lookback=20)
    one = normaliser()
    for size in (1, 7, 32):
        for start in (0, 40, 293):
            piece = slice(start, start + size)
            assert torch.equal(one.inputs(block[piece]), one.inputs(block)[piece])
            assert torch.equal(one.targets(block[piece], future[piece]), one.targets(block, future)[piece])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("anchor", ["last", "none"])
def test_forecasts_of_a_run_s_data_do_not_depend_on_the_batch(strategy, anchor):
    data = market(tables(260), strategy, instance_norm=True, anchor=anchor)
    torch.manual_seed(0)
    network = LayeredNetwork(**data.facts, layer_config=["Flatten", "Linear"])
    torch.nn.init.normal_(network[-1].weight, std=0.1)
    forecaster = with_network(network, data.normaliser_)
    batch = data.windows_["train"].take(np.arange(30)).windows
    whole = forecaster.forecast_windows(batch).values
    assert np.isfinite(whole).all()
    pieces = [forecaster.forecast_windows(batch[at : at + 1]).values for at in range(30)]
    np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=1e-6)


def test_the_scaler_is_fitted_on_what_the_network_sees():
    data = market(tables(), "no_processing_single", instance_norm=True, anchor="none")
    batch = data.windows_["train"].take(np.arange(len(data.windows_["train"])))
    seen = data.normaliser_.inputs(torch.from_numpy(batch.windows))
    assert seen.mean(dim=(0, 1)).abs().max() < 1e-4
    assert (seen.std(dim=(0, 1), correction=0) - 1).abs().max() < 1e-4


def test_json_round_trip_and_files_of_earlier_versions():
    block, future = windows()
    one = normaliser(scaler=TimeSeriesScaler().fit(block.numpy()))
    state = json.loads(json.dumps(one.to_json()))
    assert state["instance_norm"] is True
    other = WindowNormaliser.from_json(state)
    assert torch.equal(one.inputs(block), other.inputs(block))
    assert torch.equal(one.targets(block, future), other.targets(block, future))
    del state["instance_norm"]
    assert WindowNormaliser.from_json(state).instance_norm is False


def test_one_bar_has_no_spread():
    with pytest.raises(
        UserError, match=r"data.instance_norm=true: one bar has no spread; needs data.seq_len >= 2"
    ):
        market(tables(), "no_processing_single", instance_norm=True, seq_len=1)
