"""The test against two independent implementations, its size, its power and its undefined cases."""

import math

import numpy as np
import pytest
from dieboldmariano import dm_test
from hypothesis import given, strategies as st
from scipy import stats
from statsmodels.regression.linear_model import OLS

from forecast.evaluate.significance.diebold_mariano import REASONS, clark_west, compare, means, ratios


def overlapping(rows, days, *, horizon, seed):
    """(rows, days) squared-error differentials of two forecasts that err alike, correlated up to horizon - 1."""
    rng = np.random.default_rng(seed)
    shocks = np.cumsum(rng.standard_normal((2, rows, days + horizon)), axis=-1)
    errors = shocks[..., horizon:] - shocks[..., :-horizon]
    return errors[0] ** 2 - errors[1] ** 2


def by_row(differentials, *, horizon):
    """Each row of a matrix as one group."""
    count, days = differentials.shape
    return compare(differentials.ravel(), np.repeat(np.arange(count), days), count, horizon=horizon)


@pytest.mark.parametrize("loss", ["squared", "absolute"])
@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_agrees_with_the_dieboldmariano_package(horizon, loss):
    rng = np.random.default_rng(horizon)
    actual = rng.standard_normal(120)
    model, reference = actual + rng.standard_normal(120), actual + 1.1 * rng.standard_normal(120)
    power = {"squared": 2, "absolute": 1}[loss]

    def charge(came, guess):
        return abs(came - guess) ** power

    stat, p = dm_test(actual, reference, model, h=horizon, loss=charge)
    _, one_sided = dm_test(actual, model, reference, h=horizon, loss=charge, one_sided=True)
    found = compare(charge(actual, reference) - charge(actual, model), horizon=horizon).record(
        horizon=horizon
    )
    assert found["stat"] == pytest.approx(stat, rel=1e-9)
    assert found["p"] == pytest.approx(p, rel=1e-8)
    assert found["p_better"] == pytest.approx(one_sided, rel=1e-8)
    assert (found["origins"], found["lags"], found["kernel"]) == (120, horizon - 1, "rectangular")


def autoregressive(weight, *, days=200, seed=3):
    values = np.random.default_rng(seed).standard_normal(days)
    for day in range(1, days):
        values[day] += weight * values[day - 1]
    return values


@pytest.mark.parametrize(("kernel", "weight"), [("uniform", 0.5), ("bartlett", -0.8)])
def test_variance_is_that_of_statsmodels(kernel, weight):
    # Neighbours that cancel make the sum with equal weights negative: then Bartlett's are taken.
    values = autoregressive(weight)
    kernels = {"maxlags": 1, "kernel": kernel, "use_correction": False}
    fit = OLS(values, np.ones(200)).fit(cov_type="HAC", cov_kwds=kernels)
    found = means(values, np.zeros(200, int), 1, lags=1)
    assert found.variance[0] == pytest.approx(fit.bse[0] ** 2, rel=1e-10)
    assert found.bartlett[0] == (kernel == "bartlett")


def test_small_sample_correction_by_hand():
    differential = np.array([3.0, 2, 2, 0, 1, -4, -2, 1, 3, 2, -1, 0])
    n, h = 12, 3
    centred = differential - differential.mean()
    gammas = [sum(centred[lag:] * centred[: n - lag]) / n for lag in range(h)]
    plain = differential.mean() / math.sqrt((gammas[0] + 2 * sum(gammas[1:])) / n)
    stat = plain * math.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    found = compare(differential, horizon=h).record(horizon=h)
    assert found["stat"] == pytest.approx(stat, rel=1e-12)
    assert found["p"] == pytest.approx(2 * stats.t.sf(abs(stat), n - 1), rel=1e-10)


def test_one_step_is_students_t():
    values = np.random.default_rng(0).standard_normal(40) + 0.3
    stat, p = stats.ttest_1samp(values, 0)
    found = compare(values, horizon=1).record(horizon=1)
    assert (found["stat"], found["p"]) == (pytest.approx(stat, rel=1e-12), pytest.approx(p, rel=1e-10))


@pytest.mark.parametrize("horizon", [1, 5])
def test_p_values_are_uniform_where_both_err_alike(horizon):
    found = by_row(overlapping(2000, 250, horizon=horizon, seed=7), horizon=horizon)
    # Kolmogorov-Smirnov at the 0.1 % point; overlapping windows are allowed a little more.
    assert stats.kstest(found.p, "uniform").statistic < {1: 0.045, 5: 0.06}[horizon]
    assert 0.035 < (found.p < 0.05).mean() < 0.07


def test_taking_overlapping_windows_for_independent_would_cry_wolf():
    differentials = overlapping(500, 250, horizon=5, seed=8)
    assert (by_row(differentials, horizon=1).p < 0.05).mean() > 0.2
    assert (by_row(differentials, horizon=5).p < 0.05).mean() < 0.09


def test_power_where_one_errs_less():
    rng = np.random.default_rng(9)
    better, worse = rng.standard_normal((2, 300, 250))
    found = by_row((1.3 * worse) ** 2 - better**2, horizon=1)
    assert (found.p_better < 0.05).mean() > 0.9
    assert (found.stat > 0).all()


@given(
    st.lists(st.floats(-5, 5), min_size=12, max_size=40).filter(lambda values: np.std(values) > 1e-3),
    st.integers(1, 4),
    st.floats(1e-6, 1e6),
)
def test_swapped_it_mirrors_and_scaled_it_stays(values, horizon, scale):
    differential = np.array(values)
    there, back = compare(differential, horizon=horizon), compare(-differential, horizon=horizon)
    assert back.stat[0] == -there.stat[0]
    assert back.p[0] == there.p[0]
    assert back.p_better[0] == pytest.approx(1 - there.p_better[0], abs=1e-12)
    scaled = compare(scale * differential, horizon=horizon)
    assert scaled.stat[0] == pytest.approx(there.stat[0], rel=1e-6, abs=1e-9)


def test_groups_are_tested_as_if_alone():
    rng = np.random.default_rng(4)
    sizes = [50, 0, 13, 200]
    pieces = [rng.standard_normal(size) for size in sizes]
    together = compare(np.concatenate(pieces), np.repeat(np.arange(4), sizes), 4, horizon=3)
    for place, piece in enumerate(pieces):
        alone = compare(piece, horizon=3)
        assert together.count[place] == sizes[place]
        np.testing.assert_allclose(together.stat[place], alone.stat[0], rtol=1e-10)
        assert together.reason[place] == alone.reason[0]


@pytest.mark.parametrize(
    ("differential", "horizon", "reason"),
    [
        (np.empty(0), 1, "no rows"),
        (np.arange(9.0), 1, "too few origins"),
        (np.arange(19.0), 10, "too few origins"),
        (np.zeros(50), 1, "both err alike on every bar"),
        (np.full(50, 0.1), 1, "the difference in loss never varies"),
        (np.full(50, 0.1), 5, "the difference in loss never varies"),
        (np.tile([1e200, -1e200], 20), 1, "errors too large to be squared"),
    ],
    ids=["empty", "few", "few for the horizon", "same", "steady", "steady ahead", "huge"],
)
def test_undefined_with_a_reason(differential, horizon, reason):
    found = compare(differential, horizon=horizon).record(horizon=horizon)
    assert (found["stat"], found["p"], found["p_better"]) == (None, None, None)
    assert found["why"].startswith(reason)


def test_fallback_is_said():
    found = compare(autoregressive(-0.8), horizon=2).record(horizon=2)
    assert found["kernel"] == "bartlett"
    assert found["p"] is not None
    assert found["why"] is None
    assert REASONS[0] is None


def test_error_of_a_ratio_is_that_of_a_share():
    hits = np.random.default_rng(0).random(400) < 0.55
    ratio, error = ratios(hits.astype(float), np.ones(400), np.zeros(400, int), 1, lags=0)
    assert ratio[0] == hits.mean()
    assert error[0] == pytest.approx(math.sqrt(ratio[0] * (1 - ratio[0]) / 400), rel=1e-12)


def test_error_of_a_ratio_by_simulation():
    rng = np.random.default_rng(1)
    whole = rng.exponential(size=(2000, 300))
    part = 0.3 * whole + 0.5 * rng.standard_normal((2000, 300)) * whole
    group = np.repeat(np.arange(2000), 300)
    ratio, error = ratios(part.ravel(), whole.ravel(), group, 2000, lags=0)
    assert np.mean(error) == pytest.approx(np.std(ratio), rel=0.05)


def nested(days, *, knows, seed):
    """What Clark and West's test looks at: outcomes, and a model of 20 useless columns or one that knows something."""
    rng = np.random.default_rng(seed)
    columns, outcomes = rng.standard_normal((2 * days, 20)), rng.standard_normal(2 * days)
    outcomes += knows * columns[:, 0]
    weights = np.linalg.lstsq(columns[:days], outcomes[:days], rcond=None)[0]
    return outcomes[days:], columns[days:] @ weights


def test_clark_wests_statistic_by_hand():
    """The mean of (y - 0)^2 - [(y - f)^2 - (f - 0)^2] = 2 y f over its standard error, held against the normal."""
    actual, forecast = nested(120, knows=0.2, seed=1)
    adjusted = actual**2 - ((actual - forecast) ** 2 - forecast**2)
    np.testing.assert_allclose(adjusted, 2 * actual * forecast, atol=1e-12)
    fit = OLS(adjusted, np.ones(120)).fit(cov_type="HAC", cov_kwds={"maxlags": 0, "use_correction": False})
    found = clark_west(adjusted, horizon=1)
    assert found["stat"] == pytest.approx(fit.tvalues[0], rel=1e-10)
    assert found["p_better"] == pytest.approx(stats.norm.sf(fit.tvalues[0]), rel=1e-8)
    assert (found["origins"], found["why"]) == (120, None)


def test_a_nested_model_without_skill_is_no_worse_by_clark_west_than_it_should_be():
    """Diebold and Mariano's test almost never finds for a model that pays for useless weights; Clark and West's does
    at about its level (a little below, as their paper says)."""
    rejected = {"dm": [], "cw": []}
    for seed in range(600):
        actual, forecast = nested(150, knows=0.0, seed=seed)
        gain = actual**2 - (actual - forecast) ** 2
        rejected["dm"].append(compare(gain, horizon=1).p_better[0] < 0.1)
        rejected["cw"].append(clark_west(gain + forecast**2, horizon=1)["p_better"] < 0.1)
    assert np.mean(rejected["dm"]) < 0.01
    assert 0.06 < np.mean(rejected["cw"]) < 0.13


def test_clark_west_finds_skill_that_a_nested_model_has():
    found = [
        clark_west(2 * np.prod(nested(150, knows=0.35, seed=seed), axis=0), horizon=1) for seed in range(200)
    ]
    assert np.mean([one["p_better"] < 0.05 for one in found]) > 0.8


def test_clark_west_is_undefined_with_a_reason():
    assert clark_west(np.zeros(50), horizon=1)["why"] == "both err alike on every bar"
    assert clark_west(np.arange(5.0), horizon=1)["p_better"] is None
