"""Rows in any order become the same moves."""

from dataclasses import fields

import numpy as np
import pytest
from splits import moves_of, names, noisy, split_rows, walks

from forecast.evaluate.rows import Rows
from forecast.evaluate.significance.moves import Moves, per_group, saved


def taken(rows, order):
    return Rows(*(getattr(rows, field.name)[order] for field in fields(rows)))


def test_moves_are_shares_of_the_last_close():
    rows = split_rows([[100.0, 110, 99]], np.array([[[105.0], [121.0]]]))
    moves = moves_of(rows, drift=np.array([102.0, np.nan]), naive=rows.naive)
    np.testing.assert_allclose(moves.actual, [0.1, -0.1])
    np.testing.assert_allclose(moves.forecast, [0.05, 0.1])
    assert list(moves.baselines) == ["drift"]
    np.testing.assert_allclose(moves.baselines["drift"], [0.02, np.nan])
    np.testing.assert_array_equal(moves.reference("naive"), [0, 0])


@pytest.mark.parametrize(
    "order",
    [np.random.default_rng(0).permutation(333), np.arange(333).reshape(-1, 3)[:, ::-1].ravel()],
    ids=["any", "steps backwards"],
)
def test_order_of_the_rows_does_not_matter(order):
    rows = split_rows(walks(3, 40), noisy(), horizon=3)
    drift = 1.01 * rows.naive
    expected = Moves.of(rows, names=names(rows), baselines={"drift": drift})
    found = Moves.of(taken(rows, order), names=names(rows), baselines={"drift": drift[order]})
    for field in fields(Moves):
        left, right = getattr(expected, field.name), getattr(found, field.name)
        if field.name == "baselines":
            left, right = left["drift"], right["drift"]
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(expected.step, np.tile([1, 2, 3], 3 * 37))
    np.testing.assert_array_equal(np.diff(expected.pair)[:4], [0, 0, 1, 0])
    np.testing.assert_array_equal(expected.pair_series, np.repeat([0, 1, 2], 37))
    np.testing.assert_array_equal(expected.origins, 12_000 + np.arange(37))


def test_rows_at_a_price_of_zero_are_left_out_and_counted():
    rows = split_rows([[0.0, 1, 2], [1, 2, 3]], np.ones((2, 2, 1)))
    moves = moves_of(rows)
    assert (len(moves), moves.left_out) == (3, 1)
    assert np.isfinite(moves.actual).all()


def test_a_negative_price_keeps_the_direction():
    moves = moves_of(split_rows([[-10.0, -5]], np.array([[[-4.0]]])))
    assert (moves.actual[0], moves.forecast[0]) == (0.5, 0.6)


def test_a_window_forecast_twice_counts_once_as_it_was_forecast_last():
    first = split_rows(walks(2, 20), noisy(), horizon=2)
    last = split_rows(walks(2, 20), noisy(seed=5), horizon=2)
    early = taken(last, last.origin < 12_010)
    drift = np.concatenate([first.naive * 1.1, early.naive * 1.2])
    moves = moves_of(Rows.join([first, early]), drift=drift)
    expected = np.where(first.origin < 12_010, last.forecast, first.forecast) / first.naive - 1
    np.testing.assert_allclose(moves.forecast, expected, atol=1e-12)
    np.testing.assert_allclose(moves.baselines["drift"], np.where(first.origin < 12_010, 0.2, 0.1))
    assert len(moves.pair_series) == 36


def test_no_rows():
    moves = Moves.of(taken(split_rows(walks(1, 5), noisy()), np.empty(0, int)), names=["A"])
    assert (len(moves), moves.horizon, len(moves.origins)) == (0, 1, 0)


@pytest.mark.parametrize("absolute", [False, True])
def test_loss_saved(absolute):
    actual, forecast, reference = np.random.default_rng(0).standard_normal((3, 100))
    power = 1 if absolute else 2
    expected = abs(actual - reference) ** power - abs(actual - forecast) ** power
    np.testing.assert_allclose(saved(actual, forecast, reference, absolute=absolute), expected, atol=1e-14)


def test_a_small_gain_keeps_its_digits():
    gain = saved(np.array([1e3]), np.array([1e-9]), np.array([0.0]))
    np.testing.assert_allclose(gain, 2e-6, rtol=1e-12)


def test_forecasts_that_differ_by_rounding_err_alike():
    assert not saved(np.array([0.01]), np.array([0.001]), np.array([0.001 + 1e-16])).any()


def test_means_of_groups_that_have_rows():
    values, present = per_group(np.array([1.0, 3, 5]), np.array([0, 0, 2]), 4)
    np.testing.assert_array_equal(values, [2, 5])
    np.testing.assert_array_equal(present, [0, 2])
