"""IntervalState as a bundle keeps them: exact in JSON, pooled for unseen tickers, never crossing."""

import json

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays

from forecast.model.intervals import IntervalState, bounds, columns, quantile_pairs


def widths(seed=0, *, quantile_levels=None):
    rng = np.random.default_rng(seed)
    return IntervalState(
        levels=(0.9, 0.5),
        quantile_levels=quantile_levels,
        pooled=rng.exponential(size=(2, 3)),
        own={"A": rng.exponential(size=(2, 3)), "B-1": rng.exponential(size=(2, 3))},
    )


@pytest.mark.parametrize("quantile_levels", [None, (0.05, 0.5, 0.95)])
def test_json_gives_every_bit_back(quantile_levels):
    kept = widths(quantile_levels=quantile_levels)
    back = IntervalState.from_json(json.loads(json.dumps(kept.to_json(), allow_nan=False)))
    assert back.levels == kept.levels
    assert back.quantile_levels == kept.quantile_levels
    np.testing.assert_array_equal(back.pooled, kept.pooled)
    assert set(back.own) == {"A", "B-1"}
    for name, own in kept.own.items():
        np.testing.assert_array_equal(back.own[name], own)


def test_a_width_nobody_knows_is_null():
    kept = IntervalState(levels=(0.9,), quantile_levels=None, pooled=np.array([[np.nan]]), own={})
    text = json.dumps(kept.to_json(), allow_nan=False)
    found = IntervalState.from_json(json.loads(text)).bounds(["A"], np.array([[5.0]]), np.array([5.0]))
    assert np.isnan(found).all()


def test_a_ticker_has_its_own_widths_and_a_stranger_the_pooled_ones():
    kept = widths()
    forecast, close = np.full((3, 3), 100.0), np.array([100.0, 100.0, 50.0])
    found = kept.bounds(["B-1", "A", "new"], forecast, close)  # (levels, 2, windows, steps)
    for at, (own, scale) in enumerate(((kept.own["B-1"], 100), (kept.own["A"], 100), (kept.pooled, 50))):
        np.testing.assert_allclose(found[1, 1, at], 100 + scale * own[1])
        np.testing.assert_allclose(found[1, 0, at], np.maximum(100 - scale * own[1], 0))


def test_a_quantile_networks_bounds_start_from_its_quantiles():
    kept = widths(quantile_levels=(0.05, 0.5, 0.95))
    quantiles = np.array([[[90.0, 100.0, 130.0]] * 3])
    found = kept.bounds(["A"], np.full((1, 3), 100.0), np.array([100.0]), quantiles)
    np.testing.assert_allclose(found[0, 1, 0], np.maximum(130 + 100 * kept.own["A"][0], found[1, 1, 0]))
    np.testing.assert_allclose(found[1, 1, 0], 100 + 100 * kept.own["A"][1])


@given(
    spread=arrays.arrays(np.float64, (3, 5), elements=st.floats(-2, 2)),
    forecast=arrays.arrays(np.float64, 5, elements=st.floats(-10, 1000)),
    quantiles=arrays.arrays(np.float64, (5, 4), elements=st.floats(0, 1000)),
    close=st.sampled_from([0.5, 20.0, -3.0]),
)
def test_bounds_never_cross_and_larger_levels_hold_smaller(spread, forecast, quantiles, close):
    pairs = ((0, 3), None, (1, 2))
    found = bounds(spread, forecast, np.full(5, close), pairs=pairs, quantiles=np.sort(quantiles, axis=1))
    assert (found[:, 0] <= found[:, 1]).all()
    assert (np.diff(found[:, 0], axis=0) >= 0).all()
    assert (np.diff(found[:, 1], axis=0) <= 0).all()
    if close > 0:
        assert (found >= 0).all()


def test_a_negative_price_keeps_its_interval():
    found = bounds(np.array([[0.1]]), np.array([-20.0]), np.array([-20.0]), pairs=(None,))
    np.testing.assert_allclose(found[0, :, 0], [-22.0, -18.0])


def test_bounds_of_a_probability_lie_from_0_to_1():
    found = bounds(np.array([[0.6]]), np.array([0.5]), np.array([-1.0]), pairs=(None,), chances=True)
    assert found.ravel().tolist() == [0.0, 1.0]


def test_columns_are_named_by_level():
    assert columns([0.9]) == ["lower", "upper"]
    assert columns([0.9, 0.5, 0.025]) == ["lower", "upper", "lower_50", "upper_50", "lower_2.5", "upper_2.5"]


@pytest.mark.parametrize(
    ("levels", "known", "pairs"),
    [
        ([0.9, 0.5], None, (None, None)),
        ([0.9, 0.5], (0.05, 0.25, 0.5, 0.75, 0.95), ((0, 4), (1, 3))),
        ([0.8, 0.5], (0.1, 0.5, 0.9), ((0, 2), None)),
        ([0.8], (0.1, 0.5), (None,)),
    ],
)
def test_levels_find_their_two_quantiles(levels, known, pairs):
    assert quantile_pairs(levels, known) == pairs
