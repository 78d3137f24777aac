"""Rows in any order become the same returns, and sums of them by origin."""

import numpy as np
import pytest
from tables import beside, changed, noisy, split_rows, walks

from forecast.evaluate.returns import Returns, group_means, loss_differential, sums_by_origin, usable
from forecast.evaluate.table import join


def test_returns_are_shares_of_the_last_close():
    rows = split_rows([[100.0, 110, 99]], np.array([[[105.0], [121.0]]]))
    returns = Returns(beside(rows, drift=np.array([102.0, np.nan])))
    np.testing.assert_allclose(returns.actual, [0.1, -0.1])
    np.testing.assert_allclose(returns.forecast, [0.05, 0.1])
    np.testing.assert_allclose(returns.reference("drift"), [0.02, np.nan])
    np.testing.assert_array_equal(returns.reference("naive"), [0, 0])


def test_moves_of_a_target_that_is_no_price_are_differences():
    rows = changed(split_rows([[0.0, 1, 2], [1, 2, 3]], np.ones((2, 2, 1))), relative=False)
    table, left_out = usable(rows)
    assert left_out == 0
    np.testing.assert_array_equal(Returns(table).actual, [1, 1, 1, 1])


@pytest.mark.parametrize(
    "order",
    [np.random.default_rng(0).permutation(333), np.arange(333).reshape(-1, 3)[:, ::-1].ravel()],
    ids=["any", "steps backwards"],
)
def test_order_of_the_rows_does_not_matter(order):
    rows = split_rows(walks(3, 40), noisy(), horizon=3)
    rows = beside(rows, drift=1.01 * rows.naive)
    expected, found = Returns(usable(rows)[0]), Returns(usable(rows.take(order))[0])
    for name in ("actual", "forecast", "window", "window_series"):
        np.testing.assert_array_equal(getattr(expected, name), getattr(found, name))
    for name in ("series", "origin", "step", "time", "naive"):
        np.testing.assert_array_equal(getattr(expected.table, name), getattr(found.table, name))
    np.testing.assert_array_equal(expected.reference("drift"), found.reference("drift"))
    np.testing.assert_array_equal(found.table.step, np.tile([1, 2, 3], 3 * 37))
    np.testing.assert_array_equal(np.diff(found.window)[:4], [0, 0, 1, 0])
    np.testing.assert_array_equal(found.window_series, np.repeat([0, 1, 2], 37))


def test_rows_at_a_price_of_zero_are_left_out_and_counted():
    table, left_out = usable(split_rows([[0.0, 1, 2], [1, 2, 3]], np.ones((2, 2, 1))))
    assert (len(table), left_out) == (3, 1)
    assert np.isfinite(Returns(table).actual).all()


def test_a_negative_price_keeps_the_direction():
    returns = Returns(split_rows([[-10.0, -5]], np.array([[[-4.0]]])))
    assert (returns.actual[0], returns.forecast[0]) == (0.5, 0.6)


def test_a_window_forecast_twice_counts_once_as_it_was_forecast_last():
    first = split_rows(walks(2, 20), noisy(), horizon=2)
    last = split_rows(walks(2, 20), noisy(seed=5), horizon=2)
    early = last.take(last.origin < 12_010)
    both = join([beside(first, drift=first.naive * 1.1), beside(early, drift=early.naive * 1.2)])
    table = both.ordered()
    np.testing.assert_array_equal(
        table.forecast, np.where(first.origin < 12_010, last.forecast, first.forecast)
    )
    np.testing.assert_allclose(Returns(table).reference("drift"), np.where(first.origin < 12_010, 0.2, 0.1))
    assert len(Returns(table).window_series) == 36


def test_sums_by_origin_are_those_of_a_loop():
    rows = split_rows(walks(3, 30), noisy(), horizon=2)
    rows = rows.take(np.random.default_rng(0).random(len(rows)) < 0.7)
    known = rows.series > 0
    sums = sums_by_origin(
        rows, {"all": lambda r: (r.actual, None), "some": lambda r: (r.actual[known], known)}
    )
    actual = rows.actual / rows.naive - 1
    for name, mine in (("all", np.ones(len(rows), bool)), ("some", known)):
        for step in (None, 1, 2):
            here = mine & ((rows.step == step) if step else True)
            expected = [actual[here & (rows.origin == day)].mean() for day in np.unique(rows.origin[here])]
            np.testing.assert_allclose(sums.means(name, step), expected, atol=1e-15)


def test_no_rows():
    table, left_out = usable(split_rows(walks(1, 5), noisy()).take(slice(0, 0)))
    assert (len(table), left_out) == (0, 0)
    assert len(sums_by_origin(table, {"gain": lambda r: r.gain("naive")}).means("gain", None)) == 0


@pytest.mark.parametrize("absolute", [False, True])
def test_loss_differential(absolute):
    actual, forecast, reference = np.random.default_rng(0).standard_normal((3, 100))
    power = 1 if absolute else 2
    expected = abs(actual - reference) ** power - abs(actual - forecast) ** power
    found = loss_differential(actual, forecast, reference, absolute=absolute)
    np.testing.assert_allclose(found, expected, atol=1e-14)


def test_a_small_gain_keeps_its_digits():
    gain = loss_differential(np.array([1e3]), np.array([1e-9]), np.array([0.0]))
    np.testing.assert_allclose(gain, 2e-6, rtol=1e-12)


def test_forecasts_that_differ_by_rounding_err_alike():
    assert not loss_differential(np.array([0.01]), np.array([0.001]), np.array([0.001 + 1e-16])).any()


def test_means_of_groups_that_have_rows():
    values, present = group_means(np.array([1.0, 3, 5]), np.array([0, 0, 2]), 4)
    np.testing.assert_array_equal(values, [2, 5])
    np.testing.assert_array_equal(present, [0, 2])
