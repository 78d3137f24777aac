"""Scores of variances, logs, probabilities and distributions against sklearn, scoringrules and figures by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from forecast.errors import UserError
from forecast.evaluate import Metrics, scores
from tests.tables import changed, noisy, split_rows, walks


def rows(count=400, *, seed=0):
    """Volatilities in percent a year with forecasts of them."""
    rng = np.random.default_rng(seed)
    table = split_rows(walks(2, count + 1), noisy())
    log = rng.normal(3, 0.4, len(table))
    return changed(table, actual=np.exp(log + rng.normal(0, 0.3, len(table))), forecast=np.exp(log))


def probabilities(count=400, *, seed=0):
    rng = np.random.default_rng(seed)
    table = split_rows(walks(1, count + 1), noisy())
    given = rng.uniform(0.05, 0.95, len(table))
    return changed(
        table,
        actual=(rng.random(len(table)) < given).astype(float),
        naive=np.full(len(table), 0.5),
        forecast=given,
    )


def figures(table, *names):
    return Metrics(names=names).figures(table)


def test_qlike_compares_variances_and_agrees_with_the_deviance_of_gamma():
    from sklearn.metrics import mean_gamma_deviance

    table = rows()
    expected = mean_gamma_deviance(table.actual**2, table.forecast**2) / 2
    assert figures(table, "qlike")["qlike"] == pytest.approx(expected, rel=1e-12)
    assert figures(changed(table, forecast=table.actual), "qlike")["qlike"] == 0
    # Patton's requirement: the best constant forecast of noisy variances is their mean, not their median
    constant = [
        figures(changed(table, forecast=np.full(len(table), level)), "qlike")["qlike"]
        for level in np.sqrt((table.actual**2).mean()) * np.asarray([0.97, 1.0, 1.03])
    ]
    assert constant[1] == min(constant)


def test_rmse_of_logs_brier_and_log_loss_agree_with_sklearn():
    from sklearn import metrics as oracle

    table, chances = rows(), probabilities()
    assert figures(table, "rmse_log")["rmse_log"] == pytest.approx(
        oracle.root_mean_squared_error(np.log(table.actual), np.log(table.forecast)), rel=1e-12
    )
    found = figures(chances, "brier", "log_loss", "direction")
    assert found["brier"] == pytest.approx(
        oracle.brier_score_loss(chances.actual, chances.forecast), rel=1e-12
    )
    assert found["log_loss"] == pytest.approx(oracle.log_loss(chances.actual, chances.forecast), rel=1e-12)
    assert found["direction"] == pytest.approx(
        oracle.accuracy_score(chances.actual, chances.forecast > 0.5), rel=1e-12
    )
    certain = changed(chances, forecast=1 - chances.actual)
    assert math.isfinite(
        figures(certain, "log_loss")["log_loss"]
    )  # wrong for sure costs much, not infinitely much


def test_what_has_no_logarithm_has_no_score():
    table = rows()
    broken = changed(table, actual=np.where(np.arange(len(table)) == 3, 0.0, table.actual))
    assert figures(broken, "qlike", "rmse_log") == {"qlike": None, "rmse_log": None}
    empty = table.take(slice(0, 0))
    assert set(figures(empty, *scores.SCORES).values()) == {None}


def test_r2_against_the_training_mean_uses_each_tickers_mean_of_each_fold():
    table = rows()
    fold = (np.arange(len(table)) % 2).astype(np.int16)
    means = np.asarray([[20.0, 30.0], [25.0, 15.0]])
    table = replace(table, fold=fold, train_mean=means)
    whole = ((table.actual - means[fold, table.series]) ** 2).sum()
    expected = 1 - ((table.actual - table.forecast) ** 2).sum() / whole
    assert figures(table, "r2_train")["r2_train"] == pytest.approx(expected, rel=1e-12)
    assert figures(replace(table, train_mean=None), "r2_train")["r2_train"] is None


def test_pinball_crps_and_winkler_agree_with_scoringrules():
    import scoringrules

    rng = np.random.default_rng(1)
    actual = rng.normal(size=300)
    levels = np.asarray([0.1, 0.25, 0.5, 0.75, 0.9])
    quantiles = np.sort(rng.normal(size=(300, 5)), axis=1)
    for number, level in enumerate(levels):
        np.testing.assert_allclose(
            scores.pinball_loss(actual, quantiles[:, number], level),
            scoringrules.quantile_score(actual, quantiles[:, number], level),
            rtol=1e-12,
        )
    np.testing.assert_allclose(
        scores.crps_loss(actual, quantiles, levels),
        scoringrules.crps_quantile(actual, quantiles, levels),
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        scores.winkler_loss(actual, quantiles[:, 0], quantiles[:, 4], 0.8),
        scoringrules.interval_score(actual, quantiles[:, 0], quantiles[:, 4], 0.2),
        rtol=1e-12,
    )
    # a thousand quantiles of a normal distribution come to its CRPS in closed form
    from scipy.stats import norm

    fine = (np.arange(1000) + 0.5) / 1000
    close = scores.crps_loss(actual, np.tile(norm.ppf(fine), (300, 1)), fine)
    np.testing.assert_allclose(close, scoringrules.crps_normal(actual, 0.0, 1.0), atol=2e-3)


def test_figures_of_a_network_with_quantiles():
    table = rows()
    levels = (0.1, 0.5, 0.9)
    quantiles = table.forecast[:, None] * np.asarray([0.7, 1.0, 1.4])
    table = replace(table, quantiles=quantiles, quantile_levels=levels)
    assert scores.pinball(table, level=0.5) == pytest.approx(Metrics().figures(table)["mae"] / 2, rel=1e-12)
    assert scores.pinball(table, level=0.3) is None
    pinballs = [scores.pinball(table, level=level) for level in levels]
    assert scores.crps(table) == pytest.approx(2 * np.mean(pinballs), rel=1e-12)
    below = (table.actual[:, None] <= quantiles).mean(axis=0)
    assert scores.pit(table) == pytest.approx(np.abs(below - levels).max(), rel=1e-12)


def test_pit_of_a_calibrated_distribution_is_uniform():
    from scipy.stats import chisquare, norm

    levels = np.linspace(0.1, 0.9, 9)
    actual = np.random.default_rng(2).normal(size=5000)
    counts = scores.pit_counts(actual, np.tile(norm.ppf(levels), (5000, 1)))
    assert counts.sum() == 5000
    assert chisquare(counts).pvalue > 0.01
    shifted = scores.pit_counts(actual + 0.2, np.tile(norm.ppf(levels), (5000, 1)))
    assert chisquare(shifted).pvalue < 1e-6


@pytest.mark.parametrize("name", sorted(scores.SCORES))
def test_each_may_be_an_objective_in_its_own_direction(name):
    metrics = Metrics(names=["rmse", name])
    mode = "max" if name == "r2_train" else "min"
    metrics.check_objective(f"val_{name}", mode)
    with pytest.raises(UserError, match="better when"):
        metrics.check_objective(f"val_{name}", "max" if mode == "min" else "min")


def test_calibration_is_murphys_decomposition_of_the_brier_score():
    chances = probabilities(2000)
    found = scores.calibration(chances)
    assert len(found["bins"]) == 10
    assert sum(one["rows"] for one in found["bins"]) == len(chances)
    for one in found["bins"]:
        assert one["observed"] == pytest.approx(one["forecast"], abs=0.12)
    # with every forecast in a bin of its own value the three parts are the Brier score itself
    few = changed(chances, forecast=np.round(chances.forecast, 1))
    parts = scores.calibration(few, bins=200)
    total = parts["reliability"] - parts["resolution"] + parts["uncertainty"]
    assert total == pytest.approx(scores.brier(few), rel=1e-9)
    certain = scores.calibration(changed(chances, forecast=np.full(len(chances), 0.5)))
    assert len(certain["bins"]) == 1
    assert certain["resolution"] == pytest.approx(0, abs=1e-12)
    assert scores.calibration(chances.take(slice(0, 0)))["bins"] == []
