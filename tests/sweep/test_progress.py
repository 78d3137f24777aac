"""What is seen of a sweep while it runs."""

from __future__ import annotations

import io

import pytest
from sweep_parts import job

from forecast.sweep.progress import ProgressReporter, duration, summary
from forecast.sweep.record import JOB_FILE, Jobs


def test_the_line_says_how_far_it_is_who_leads_and_how_long_it_takes(tmp_path):
    jobs = [
        job(0, tmp_path, "trainer=smoke", "seed=0", objective=2.0),
        job(1, tmp_path, "trainer=smoke", "seed=1", objective=1.0),
        job(2, tmp_path, "trainer=smoke", "seed=2", status="failed", objective=None),
        job(3, tmp_path, "trainer=smoke", "seed=3", status="reused", objective=3.0),
        job(4, tmp_path, "trainer=smoke", "seed=4", status="running", objective=0.5),
    ]
    assert summary(jobs, total=7, elapsed_s=90, common={"trainer=smoke"}) == (
        "4 of 7 jobs over (2 finished, 1 reused, 1 failed), 1 running; best val_rmse 1 (seed=1); 90 s left"
        .replace("90 s", "2 min")
    )  # fmt: skip
    assert summary(jobs[:4], total=4, elapsed_s=90).endswith("; took 2 min")
    assert summary([], total=None, elapsed_s=0) == "0 jobs over"


def test_the_largest_leads_where_the_mode_says_so(tmp_path):
    jobs = [job(n, tmp_path, f"seed={n}", objective=float(n), mode="max") for n in range(3)]
    assert "(seed=2)" in summary(jobs, total=3, elapsed_s=1)


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (90, "2 min"), (9000, "2.5 h")])
def test_a_length_of_time(seconds, text):
    assert duration(seconds) == text


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path, monkeypatch):
    first, second = (job(n, tmp_path, status="running") for n in (0, 1))
    first.save(tmp_path / "0")
    second.save(tmp_path / "deeper" / "1")
    job(2, tmp_path, sweep="earlier").save(tmp_path / "2")
    jobs = Jobs(tmp_path, sweep="s")
    assert [found.number for found in jobs.read()] == [0, 1]
    read = []
    monkeypatch.setattr("forecast.sweep.record.JobResult.load", lambda path: read.append(path) or first)
    jobs.read()
    assert read == []
    second.save(tmp_path / "deeper" / "1")
    jobs.read()
    assert read == [tmp_path / "deeper" / "1" / JOB_FILE]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(tmp_path, stream, *jobs):
    for found in jobs:
        found.save(tmp_path / str(found.number))
    live = ProgressReporter(Jobs(tmp_path, sweep="s"), total=2, stream=stream)
    live.start()
    live.stop()
    return stream.getvalue()


def test_a_terminal_sees_one_line_and_each_failure_once(tmp_path):
    failed = job(1, tmp_path, "seed=1", status="failed", error="no", objective=None)
    said = shown(tmp_path, Terminal(), job(0, tmp_path, "seed=0"), failed)
    assert said.split("\r\x1b[K")[1:] == [
        "job 1 (seed=1): no\n",
        "2 of 2 jobs over (1 finished, 1 failed); best val_rmse 1 (seed=0); took 0 s"[: 79] + "\n",
    ]  # fmt: skip


def test_a_failure_is_said_once_though_it_is_seen_often(tmp_path):
    stream = io.StringIO()
    job(0, tmp_path, "seed=0", status="failed", error="no", objective=None).save(tmp_path / "0")
    live = ProgressReporter(Jobs(tmp_path, sweep="s"), total=2, stream=stream)
    live.show()
    live.show(last=True)
    assert stream.getvalue().count("job 0 (seed=0): no") == 1


def test_a_file_sees_whole_lines(tmp_path):
    said = shown(
        tmp_path, io.StringIO(), job(0, tmp_path, "seed=0"), job(1, tmp_path, "seed=1", objective=0.5)
    )
    assert said == "2 of 2 jobs over (2 finished); best val_rmse 0.5 (seed=1); took 0 s\n"


def test_a_screen_that_is_gone_does_not_end_the_sweep(tmp_path):
    stream = io.StringIO()
    live = ProgressReporter(Jobs(tmp_path, sweep="s"), total=2, stream=stream)
    stream.close()
    live.start()
    live.stop()


def test_damaged_records_are_no_jobs(tmp_path):
    job(0, tmp_path).save(tmp_path / "0")
    for name, text in {"1": "{", "2": "[]", "3": "{}"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / JOB_FILE).write_text(text)
    assert [found.number for found in Jobs(tmp_path).read()] == [0]
