"""Drift: figures that can be worked out by hand, of the newest windows, from all processes."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from forecast.bundle.reference import reference_of
from forecast.serve.monitoring import Monitoring
from forecast.serve.monitoring.drift import MIN_WINDOWS, DriftCounts, read_drift, stability_index


def normal(windows, *, shift=0.0, scale=1.0, seed=0):
    """(windows, 5, 2)"""
    return (shift + scale * np.random.default_rng(seed).standard_normal((windows, 5, 2))).astype(np.float32)


@pytest.fixture
def reference():
    return reference_of(normal(4000), ["one", "two"])


@pytest.fixture
def page(tmp_path):
    return tmp_path


def drift(page, reference, version="m@1"):
    return read_drift(page, version, reference)


def counted(folder, *batches, newest=1000, version="m@1", reference):
    counts = DriftCounts(folder, newest=newest)
    for inputs in batches:
        counts.add(version, reference, inputs)
    return counts


def test_the_index_by_hand():
    counts, shares = np.asarray([29.5, 69.5]), np.asarray([0.5, 0.5])
    expected = (0.3 - 0.5) * np.log(0.3 / 0.5) + (0.7 - 0.5) * np.log(0.7 / 0.5)
    assert stability_index(counts, shares) == pytest.approx(expected)
    assert np.isfinite(stability_index(np.asarray([100.0, 0.0]), shares))


def test_windows_like_those_of_training_are_stable(page, reference):
    counted(page, normal(800, seed=1), newest=1000, reference=reference)
    said = drift(page, reference)
    assert said.label == "stable"
    assert said.psi_max < 0.02
    assert said.outside_share < 0.01


def test_a_feature_that_hardly_varies_has_fewer_bins(page):
    flags = (normal(2000) > 0.5).astype(np.float32)
    reference = reference_of(flags, ["one", "two"])
    counted(page, flags[:500], newest=1000, reference=reference)
    assert drift(page, reference).psi_max < 0.01
    counted(page, np.ones_like(flags), newest=1000, reference=reference)
    assert drift(page, reference).psi_max > 0.25


@pytest.mark.parametrize(("shift", "label"), [(0.4, "moderate"), (1.0, "shifted")])
def test_a_shift_is_seen_as_large_as_it_is(page, reference, shift, label):
    inputs = normal(800, seed=1)
    inputs[..., 1] += shift
    counted(page, inputs, newest=1000, reference=reference)
    said = drift(page, reference)
    assert said.label == label
    assert [feature.feature for feature in said.features] == ["two", "one"]
    edges = norm.ppf(np.arange(1, 10) / 10)
    now = np.diff([0, *norm.cdf(edges - shift), 1])
    assert said.psi_max == pytest.approx(np.sum((now - 0.1) * np.log(now / 0.1)), rel=0.15)
    assert said.features[1].psi < 0.02


def test_the_share_outside_counts_windows_and_names_the_feature(page, reference):
    inputs = np.zeros((200, 5, 2), np.float32)
    inputs[:30, 2, 0] = 99.0
    inputs[20:40, 4, 1] = -99.0
    counted(page, inputs, newest=10**9, reference=reference)
    said = drift(page, reference)
    assert said.outside_share == pytest.approx(40 / 200)
    assert {one.feature: pytest.approx(one.outside_share) for one in said.features} == {
        "one": 30 / 200,
        "two": 20 / 200,
    }


def test_few_windows_say_nothing_of_shares_in_bins(page, reference):
    counted(page, normal(MIN_WINDOWS - 1), newest=1000, reference=reference)
    assert drift(page, reference).features == []
    assert drift(page, reference).label is None
    assert drift(page, reference).outside_share is not None
    assert drift(page, reference, "other").windows == 0


def test_old_windows_fade_and_another_model_begins_anew(page, reference):
    shifted = [normal(100, shift=3.0)] * 20
    counts = counted(page, *shifted, newest=200, reference=reference)
    assert drift(page, reference).psi_max > 1
    assert drift(page, reference).windows == pytest.approx(250, rel=0.05)
    for seed in range(30):
        counts.add("m@1", reference, normal(100, seed=seed))
    assert drift(page, reference).psi_max < 0.05
    counts.add("m@2", reference, normal(150))
    assert drift(page, reference, "m@2").windows == 150
    assert drift(page, reference).windows == 0


def test_processes_add_up_and_a_dead_one_is_not_forgotten(page, reference, child):
    inside, outside = np.zeros((150, 5, 2), np.float32), np.full((50, 5, 2), 99.0, np.float32)
    for inputs in (inside, outside):
        child(counted, page, inputs, newest=10**9, reference=reference).did().kill()
    assert drift(page, reference).outside_share == pytest.approx(0.25)


def test_what_is_served_is_looked_at_a_moment_later(monitoring, served, golden):
    windows, forecast = golden.windows[:60], golden.forecast[:60]
    strange = windows.copy()
    strange[:, 0, 0] *= 10
    for asked in (windows, strange):
        monitoring.forecasts(served, asked, ["AAPL"] * 60, forecast, None)
    monitoring.close()
    said = monitoring.drift(served)
    assert said.windows == pytest.approx(120, rel=0.1)
    assert said.outside_share > 0.4
    assert next(one for one in said.features if one.feature == "High").outside_share > 0.4


def test_a_window_that_could_not_be_forecast_is_left_out(monitoring, served, golden):
    windows, forecast = golden.windows[:3].copy(), golden.forecast[:3].copy()
    windows[0, 3, 1] = np.nan
    forecast[1] = np.nan
    monitoring.forecasts(served, windows, ["AAPL"] * 3, forecast, None)
    monitoring.close()
    assert monitoring.drift(served).windows == 1


def test_no_more_are_looked_at_in_a_second_than_is_said(tmp_path, served, golden):
    monitoring = Monitoring(a_second=10)
    monitoring.open(tmp_path)
    for _ in range(5):
        monitoring.forecasts(served, golden.windows[:8], ["AAPL"] * 8, golden.forecast[:8], None)
    monitoring.close()
    # At most two seconds begin while five calls are made.
    assert 8 < monitoring.drift(served).windows <= 20
    assert monitoring.figures().forecasts == 40


def test_what_a_caller_does_to_his_arrays_later_does_not_matter(monitoring, served, golden):
    windows = golden.windows[:5].copy()
    monitoring.forecasts(served, windows, ["AAPL"] * 5, golden.forecast[:5], None)
    windows[:] = np.nan
    monitoring.close()
    assert monitoring.drift(served).windows == pytest.approx(5, rel=0.01)


def test_a_run_without_a_reference_has_no_drift(monitoring, served, golden):
    old = replace(served, reference=None)
    monitoring.forecasts(old, golden.windows[:5], ["AAPL"] * 5, golden.forecast[:5], None)
    monitoring.close()
    assert monitoring.drift(old) is None
