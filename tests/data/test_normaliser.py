"""Anchoring is relative to the last bar, exact to undo, and blind to the price level."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.preprocessing import StandardScaler

from forecast.data import TimeSeriesScaler
from forecast.data.normaliser import WindowNormaliser

RELATIONS = ["price", "price", "price", "amount", "spread", "free"]


def windows(count=7, lookback=5, seed=0):
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (count, lookback + 2)), axis=1))
    columns = [
        close * 1.01,
        close * 0.99,
        close,
        rng.integers(1, 10**7, close.shape),
        close * 0.02,
        rng.normal(size=close.shape),
    ]
    block = torch.tensor(np.stack(columns, axis=-1), dtype=torch.float32)
    return block[:, :lookback], block[:, lookback:]


def normaliser(**scalers):
    return WindowNormaliser(anchor="last", relations=RELATIONS, closes=[2] * 6, target=2, **scalers)


def test_anchored_values_by_hand():
    block, _ = windows()
    out = normaliser().anchored(block)
    last = block[:, -1:, 2]
    torch.testing.assert_close(out[..., 0], block[..., 0] / last - 1)
    torch.testing.assert_close(out[..., 2], block[..., 2] / last - 1)
    assert (out[:, -1, 2] == 0).all()
    torch.testing.assert_close(out[..., 3], torch.log1p(block[..., 3]) - torch.log1p(block[:, -1:, 3]))
    torch.testing.assert_close(out[..., 4], block[..., 4] / last)
    torch.testing.assert_close(out[..., 5], block[..., 5])


def test_level_of_prices_cannot_be_seen():
    block, future = windows()
    factor = torch.tensor([8.0, 8.0, 8.0, 1.0, 8.0, 1.0])  # a power of two: no rounding
    one = normaliser()
    assert torch.equal(one.anchored(block), one.anchored(block * factor))
    assert torch.equal(one.moves(block, future), one.moves(block * factor, future * factor))


@pytest.mark.parametrize("anchor", ["last", "none"])
def test_prices_undo_targets(anchor):
    block, future = windows()
    scalers = {
        "scaler": TimeSeriesScaler().fit(block.numpy()),
        "target_scaler": TimeSeriesScaler().fit(
            np.arange(10.0)[:, None] * (0.01 if anchor == "last" else 40)
        ),
    }
    one = WindowNormaliser(anchor=anchor, relations=RELATIONS, closes=[2] * 6, target=2, **scalers)
    prices = one.values(block, one.targets(block, future))
    assert prices.dtype == torch.float64
    torch.testing.assert_close(prices, future[..., 2].double(), rtol=1e-6, atol=1e-4)


def test_zero_answer_is_tomorrow_equals_today():
    block, _ = windows()
    one = normaliser(target_scaler=TimeSeriesScaler(center=False).fit(np.array([[0.01], [-0.02]])))
    prices = one.values(block, torch.zeros(len(block), 2))
    assert torch.equal(prices, block[:, -1:, 2].double().expand(-1, 2))


def test_without_anchor_the_network_sees_levels():
    block, future = windows()
    one = WindowNormaliser(anchor="none", relations=RELATIONS, closes=[2] * 6, target=2)
    assert torch.equal(one.inputs(block), block)
    assert torch.equal(one.targets(block, future), future[..., 2])


def test_each_ticker_is_anchored_to_its_own_close():
    block, _ = windows()
    both = torch.cat((block[..., :3], block[..., :3] * 50), dim=-1)
    one = WindowNormaliser(anchor="last", relations=["price"] * 6, closes=[2, 2, 2, 5, 5, 5], target=2)
    out = one.anchored(both)
    torch.testing.assert_close(out[..., :3], out[..., 3:], rtol=1e-5, atol=1e-6)


def test_json_round_trip_is_exact():
    block, future = windows()
    one = normaliser(
        scaler=TimeSeriesScaler().fit(block.numpy()),
        target_scaler=TimeSeriesScaler(center=False).fit(np.array([[0.01], [-0.02]])),
    )
    other = WindowNormaliser.from_json(json.loads(json.dumps(one.to_json())))
    assert torch.equal(one.inputs(block), other.inputs(block))
    assert torch.equal(one.targets(block, future), other.targets(block, future))


def test_a_volume_of_0_counts_as_the_usual_one():
    volume = torch.tensor([[10.0, 0.0, 40.0, 0.0], [0.0, 0.0, 0.0, 0.0], [10.0, 20.0, 40.0, 80.0]])[..., None]
    one = WindowNormaliser(anchor="last", relations=["amount"], closes=[0], target=0, fill_amounts=True)
    usual = (np.log1p(10.0) + np.log1p(40.0)) / 2
    wanted = [np.log1p(10.0) - usual, 0.0, np.log1p(40.0) - usual, 0.0]
    found = WindowNormaliser.from_json(one.to_json()).anchored(volume)[..., 0]
    np.testing.assert_allclose(found[0], wanted, rtol=1e-5)
    assert not found[1].any()
    before = WindowNormaliser(anchor="last", relations=["amount"], closes=[0], target=0).anchored(volume)
    assert torch.equal(found[2], before[2, :, 0])


def test_raw_windows_are_left_alone():
    block, _ = windows()
    before = block.clone()
    normaliser().inputs(block)
    assert torch.equal(block, before)


VALUES = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=4, max_side=6),
    elements=st.floats(-1e6, 1e6, allow_nan=False, width=32),
)


@given(VALUES)
def test_arithmetic_is_standard_scaler_s(values):
    rows = values.reshape(-1, values.shape[-1])
    oracle = StandardScaler().fit(rows)
    scaler = TimeSeriesScaler().fit(values)
    np.testing.assert_allclose(scaler.mean_, oracle.mean_, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(scaler.scale_, oracle.scale_, rtol=1e-9)
    expected = oracle.transform(rows).reshape(values.shape)
    np.testing.assert_allclose(scaler.transform(values), expected, rtol=1e-6, atol=1e-6)


def test_constant_feature_is_centred_only():
    values = np.column_stack([np.full(50, 0.1), np.arange(50.0)])
    scaler = TimeSeriesScaler().fit(values)
    assert scaler.scale_[0] == 1.0
    np.testing.assert_allclose(scaler.transform(values)[:, 0], 0.0, atol=1e-12)


def test_without_centring_zero_stays_zero():
    scaler = TimeSeriesScaler(center=False).fit(np.arange(10.0)[:, None] + 5)
    assert scaler.transform(np.zeros((1, 1)))[0, 0] == 0.0


@given(VALUES)
def test_a_scaler_in_json_is_exact(values):
    scaler = TimeSeriesScaler().fit(values)
    restored = TimeSeriesScaler.from_json(json.loads(json.dumps(scaler.to_json())))
    np.testing.assert_array_equal(restored.transform(values), scaler.transform(values))


def test_nothing_to_fit():
    with pytest.raises(ValueError, match="at least one row"):
        TimeSeriesScaler().fit(np.empty((0, 3)))
