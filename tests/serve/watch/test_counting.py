"""Several processes count together, and none takes its counts along when it is killed."""

from dataclasses import replace

import numpy as np
import pytest
from watching import begin, frozen, requests

from forecast.serve.watch.pages import MOST_ROWS, Pages
from forecast.serve.watch.watch import Watch


def test_one_process_counts(watch):
    requests(watch, 3)
    requests(watch, 1, seconds=0.5)
    requests(watch, 2, status=429, seconds=0.001)
    watch.request("/monitor", "GET", 200, 0.02)
    figures = watch.figures()
    assert figures.inferences.number == 4
    assert figures.inferences.mean == pytest.approx((3 * 0.01 + 0.5) / 4)
    assert (figures.inferences.least, figures.inferences.most) == (0.01, 0.5)
    assert figures.inferences.percentile(0.5) == pytest.approx(0.01, rel=0.1)
    assert figures.inferences.percentile(1.0) == 0.5
    assert figures.errors == {429: 2}
    assert figures.in_flight == 0
    assert figures.last_minute.number == 4


def test_processes_add_up_and_one_that_is_killed_is_not_forgotten(watch, child):
    one, two = (child(requests, watch, number).did() for number in (100, 250))
    busy = child(begin, watch, 7).did()
    figures = watch.figures()
    assert figures.inferences.number == 350
    assert figures.in_flight == 7
    assert {process.pid for process in figures.processes} == {
        started.process.pid for started in (one, two, busy)
    }
    one.kill()
    busy.kill()
    figures = watch.figures()
    assert figures.inferences.number == 350
    assert figures.in_flight == 0
    assert {process.pid for process in figures.processes} == {two.process.pid}


def test_a_process_that_takes_the_place_of_a_dead_one_counts_on(tmp_path, child):
    watch = Watch()
    watch.attach(folder=tmp_path, processes=1)
    pages = 2 * 1 + 4
    for turn in range(1, 3 * pages):
        child(requests, watch, 10).did().kill()
        assert watch.figures().inferences.number == 10 * turn
    assert max(page["used"] for page, _ in watch._shared().all()) == 1


def test_what_a_dead_process_was_answering_is_not_its_successors(tmp_path, child):
    watch = Watch()
    watch.attach(folder=tmp_path, processes=1)
    child(begin, watch, 7).did().kill()
    child(requests, watch, 1).did()
    (process,) = watch.figures().processes
    assert (process.in_flight, process.version) == (0, "")


def test_more_processes_than_pages_are_told_of_and_do_no_harm(tmp_path, child, capfd):
    watch = Watch()
    watch.attach(folder=tmp_path, processes=1)
    for _ in range(7):
        child(requests, watch, 10).did()
    assert watch.figures().inferences.number == 60
    assert "is not counted" in capfd.readouterr().err


def test_a_spawned_process_counts_with_the_others(watch, child):
    requests(watch, 5)
    spawned = child(requests, watch, 20, how="spawn").did()
    assert watch.figures().inferences.number == 25
    assert spawned.process.pid in {process.pid for process in watch.figures().processes}
    assert spawned.process.is_alive()


def test_the_kernel_tells_who_is_alive(child):
    pages = Pages(count=3)
    assert pages.own() is not None
    taken = child(pages.own).did()
    assert [alive for _, alive in pages.all()] == [True, True, False]
    taken.kill()
    assert [alive for _, alive in pages.all()] == [True, False, False]


def look_for_ever(pages):
    while True:
        pages.all()


def test_two_that_look_do_not_take_each_other_for_the_owner(child):
    pages = Pages(count=3)
    others = [child(look_for_ever, pages) for _ in range(2)]
    for _ in range(5000):
        assert not any(alive for _, alive in pages.all())
    assert all(other.process.is_alive() for other in others)


def test_labels_are_bounded_whatever_is_asked_for(watch):
    for number in range(3 * MOST_ROWS):
        watch.request(f"/made-up/{number}", "GET", 404, 0.001)
    watch.request("/infer", "BREW", 200, 0.001)
    watch.request("/infer", "POST", 7, 0.001)
    figures = watch.figures()
    assert len(figures.answers) <= MOST_ROWS
    assert sum(own.number for own in figures.answers.values()) == 3 * MOST_ROWS + 2
    assert figures.answers["other", 0, "other"].number == 2 * MOST_ROWS + 3


def test_odd_methods_and_statuses_share_a_name(watch):
    for method in ("BREW", "X" * 500, "\r\n"):
        watch.request("/infer", method, 405, 0.001)
    watch.request("/infer", "POST", 20_000, 0.001)
    assert {key: own.number for key, own in watch.figures().answers.items()} == {
        ("other", 405, "/infer"): 3,
        ("other", 0, "/infer"): 1,
    }


def test_the_last_minute_passes(watch, monkeypatch):
    move_on = frozen(monkeypatch, 1_800_000_000.0)
    requests(watch, 4)
    move_on(30)
    requests(watch, 6, seconds=0.1)
    assert watch.figures().last_minute.number == 10
    move_on(45)
    assert watch.figures().last_minute.number == 6
    requests(watch, 1)  # on the piece that the first ones were on
    assert watch.figures().last_minute.number == 7
    move_on(1000)
    assert watch.figures().last_minute.number == 0
    assert watch.figures().inferences.number == 11


def test_the_newest_forecast_is_remembered(watch, monkeypatch):
    assert watch.figures().last_inference is None
    frozen(monkeypatch, 1_800_000_000.0)
    requests(watch, 1)
    watch.request("/infer", "POST", 400, 0.1)
    assert watch.figures().last_inference.isoformat() == "2027-01-15T08:00:00+00:00"


def test_swaps_are_counted_and_a_batch_on_its_way_is_none(watch, served):
    other = replace(served, version="other@1")
    watch.swapped(served)
    assert watch.figures().swaps == 0
    watch.swapped(other)
    watch.forecasts(served, np.ones((1, 20, 4), np.float32), ["AAPL"], np.ones((1, 1)), None)
    watch.request("/infer", "POST", 200, 0.1)
    assert watch.figures().swaps == 1
    assert [process.version for process in watch.figures().processes] == ["other@1"]


def test_waiting_is_what_the_engine_says(watch):
    watch.waiting = lambda: 5
    watch.began()
    assert (watch.figures().in_flight, watch.figures().waiting) == (1, 5)
