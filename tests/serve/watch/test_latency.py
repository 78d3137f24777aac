"""Durations in buckets: percentiles as exact as the buckets are fine."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast.serve.watch.latency import BUCKETS, EDGES, bucket, cumulative, percentile


def counted(seconds):
    counts = [0] * BUCKETS
    for one in seconds:
        counts[bucket(one)] += 1
    return counts


def test_edges_are_ascending_and_close_together():
    steps = np.diff(np.log(EDGES))
    assert (steps > 0).all()
    assert steps.max() < np.log(1.18)
    assert EDGES[0] == 1e-5
    assert EDGES[-1] == 100


@given(st.floats(0, 1000))
def test_a_duration_is_in_the_bucket_whose_ends_enclose_it(seconds):
    number = bucket(seconds)
    assert number == BUCKETS - 1 or seconds <= EDGES[number]
    assert number == 0 or seconds > EDGES[number - 1]


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("scale", [1e-3, 0.2])
def test_percentiles_are_those_of_the_durations(share, scale):
    seconds = np.random.default_rng(0).lognormal(np.log(scale), 0.7, 20_000)
    assert percentile(counted(seconds), share) == pytest.approx(np.quantile(seconds, share), rel=0.06)


def test_none_of_nothing_and_the_longest_in_the_last_bucket():
    assert percentile([0] * BUCKETS, 0.99) is None
    assert percentile(counted([5000.0]), 0.99) == 100
    assert 0 < percentile(counted([0.0]), 0.5) <= 1e-5


def test_cumulative_counts_are_exact_at_the_edges_shown():
    seconds = np.random.default_rng(1).lognormal(np.log(5e-3), 1.5, 5000)
    shown = cumulative(counted(seconds))
    assert [edge for edge, _ in shown][:4] == [1e-4, 2.5e-4, 5e-4, 1e-3]
    assert shown == [(edge, int((seconds <= edge).sum())) for edge, _ in shown]
