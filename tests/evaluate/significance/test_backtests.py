"""Kupiec and Christoffersen against scipy's tests of tables, and a published example."""

import numpy as np
import pytest
from scipy.stats import chi2, chi2_contingency, power_divergence

from forecast.evaluate.significance.backtests import (
    christoffersen,
    conditional_coverage,
    kupiec,
    transitions,
)


def test_kupiec_of_a_published_example():
    """J.P. Morgan's 20 exceptions of a 5 % value at risk in 252 days of 1998: 3.91, so it is rejected at 5 %.

    Source: Jorion (2007), Value at Risk, third edition, chapter 6.
    """
    found = kupiec(np.array([20.0]), np.array([252.0]), 0.05)
    assert found.stat[0] == pytest.approx(3.91, abs=0.005)
    assert found.p[0] < 0.05


@pytest.mark.parametrize(
    ("hits", "rows", "rate"), [(7, 250, 0.01), (0, 100, 0.05), (30, 30, 0.5), (13, 1260, 0.01)]
)
def test_kupiec_is_a_g_test(hits, rows, rate):
    expected = power_divergence(
        [hits, rows - hits], [rows * rate, rows * (1 - rate)], lambda_="log-likelihood"
    )
    found = kupiec(np.array([float(hits)]), np.array([float(rows)]), rate)
    assert found.stat[0] == pytest.approx(expected.statistic, rel=1e-10)
    assert found.p[0] == pytest.approx(expected.pvalue, rel=1e-10)


def test_christoffersen_is_the_g_test_of_the_transitions():
    violated = np.random.default_rng(4).random(600) < 0.08
    violated[50:54] = True
    owner = np.repeat([0, 1], 300)
    latest = np.full(2, -1)
    pieces = [np.r_[0:140, 300:450], np.r_[140:300, 450:600]]  # two folds: a border between bars is none
    counts = sum(transitions(violated[rows], owner[rows], 2, latest) for rows in pieces)
    found = christoffersen(counts)
    for group in (0, 1):
        own = violated[owner == group]
        table = [[np.sum((own[:-1] == a) & (own[1:] == b)) for b in (0, 1)] for a in (0, 1)]
        np.testing.assert_array_equal(counts[group], table)
        expected = chi2_contingency(table, correction=False, lambda_="log-likelihood")
        assert found.stat[group] == pytest.approx(expected.statistic, rel=1e-9)
    coverage = kupiec(
        np.array([violated[:300].sum(), violated[300:].sum()], float), np.array([300.0, 300.0]), 0.08
    )
    both = conditional_coverage(coverage, found)
    np.testing.assert_allclose(both.p, chi2.sf(coverage.stat + found.stat, 2))


def test_what_cannot_be_tested_is_undefined():
    assert np.isnan(kupiec(np.zeros(1), np.zeros(1), 0.01).p[0])
    never = transitions(np.zeros(100, bool), np.zeros(100, int), 1, np.full(1, -1))
    assert np.isnan(christoffersen(never).p[0])
    assert christoffersen(never).record() == {"stat": None, "p": None}
