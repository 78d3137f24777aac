"""Several processes count together, and none takes its counts along when it is killed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from watching import begin, frozen, requests

from forecast.serve.monitoring import Monitoring
from forecast.serve.monitoring.counters import EDGES, MAX_ROWS, Latency


def test_one_process_counts(monitoring):
    requests(monitoring, 3)
    requests(monitoring, 1, seconds=0.5)
    requests(monitoring, 2, status=429, seconds=0.001)
    monitoring.request("/monitor", "GET", 200, 0.02)
    figures = monitoring.figures()
    assert figures.inferences.number == 4
    assert figures.inferences.mean == pytest.approx((3 * 0.01 + 0.5) / 4)
    assert (figures.inferences.fastest, figures.inferences.slowest) == (0.01, 0.5)
    assert figures.inferences.percentile(0.5) == pytest.approx(0.01, rel=0.1)
    assert figures.inferences.percentile(1.0) == 0.5
    assert figures.errors == {429: 2}
    assert figures.in_flight == 0
    assert figures.last_minute.number == 4


def test_processes_add_up_and_one_that_is_killed_is_not_forgotten(monitoring, child):
    one, two = (child(requests, monitoring, number).did() for number in (100, 250))
    busy = child(begin, monitoring, 7).did()
    figures = monitoring.figures()
    assert figures.inferences.number == 350
    assert figures.in_flight == 7
    assert {process.pid for process in figures.processes} == {
        started.process.pid for started in (one, two, busy)
    }
    one.kill()
    busy.kill()
    figures = monitoring.figures()
    assert figures.inferences.number == 350
    assert figures.in_flight == 0
    assert {process.pid for process in figures.processes} == {two.process.pid}


def test_a_process_that_takes_the_place_of_a_dead_one_counts_on(tmp_path, child):
    monitoring = Monitoring()
    monitoring.open(tmp_path)
    for turn in range(1, 6):
        child(requests, monitoring, 10).did().kill()
        assert monitoring.figures().inferences.number == 10 * turn
        assert not monitoring.figures().processes
    monitoring.close()


def test_what_a_dead_process_was_answering_is_not_its_successors(tmp_path, child):
    monitoring = Monitoring()
    monitoring.open(tmp_path)
    child(begin, monitoring, 7).did().kill()
    child(requests, monitoring, 1).did()
    (process,) = monitoring.figures().processes
    assert (process.in_flight, process.model_version) == (0, None)
    monitoring.close()


def test_a_spawned_process_counts_with_the_others(monitoring, child):
    requests(monitoring, 5)
    spawned = child(requests, monitoring, 20, how="spawn").did()
    assert monitoring.figures().inferences.number == 25
    assert spawned.process.pid in {process.pid for process in monitoring.figures().processes}
    assert spawned.process.is_alive()


def test_labels_are_bounded_whatever_is_asked_for(monitoring):
    for number in range(3 * MAX_ROWS):
        monitoring.request(f"/made-up/{number}", "GET", 404, 0.001)
    monitoring.request("/infer", "BREW", 200, 0.001)
    monitoring.request("/infer", "POST", 7, 0.001)
    figures = monitoring.figures()
    assert len(figures.requests) <= MAX_ROWS
    assert sum(own.number for own in figures.requests.values()) == 3 * MAX_ROWS + 2
    assert figures.requests["other", 0, "other"].number == 2 * MAX_ROWS + 3


def test_odd_methods_and_statuses_share_a_name(monitoring):
    for method in ("BREW", "X" * 500, "\r\n"):
        monitoring.request("/infer", method, 405, 0.001)
    monitoring.request("/infer", "POST", 20_000, 0.001)
    assert {key: own.number for key, own in monitoring.figures().requests.items()} == {
        ("other", 405, "/infer"): 3,
        ("other", 0, "/infer"): 1,
    }


def test_the_last_minute_passes(monitoring, monkeypatch):
    move_on = frozen(monkeypatch, 1_800_000_000.0)
    requests(monitoring, 4)
    move_on(30)
    requests(monitoring, 6, seconds=0.1)
    assert monitoring.figures().last_minute.number == 10
    move_on(45)
    assert monitoring.figures().last_minute.number == 6
    requests(monitoring, 1)  # on the piece that the first ones were on
    assert monitoring.figures().last_minute.number == 7
    move_on(1000)
    assert monitoring.figures().last_minute.number == 0
    assert monitoring.figures().inferences.number == 11


def test_the_newest_forecast_is_remembered(monitoring, monkeypatch):
    assert monitoring.figures().last_inference is None
    frozen(monkeypatch, 1_800_000_000.0)
    requests(monitoring, 1)
    monitoring.request("/infer", "POST", 400, 0.1)
    assert monitoring.figures().last_inference.isoformat() == "2027-01-15T08:00:00+00:00"


def test_swaps_are_counted_and_a_batch_on_its_way_is_none(monitoring, served):
    other = replace(served, version="other@1")
    monitoring.model_loaded(served)
    assert monitoring.figures().swaps == 0
    monitoring.model_loaded(other)
    monitoring.forecasts(served, np.ones((1, 20, 4), np.float32), ["AAPL"], np.ones((1, 1)), None)
    monitoring.request("/infer", "POST", 200, 0.1)
    assert monitoring.figures().swaps == 1
    assert [process.model_version for process in monitoring.figures().processes] == ["other@1"]


def test_waiting_is_what_the_engine_says(monitoring):
    monitoring.began(waiting=5)
    assert (monitoring.figures().in_flight, monitoring.figures().queue) == (1, 5)


def latency(seconds):
    counts = np.bincount(np.searchsorted(EDGES, seconds), minlength=len(EDGES) + 1)
    return Latency(counts=dict(enumerate(counts.tolist())), seconds=float(np.sum(seconds)))


def test_edges_are_ascending_and_close_together():
    steps = np.diff(np.log(EDGES))
    assert (steps > 0).all()
    assert steps.max() < np.log(1.18)
    assert EDGES[0] == 1e-5
    assert EDGES[-1] == 100


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("scale", [1e-3, 0.2])
def test_percentiles_are_those_of_the_durations(share, scale):
    seconds = np.random.default_rng(0).lognormal(np.log(scale), 0.7, 20_000)
    assert latency(seconds).percentile(share) == pytest.approx(np.quantile(seconds, share), rel=0.06)


def test_none_of_nothing_and_the_longest_in_the_last_bucket():
    assert Latency().percentile(0.99) is None
    assert latency([5000.0]).percentile(0.99) == 100
    assert 0 < latency([0.0]).percentile(0.5) <= 1e-5


def test_cumulative_counts_are_exact_at_the_edges_shown():
    seconds = np.random.default_rng(0).lognormal(np.log(0.01), 2, 1000)
    shown = latency(seconds).cumulative()
    assert [edge for edge, _ in shown][:4] == [1e-4, 2.5e-4, 5e-4, 1e-3]
    assert shown == [(edge, int((seconds <= edge).sum())) for edge, _ in shown]


@given(st.floats(0, 1000))
def test_one_request_is_counted_where_its_duration_lies(seconds):
    found = latency([seconds]).percentile(1.0)
    assert found <= EDGES[-1]
    assert found == pytest.approx(min(max(seconds, 1e-5), 100), rel=0.18)
