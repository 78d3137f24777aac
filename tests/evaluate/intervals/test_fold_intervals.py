"""Intervals of a run as a run uses them: beside naive's, fold by fold, with quantiles of the network's own."""

import json

import numpy as np
import pytest
from tables import changed, residual_rows, share_inside

from forecast.evaluate.intervals import Adaptive, FoldIntervals, SplitConformal
from forecast.evaluate.intervals.conformal import plan_of

LEVELS = [0.9, 0.5]
KINDS = pytest.mark.parametrize(
    "intervals", [SplitConformal(levels=LEVELS), Adaptive(levels=LEVELS)], ids=["split", "adaptive"]
)


def noise(shape, seed):
    return 0.02 * np.random.default_rng(seed).standard_t(4, size=shape)


def fold(seed, *, first=0, knows=0.0):
    """Validation and test rows of a model that gives away a share of the coming moves."""
    residuals = noise((2, 600, 2), seed)
    parts = (
        residual_rows(residuals[:, :300], first=first),
        residual_rows(residuals[:, 300:], first=first + 400),
    )
    return [
        changed(rows, forecast=rows.naive + knows * (rows.actual - rows.naive), names=["A", "B"])
        for rows in parts
    ]


def evaluated(intervals, *folds):
    """The intervals of the last fold, and the coverage of all."""
    total = None
    for earlier, later in folds:
        made = FoldIntervals(intervals, earlier, quantile_levels=None)
        _, coverage = made.bounds(later)
        total = coverage if total is None else total + coverage
    return made, total


def fitted(intervals, rows, quantile_levels=None):
    return intervals.fit(rows, plan_of(rows, intervals, quantile_levels=quantile_levels))


def alone(fit, rows):
    """(levels, 2, rows)."""
    return fit.plan.bounds(fit.half_widths(rows), rows, slice(fit.plan.reported))


@KINDS
def test_the_bounds_are_those_of_the_intervals_alone(intervals):
    earlier, later = fold(0, knows=0.3)
    made, fit = FoldIntervals(intervals, earlier, quantile_levels=None), fitted(intervals, earlier)
    np.testing.assert_array_equal(made.bounds(later)[0], alone(fit, later))
    assert made.state().to_json() == fit.state().to_json()


@KINDS
def test_a_forecast_that_is_naive_scores_as_naive_does(intervals):
    figures = evaluated(intervals, fold(1))[1].metrics("test")
    for name in ("coverage", "width", "winkler"):
        assert figures[f"test_{name}"] == figures[f"test_naive_{name}"]


@KINDS
def test_a_forecast_that_knows_something_has_narrower_intervals_of_the_same_coverage(intervals):
    figures = evaluated(intervals, fold(2, knows=0.5))[1].metrics("test")
    assert figures["test_coverage"] == pytest.approx(0.9, abs=0.03)
    assert figures["test_winkler"] == pytest.approx(0.5 * figures["test_naive_winkler"], rel=0.02)
    assert figures["test_width_50"] == pytest.approx(0.5 * figures["test_naive_width_50"], rel=0.02)


@KINDS
def test_reliability_is_told_at_ten_levels_whichever_are_shown(intervals):
    points = evaluated(intervals, fold(3))[1].record()["reliability"]
    assert [point["nominal"] for point in points] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    for point in points:
        assert point["empirical"] == pytest.approx(point["nominal"], abs=0.05)
        assert point["naive_empirical"] == point["empirical"]


@KINDS
def test_a_fold_is_calibrated_by_itself_and_all_are_pooled(intervals):
    first, second = fold(4), fold(5, first=2000, knows=0.5)
    made, both = evaluated(intervals, first, second)
    each = [evaluated(intervals, one)[1].metrics("test") for one in (first, second)]
    assert both.metrics("test")["test_winkler"] == pytest.approx(
        np.mean([one["test_winkler"] for one in each])
    )
    assert made.state().to_json() == evaluated(intervals, second)[0].state().to_json()


@KINDS
def test_the_record_is_strict_json(intervals):
    made, coverage = evaluated(intervals, fold(6))
    record = json.loads(json.dumps(coverage.record(), allow_nan=False))
    assert made.notes == []
    assert set(record["tickers"]) == {"A", "B"}


@KINDS
def test_a_smaller_levels_interval_lies_inside_and_no_bound_is_below_0(intervals):
    earlier, later = fold(7)
    earlier = changed(earlier, actual=earlier.actual * np.where(np.arange(len(earlier)) % 3, 1, 5))
    (low, high), (low_50, high_50) = FoldIntervals(intervals, earlier, quantile_levels=None).bounds(later)[0]
    assert (low == 0).any()
    assert (low <= low_50).all()
    assert (low_50 <= high_50).all()
    assert (high_50 <= high).all()
    assert (low >= 0).all()


def quantiles_of(rows, levels, *, scale):
    """A network's quantiles that are `scale` times as wide as the truth, and lean to one side."""
    true = np.quantile(noise(200_000, 99), levels)
    return rows.naive[:, None] * (1 + scale * true[None] + 0.001)


@KINDS
@pytest.mark.parametrize("scale", [0.5, 2.0], ids=["overconfident", "timid"])
def test_conformalised_quantiles_cover_as_promised_around_the_networks_own(intervals, scale):
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    earlier, later = fold(8)
    quantiles = quantiles_of(later, levels, scale=scale)
    fit = fitted(intervals, changed(earlier, quantiles=quantiles_of(earlier, levels, scale=scale)), levels)
    bounds = alone(fit, changed(later, quantiles=quantiles))
    raw = share_inside(later, np.stack([quantiles[:, [0, 4]].T, quantiles[:, [1, 3]].T]))
    assert (np.abs(raw - LEVELS) > 0.05).all()
    assert share_inside(later, bounds) == pytest.approx(LEVELS, abs=0.04)
    # Moved to both sides alike, so the lean is the network's.
    middle = (quantiles[:, 0] + quantiles[:, 4]) / 2
    np.testing.assert_allclose(bounds[0].mean(axis=0), middle, rtol=1e-9)
    assert fit.notes == []


@KINDS
def test_a_level_the_network_has_no_quantiles_of_is_symmetric_and_that_is_said(intervals):
    levels = (0.05, 0.5, 0.95)
    earlier, later = fold(9)
    fit = fitted(intervals, changed(earlier, quantiles=quantiles_of(earlier, levels, scale=1.0)), levels)
    bounds = alone(fit, changed(later, quantiles=quantiles_of(later, levels, scale=1.0)))
    np.testing.assert_allclose(bounds[1].mean(axis=0), later.forecast, rtol=1e-9)
    assert abs(bounds[0].mean(axis=0) - later.forecast).min() > 0.01
    assert fit.notes == [
        "the network does not answer with the quantiles of 50 %: such intervals are symmetric around the forecast"
    ]


def test_rows_without_bounds_are_not_judged():
    earlier, later = fold(10)
    later.naive[3] = 0.0
    later.forecast[3] = 0.0
    bounds, coverage = FoldIntervals(SplitConformal(levels=LEVELS), earlier, quantile_levels=None).bounds(
        later
    )
    assert np.isnan(bounds[..., 3]).all()
    assert coverage.record()["rows_without"] == 1
