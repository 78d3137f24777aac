"""The request log: a line of JSON a request, whole, whoever writes and whoever rotates."""

import json
import os
import re
import resource
import signal

import pytest
from watching import lines

from forecast.serve.monitoring import Monitoring, RequestLog


@pytest.fixture
def log(tmp_path):
    return RequestLog(file="requests.jsonl").in_folder(tmp_path)


def write(log, number, start=0, **more):
    for name in range(start, start + number):
        log.request("POST", "/infer", 200, 0.00123, f"r-{name}", "model@1", **more)
    log.flush()


def read(*paths):
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def test_a_line_says_when_what_how_and_who(log, tmp_path):
    log.request("POST", "/infer", 200, 0.0123456, "abc", "model@1")
    log.request("GET", "unmatched", 404, 0.0001, None, None)
    log.flush()
    first, second = read(tmp_path / "requests.jsonl")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert first == {
        "method": "POST",
        "route": "/infer",
        "status": 200,
        "ms": 12.346,
        "request_id": "abc",
        "model_version": "model@1",
    }
    assert (second["route"], second["request_id"], second["model_version"]) == ("unmatched", None, None)


@pytest.mark.parametrize("hostile", ['"}\n{"x":"', "\x00\x1b[31m\u2028", "é\ud800", "\\", "a" * 5000])
def test_nothing_a_client_says_breaks_a_line(log, tmp_path, hostile):
    log.request("POST", "/infer", 200, 0.001, hostile, "model@1")
    log.flush()
    (said,) = read(tmp_path / "requests.jsonl")
    assert said["request_id"] == hostile


def test_only_its_owner_reads_it(log, tmp_path):
    write(log, 1)
    assert (tmp_path / "requests.jsonl").stat().st_mode & 0o077 == 0


def test_a_file_that_is_renamed_is_followed_by_a_new_one(log, tmp_path):
    path, moved = tmp_path / "requests.jsonl", tmp_path / "moved"
    write(log, 2)
    path.rename(moved)
    write(log, 3, start=2)
    assert [len(read(one)) for one in (moved, path)] == [2, 3]


def test_a_file_that_is_truncated_is_written_from_its_start(log, tmp_path):
    path = tmp_path / "requests.jsonl"
    write(log, 2)
    os.truncate(path, 0)
    write(log, 3)
    assert len(read(path)) == 3


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_a_full_file_is_put_aside_and_so_many_are_kept(tmp_path, keep):
    log = RequestLog(file="requests.jsonl", megabytes=0.001, keep=keep).in_folder(tmp_path)
    for turn in range(6):
        write(log, 5, start=5 * turn)
    aside = [tmp_path / f"requests.jsonl.{number}" for number in range(1, 9)]
    assert [path.exists() for path in aside] == [number < keep for number in range(8)]
    newest = [line["request_id"] for path in reversed(aside[:keep]) for line in read(path)]
    assert newest == [f"r-{number}" for number in range(25 - 5 * keep, 25)]
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.glob("requests.jsonl*"))


def write_and_rotate(folder, who):
    log = RequestLog(file="requests.jsonl", megabytes=0.01, keep=100).in_folder(folder)
    for turn in range(40):
        for number in range(5):
            log.request("POST", "/infer", 200, 0.001, f"{who}-{turn}-{number}", "model@1")
        log.flush()


def test_processes_that_write_and_rotate_together_lose_no_line_and_tear_none(tmp_path, child):
    for one in [child(write_and_rotate, tmp_path, who) for who in "abc"]:
        one.leave()
    files = sorted(tmp_path.glob("requests.jsonl*"))
    assert len(files) > 3
    said = [line["request_id"] for line in read(*files)]
    assert sorted(said) == sorted(
        f"{who}-{turn}-{number}" for who in "abc" for turn in range(40) for number in range(5)
    )


def test_a_folder_that_takes_no_file_is_said_of_once_and_costs_nothing_else(tmp_path, caplog):
    (tmp_path / "taken").write_text("")
    log = RequestLog(file="taken/requests.jsonl").in_folder(tmp_path)
    for _ in range(3):
        write(log, 5)
    assert [record.message for record in caplog.records if "requests.jsonl" in record.message] == [
        f"the request log {tmp_path}/taken/requests.jsonl cannot be written: File exists"
    ]
    (tmp_path / "taken").unlink()
    write(log, 2)
    assert [line["request_id"] for line in read(tmp_path / "taken" / "requests.jsonl")] == ["r-0", "r-1"]


def test_a_full_disk_tears_one_line_and_no_other(log, tmp_path):
    path = tmp_path / "requests.jsonl"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, before[1]))
    try:
        write(log, 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    write(log, 2, start=10)
    whole, torn = [], []
    for line in path.read_text().splitlines():
        try:
            whole.append(json.loads(line)["request_id"])
        except ValueError:
            torn.append(line)
    assert len(torn) == 1
    assert whole[-2:] == ["r-10", "r-11"]
    assert whole[:-2] == [f"r-{number}" for number in range(len(whole) - 2)]


def test_a_share_of_what_went_well_and_all_that_did_not(tmp_path):
    log = RequestLog(file="requests.jsonl", share=0.0).in_folder(tmp_path)
    for status in (200, 202, 304, 400, 429, 500):
        log.request("POST", "/infer", status, 0.001, None, None)
    log.flush()
    assert [line["status"] for line in read(tmp_path / "requests.jsonl")] == [400, 429, 500]


def test_windows_are_written_only_where_they_are_asked_for(tmp_path, served, golden):
    for payloads in (False, True):
        folder = tmp_path / str(payloads)
        monitoring = Monitoring(log=RequestLog(file="requests.jsonl", payloads=payloads))
        monitoring.open(folder)
        monitoring.model_loaded(served)
        monitoring.forecasts(served, golden.windows[:1], ["AAPL"], golden.forecast[:1], None)
        monitoring.log_request("/infer", "POST", 200, 0.001, "mine")
        monitoring.close()
        said = read(folder / "requests.jsonl")
        assert [line.get("request_id") for line in said if "status" in line] == ["mine"]
        windows = [line for line in said if "window" in line]
        assert len(windows) == payloads
        if payloads:
            assert windows[0]["ticker"] == "AAPL"
            assert windows[0]["window"] == golden.windows[0].tolist()
            assert windows[0]["forecast"] == golden.forecast[0].tolist()
            assert windows[0]["model_version"] == served.version


def test_lines_reach_the_file_without_being_asked_for(monitoring, tmp_path, served):
    monitoring.model_loaded(served)
    for _ in range(20):
        monitoring.log_request("/infer", "POST", 200, 0.001)
    assert json.loads(lines(tmp_path / "requests.jsonl", 20)[-1])["model_version"] == served.version


def request_and_end(monitoring):
    monitoring.log_request("/infer", "POST", 200, 0.001, "last words")


def test_a_process_that_ends_writes_its_last_lines(monitoring, tmp_path, child):
    child(request_and_end, monitoring).leave()
    assert read(tmp_path / "requests.jsonl")[0]["request_id"] == "last words"
