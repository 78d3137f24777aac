"""Runs are found by identity, if they are finished and unaltered; records of jobs are read, also old ones."""

from __future__ import annotations

import threading

from sweep_parts import job, write_run

from forecast.finished_runs import identity_of
from forecast.sweep.record import Jobs, RunIndex

RUN = "a" * 16


def indexed(root, *directories):
    runs = RunIndex(root)
    with runs.locked(RUN):
        for directory in directories:
            runs.add(RUN, directory)
    return runs


def test_a_finished_run_is_found_wherever_the_tree_is_moved(tmp_path):
    first = tmp_path / "multirun"
    indexed(first, write_run(first / "day" / "0", identity=RUN))
    second = first.rename(tmp_path / "moved")
    assert RunIndex(second).find(RUN, own=second / "1") == second / "day" / "0"


def test_what_is_unfinished_altered_gone_or_another_run_is_not(tmp_path):
    unfinished, altered, another = (write_run(tmp_path / name, identity=RUN) for name in "abc")
    (unfinished / "manifest.json").unlink()
    (altered / "metrics.json").write_text("{}")
    write_run(another, identity="b" * 16)
    runs = indexed(tmp_path, unfinished, altered, another, tmp_path / "gone")
    assert runs.find(RUN, own=tmp_path / "own") is None
    good = write_run(tmp_path / "good", identity=RUN)
    runs.add(RUN, good)
    assert runs.find(RUN, own=tmp_path / "own") == good


def test_its_own_directory_comes_first_though_nobody_added_it(tmp_path):
    own, other = (write_run(tmp_path / name, identity=RUN) for name in ("own", "other"))
    assert indexed(tmp_path, other).find(RUN, own=own) == own


def test_a_directory_is_added_once(tmp_path):
    runs = indexed(tmp_path, tmp_path / "a", tmp_path / "a")
    assert (tmp_path / ".runs" / RUN).read_text() == "a\n"
    runs.add(RUN, tmp_path.parent / "elsewhere")
    assert (tmp_path / ".runs" / RUN).read_text().splitlines()[1] == str(tmp_path.parent / "elsewhere")


def test_two_alike_run_one_after_the_other(tmp_path):
    runs, order, inside = RunIndex(tmp_path), [], threading.Event()

    def second():
        with RunIndex(tmp_path).locked(RUN):
            order.append("second")

    with runs.locked(RUN):
        thread = threading.Thread(target=second)
        thread.start()
        inside.wait(0.2)  # time enough for it to come first, if it could
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_config_that_states_no_identity(tmp_path):
    assert identity_of(tmp_path) is None
    (tmp_path / "config.yaml").write_text("seed: [")
    assert identity_of(tmp_path) is None
    (tmp_path / "config.yaml").write_text("- 1")
    assert identity_of(tmp_path) is None


def test_jobs_of_an_earlier_version_are_read(tmp_path):
    job(0, tmp_path, "seed=x", status="skipped", user_error=True, error="one ticker").save(tmp_path / "0")
    path = tmp_path / "0" / "job.json"
    path.write_text(path.read_text().replace('"skipped"', '"left out"').replace('"user_error"', '"mistake"'))
    (read,) = Jobs(tmp_path).read()
    assert (read.status, read.user_error, read.error) == ("skipped", True, "one ticker")
