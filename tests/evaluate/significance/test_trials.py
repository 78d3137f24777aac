"""Holm's correction against statsmodels, and what luck makes of the best of many."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from forecast.evaluate.significance import after_trials, holm
from forecast.evaluate.significance.significance import expected_best


@pytest.mark.parametrize("count", [1, 2, 30])
def test_holm_agrees_with_statsmodels(count):
    p = np.random.default_rng(count).beta(0.3, 1, count).round(2)  # some of them equal
    np.testing.assert_allclose(holm(np.array(p)), multipletests(p, method="holm")[1], atol=1e-12)


def test_holm_leaves_out_what_was_not_tested():
    found = holm(np.array([np.nan, 0.01, 0.04, np.nan, 0.03]))
    np.testing.assert_allclose(found, [np.nan, 0.03, 0.06, np.nan, 0.06])
    assert holm(np.empty(0)).shape == (0,)


@pytest.mark.parametrize("trials", [10, 100, 1000])
def test_luck_is_that_of_a_simulation(trials):
    best = np.random.default_rng(0).standard_normal((4000, trials)).max(axis=1).mean()
    assert expected_best(trials) == pytest.approx(best, abs=0.05)
    assert expected_best(1) == 0


def test_a_winner_pays_for_the_trials_beside_it():
    found = after_trials([0.4, 0.002, None, 0.9], chosen=1)
    assert (found["trials"], found["p"], found["p_holm"], found["why"]) == (
        4,
        0.002,
        pytest.approx(0.008),
        None,
    )
    assert found["line"].startswith("best of 4 trials: p = 0.002, p = 0.008 after Holm's correction")


def test_a_winner_without_a_test_says_so():
    found = after_trials([0.4, None], chosen=1)
    assert (found["p"], found["p_holm"], found["trials"]) == (None, None, 2)
    assert found["why"] == "the winner's test is undefined"


def test_family_wise_error_stays_below_the_level():
    p = np.random.default_rng(3).random((2000, 20))
    false_alarms = np.array([holm(row).min() < 0.05 for row in p])
    assert false_alarms.mean() == pytest.approx(0.05, abs=0.015)


def test_the_epochs_that_were_tried_count_too():
    """A trial keeps the best of its epochs on the rows of the test, so all of them were tried."""
    found = after_trials([0.4, 0.002, None, 0.9], chosen=1, epochs=[10, 20, 1, 9])
    assert (found["tried"], found["p_holm"]) == (40, pytest.approx(0.08))
    assert "p = 0.08 after Holm's correction for the 40 epochs of all of them" in found["line"]
    # The epochs that were not kept have no test of their own: none of them can be the smallest.
    assert found["p_holm"] == pytest.approx(multipletests([0.002, *[1.0] * 39], method="holm")[1][0])


@pytest.mark.parametrize("epochs", [None, [10, None, 3, 4], [10, 0, 3, 4]])
def test_where_epochs_are_unknown_the_correction_is_said_to_be_partial(epochs):
    found = after_trials([0.4, 0.002, None, 0.9], chosen=1, epochs=epochs)
    assert (found["tried"], found["p_holm"]) == (None, pytest.approx(0.008))
    assert "(partial: the epochs that each of them chose from are not counted)" in found["line"]
