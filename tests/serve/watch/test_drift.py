"""Drift: figures that can be worked out by hand, of the newest windows, from all processes."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from forecast.bundle.reference import reference_of
from forecast.serve.watch import Watch
from forecast.serve.watch.drift import LEAST_WINDOWS, add, drift_of, stability_index
from forecast.serve.watch.pages import Pages


def normal(windows, *, shift=0.0, scale=1.0, seed=0):
    """(windows, 5, 2)"""
    return (shift + scale * np.random.default_rng(seed).standard_normal((windows, 5, 2))).astype(np.float32)


@pytest.fixture
def reference():
    return reference_of(normal(4000), ["one", "two"])


@pytest.fixture
def page():
    return Pages(count=1).own()


def drift(page, reference, version="m@1"):
    return drift_of([page], version, reference)


def test_the_index_by_hand():
    counts, shares = np.asarray([29.5, 69.5]), np.asarray([0.5, 0.5])
    expected = (0.3 - 0.5) * np.log(0.3 / 0.5) + (0.7 - 0.5) * np.log(0.7 / 0.5)
    assert stability_index(counts, shares) == pytest.approx(expected)
    assert np.isfinite(stability_index(np.asarray([100.0, 0.0]), shares))


def test_windows_like_those_of_training_are_stable(page, reference):
    add(page, "m@1", reference, normal(800, seed=1), newest=1000)
    told = drift(page, reference)
    assert told.label == "stable"
    assert told.psi_max < 0.02
    assert told.outside_share < 0.01


def test_a_feature_that_hardly_varies_has_fewer_bins(page):
    flags = (normal(2000) > 0.5).astype(np.float32)
    reference = reference_of(flags, ["one", "two"])
    add(page, "m@1", reference, flags[:500], newest=1000)
    assert drift(page, reference).psi_max < 0.01
    add(page, "m@1", reference, np.ones_like(flags), newest=1000)
    assert drift(page, reference).psi_max > 0.25


@pytest.mark.parametrize(("shift", "label"), [(0.4, "moderate"), (1.0, "shifted")])
def test_a_shift_is_seen_as_large_as_it_is(page, reference, shift, label):
    inputs = normal(800, seed=1)
    inputs[..., 1] += shift
    add(page, "m@1", reference, inputs, newest=1000)
    told = drift(page, reference)
    assert told.label == label
    assert [feature.feature for feature in told.features] == ["two", "one"]
    edges = norm.ppf(np.arange(1, 10) / 10)
    now = np.diff([0, *norm.cdf(edges - shift), 1])
    assert told.psi_max == pytest.approx(np.sum((now - 0.1) * np.log(now / 0.1)), rel=0.15)
    assert told.features[1].psi < 0.02


def test_the_share_outside_counts_windows_and_names_the_feature(page, reference):
    inputs = np.zeros((200, 5, 2), np.float32)
    inputs[:30, 2, 0] = 99.0
    inputs[20:40, 4, 1] = -99.0
    add(page, "m@1", reference, inputs, newest=10**9)
    told = drift(page, reference)
    assert told.outside_share == pytest.approx(40 / 200)
    assert {one.feature: pytest.approx(one.outside_share) for one in told.features} == {
        "one": 30 / 200,
        "two": 20 / 200,
    }


def test_few_windows_say_nothing_of_shares_in_bins(page, reference):
    add(page, "m@1", reference, normal(LEAST_WINDOWS - 1), newest=1000)
    assert drift(page, reference).features is None
    assert drift(page, reference).label is None
    assert drift(page, reference).outside_share is not None
    assert drift(page, reference, "other").windows == 0


def test_old_windows_fade_and_another_model_begins_anew(page, reference):
    for _ in range(20):
        add(page, "m@1", reference, normal(100, shift=3.0), newest=200)
    assert drift(page, reference).psi_max > 1
    assert drift(page, reference).windows == pytest.approx(250, rel=0.05)
    for seed in range(30):
        add(page, "m@1", reference, normal(100, seed=seed), newest=200)
    assert drift(page, reference).psi_max < 0.05
    add(page, "m@2", reference, normal(150), newest=200)
    assert drift(page, reference, "m@2").windows == 150
    assert drift(page, reference).windows == 0


def test_processes_add_up(reference):
    pages = Pages(count=2)
    own = [page for page, _ in pages.all()]
    add(own[0], "m@1", reference, np.zeros((150, 5, 2), np.float32), newest=10**9)
    add(own[1], "m@1", reference, np.full((50, 5, 2), 99.0, np.float32), newest=10**9)
    assert drift_of(own, "m@1", reference).outside_share == pytest.approx(0.25)


def test_what_is_served_is_looked_at_a_moment_later(watch, served, golden):
    windows, forecast = golden.windows[:60], golden.forecast[:60]
    strange = windows.copy()
    strange[:, 0, 0] *= 10
    for asked in (windows, strange):
        watch.forecasts(served, asked, ["AAPL"] * 60, forecast, None)
    watch.close()
    told = watch.drift(served)
    assert told.windows == pytest.approx(120, rel=0.1)
    assert told.outside_share > 0.4
    assert next(one for one in told.features if one.feature == "High").outside_share > 0.4


def test_a_window_that_could_not_be_forecast_is_left_out(watch, served, golden):
    windows, forecast = golden.windows[:3].copy(), golden.forecast[:3].copy()
    windows[0, 3, 1] = np.nan
    forecast[1] = np.nan
    watch.forecasts(served, windows, ["AAPL"] * 3, forecast, None)
    watch.close()
    assert watch.drift(served).windows == 1


def test_no_more_are_looked_at_in_a_second_than_is_said(tmp_path, served, golden):
    watch = Watch(a_second=10)
    watch.attach(folder=tmp_path, processes=1)
    for _ in range(5):
        watch.forecasts(served, golden.windows[:8], ["AAPL"] * 8, golden.forecast[:8], None)
    watch.close()
    # At most two seconds begin while five calls are made.
    assert 8 < watch.drift(served).windows <= 20
    assert watch.figures().forecasts == 40


def test_what_a_caller_does_to_his_arrays_later_does_not_matter(watch, served, golden):
    windows = golden.windows[:5].copy()
    watch.forecasts(served, windows, ["AAPL"] * 5, golden.forecast[:5], None)
    windows[:] = np.nan
    watch.close()
    assert watch.drift(served).windows == pytest.approx(5, rel=0.01)


def test_a_run_without_a_reference_has_no_drift(watch, served, golden):
    old = replace(served, reference=None)
    watch.forecasts(old, golden.windows[:5], ["AAPL"] * 5, golden.forecast[:5], None)
    watch.close()
    assert watch.drift(old) is None
