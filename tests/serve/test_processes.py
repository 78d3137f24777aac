"""Real servers: what is killed comes back, or the server ends as a whole; asked to stop, it first answers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import pytest
from commands import SMALL
from forgery import rewrite_manifest, set_config
from service import PATIENCE_S, first_reply, is_running, refused, serving, wait, window
from trained import run_without_plots

BODY = json.dumps({"sequence": window(20)}).encode()
HALF = len(BODY) // 2


@pytest.fixture(scope="module", params=["inline", "workers"])
def engine(request):
    return request.param


@pytest.fixture(scope="module")
def link(bundle, tmp_path_factory):
    made = tmp_path_factory.mktemp("champions") / "champion"
    made.symlink_to(bundle)
    return made


@pytest.fixture(scope="module")
def service(engine, link, tmp_path_factory):
    """Two HTTP processes, of one of the engines."""
    with serving(
        tmp_path_factory.mktemp("served"),
        f"bundle={link}",
        f"engine={engine}",
        *(["engine.processes=2"] if engine == "workers" else []),
        "workers=2",
        "champion_poll_s=0.05",
    ) as running:
        running.wait(lambda: len(running.http_processes()) == 2, "two HTTP processes")
        yield running


def forecast_of(service, **headers):
    reply = service.ask("POST", "/infer", BODY, **headers)
    assert reply.status == 200, reply.body
    return reply.json()


def begin(service):
    """Half a request, of which it is certain that a process has taken it up."""
    connection = service.connect()
    connection.sendall(
        b"POST /infer HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        % len(BODY)
    )
    assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
    connection.sendall(BODY[:HALF])
    return connection


def test_many_at_once(service):
    """Good windows and bad ones: each gets its own answer, whichever process computes it."""
    expected = forecast_of(service)["prediction"]
    bad = {"sequence": [[1e38, 1e38, 1e38, 1.0]] * 19 + [[1.0] * 4]}

    def ask(place):
        if place % 4 == 3:
            return service.post("/infer", bad)
        return service.ask("POST", "/infer", BODY)

    with ThreadPoolExecutor(16) as crowd:
        replies = list(crowd.map(ask, range(64)))
    for place, reply in enumerate(replies):
        if place % 4 == 3:
            assert (reply.status, "no finite forecast" in reply.detail()) == (400, True)
        else:
            assert reply.status == 200, reply.body
            assert reply.json()["prediction"] == pytest.approx(expected, rel=1e-6)
    v2 = {"inputs": [{"name": "sequence", "shape": [3, 20, 4], "datatype": "FP64", "data": [window(20)] * 3}]}
    reply = service.post("/v2/models/champion/infer", v2)
    assert reply.status == 200, reply.body
    assert reply.json()["outputs"][0]["data"] == pytest.approx([expected] * 3, rel=1e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the processes share a socket")
def test_connections_are_dealt_out_evenly(service):
    """On a socket that all share one process could accept them all, and two answered no more than one."""
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text("utf-8").splitlines()[1:]]
    listening = [one for one in sockets if one[1].endswith(f":{service.port:04X}") and one[3] == "0A"]
    assert len(listening) == 2
    requests = [service.get("/livez").headers["x-request-id"] for _ in range(60)]
    assert len(set(requests)) == 60  # and an id is given once, whichever process gives it
    answered = Counter(request.split("-")[1] for request in requests)
    assert len(answered) == 2
    assert min(answered.values()) >= 10


def test_head_leaves_no_traceback(service):
    """uvicorn missed the bytes that the length had promised."""
    assert [service.ask("HEAD", path).status for path in ("/", "/config", "/nothing")] == [200, 200, 404]
    assert service.is_ready()
    assert "Traceback" not in service.said()


def test_clients_that_hang_up_leave_nothing(service):
    for sent in (BODY[:0], BODY[:20]):
        with service.connect() as connection:
            connection.sendall(
                b"POST /infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n" + sent
            )
    odd = service.raw_reply(b"no HTTP\r\n\r\n")
    assert (odd.status, odd.headers["content-type"]) == (400, "application/json")
    assert (odd.detail()[:20], len(odd.headers["x-request-id"])) == ("Invalid HTTP request", 16)
    assert service.is_ready()
    in_flight = service.get("/monitor").json()["in_flight"]
    service.wait(
        lambda: service.get("/monitor").json()["in_flight"] <= max(1, in_flight), "no request in flight"
    )


def test_a_body_that_is_refused_is_not_waited_for(service):
    head = (
        b"POST /infer HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 60000000\r\n\r\n"
    )
    assert service.raw_reply(head).status == 413


def test_who_writes_all_before_reading_is_told_that_it_is_too_much(service):
    """Python's own client found a broken pipe."""
    for length in (8_000_000, None):
        connection = HTTPConnection("127.0.0.1", service.port, timeout=30)
        headers = {"Content-Type": "application/json"}
        body = b" " * 8_000_000 if length else iter([b" " * 1_000_000] * 8)
        connection.request("POST", "/infer", body, headers, encode_chunked=length is None)
        assert connection.getresponse().status == 413
        connection.close()


def test_a_body_behind_an_upgrade_is_refused_with_the_way_out(service):
    """As Java's client and curl --http2 send it; the parser drops the body, which looked like an empty one."""
    head = b"POST /infer HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}"
    reply = service.raw_reply(head)
    assert (reply.status, reply.headers["connection"]) == (400, "close")
    assert reply.detail().startswith("Upgrade: send a body by HTTP/1.1")


def point(link, run):
    scratch = link.with_name("scratch")
    scratch.symlink_to(run)
    os.replace(scratch, link)


def test_another_model_takes_the_place_and_an_evil_one_does_not(service, link, bundle, tmp_path):
    before = forecast_of(service)["model_version"]
    evil = shutil.copytree(bundle, tmp_path / "evil")
    done = tmp_path / "done"
    set_config(evil, "model", {"_target_": "forecast.data.market.os.system", "command": f"touch {done}"})
    rewrite_manifest(evil)
    point(link, evil)
    service.wait(lambda: "refused a new model" in service.said(), "it to be refused")
    assert forecast_of(service)["model_version"] == before
    good = shutil.copytree(bundle, tmp_path / "good")
    point(link, good)
    service.wait(
        lambda: {forecast_of(service)["model_version"][:5] for _ in range(8)} == {"good@"}, "the good one"
    )
    point(link, bundle)
    service.wait(
        lambda: {forecast_of(service)["model_version"] for _ in range(8)} == {before}, "the first one"
    )
    assert not done.exists()
    assert "Traceback" not in service.said()


def test_killed_inference_process(service):
    """LitServe starts another; nobody waits for that: with engine=inline none is needed, with workers there are two."""
    expected = forecast_of(service)["prediction"]
    victim, *others = service.inference_processes()
    os.kill(victim, signal.SIGKILL)
    for _ in range(5):
        began = time.monotonic()
        assert forecast_of(service)["prediction"] == pytest.approx(expected, rel=1e-6)
        assert (
            time.monotonic() - began < 3.0
        )  # a new process takes longer to load; no time on a quiet machine
    known = {victim, *others}
    service.wait(lambda: set(service.inference_processes()) - known, "another in its place")
    service.wait(service.is_ready, "an answer")
    assert len(service.http_processes()) == 2


def test_stops_when_said_and_answers_first(service):
    """The last test of these servers."""
    expected = forecast_of(service)["prediction"]
    before = service.tree()
    with ExitStack() as stack:
        begun = [stack.enter_context(begin(service)) for _ in range(8)]
        service.process.send_signal(signal.SIGTERM)
        service.wait(lambda: service.get("/readyz").status == 503, "it to say that it stops", within=0.4)
        for connection in begun:
            connection.sendall(BODY[HALF:])
        for connection in begun:
            reply = first_reply(connection)
            assert reply.status == 200, reply
            assert reply.json()["prediction"] == pytest.approx(expected, rel=1e-6)
        # those that come within 0.2 s of the signal are answered, too, and sent elsewhere
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            late = service.ask("POST", "/infer", BODY)
            assert (late.status, late.headers["connection"]) == (200, "close")
            time.sleep(0.01)
    assert service.process.wait(PATIENCE_S) == 0
    wait(lambda: not any(map(is_running, before)), "all its processes to be gone")
    assert "Traceback" not in service.said()
    with pytest.raises(ConnectionError):
        service.connect()


@pytest.mark.parametrize("victim", ["http_processes", "inference_processes"])
def test_a_process_that_none_stands_in_for_ends_the_server_for_its_supervisor(victim, bundle, tmp_path):
    engine = "inline" if victim == "http_processes" else "workers"
    with serving(tmp_path, f"bundle={bundle}", f"engine={engine}", "log_format=json") as running:
        before = running.tree()
        os.kill(getattr(running, victim)()[-1], signal.SIGKILL)
        began = time.monotonic()
        assert running.process.wait(PATIENCE_S) == 1
        assert time.monotonic() - began < 3.0  # 0.6 s, on a machine with nothing else to do
        wait(lambda: not any(map(is_running, before)), "all its processes to be gone")
        lines = [json.loads(line) for line in running.said().strip().splitlines()]
        assert all(line["time"].endswith("Z") and line["level"] and line["pid"] for line in lines)
        assert any(line["message"].startswith("listening on http://127.0.0.1:") for line in lines)
        assert lines[-1]["level"] == "error"
        assert lines[-1]["message"].endswith("died (SIGKILL); the server ends, and is to be started again")


def test_a_killed_main_process_leaves_nothing(bundle, tmp_path):
    with serving(tmp_path, f"bundle={bundle}") as running:
        before = running.tree()
        assert len(before) >= 4
        running.process.kill()
        wait(lambda: not any(map(is_running, before)), "all its processes to be gone")
        with pytest.raises(ConnectionError):
            running.connect()


def test_a_model_of_several_threads_is_served(tmp_path):
    """Loaded before a fork, its threads would be missing in the process that computes, which waits for them for ever."""
    threads = ("trainer.threads=2", "model.hidden_size=64", "data.seq_len=30")
    run_without_plots(*SMALL, *threads, "tracker=none", "baselines=none", directory=tmp_path / "run")
    with serving(tmp_path, "bundle=run") as running:
        replies = [running.post("/infer", {"sequence": window(30)}) for _ in range(20)]
        assert {reply.status for reply in replies} == {200}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda run: (run / "scaler.json").unlink(), "is missing"),
        (
            lambda run: (
                set_config(run, "model", {"_target_": "os.system", "command": "true"})
                or rewrite_manifest(run)
            ),
            "os.system",
        ),
    ],
    ids=["a file gone", "an evil class"],
)
def test_what_is_not_served_is_refused_at_the_start(bundle, tmp_path, change, says):
    bad = shutil.copytree(bundle, tmp_path / "bad")
    change(bad)
    code, out = refused(tmp_path, "bundle=bad", "port=18999")
    assert code == 2
    assert says in out.strip().splitlines()[-1]
    assert "Traceback" not in out


@pytest.mark.parametrize("engine", ["inline", "workers"])
def test_a_model_that_answers_otherwise_is_refused_by_the_process_that_loads_it(bundle, tmp_path, engine):
    from safetensors.numpy import load_file, save_file

    bad = shutil.copytree(bundle, tmp_path / "bad")
    weights = {name: value * 1.5 for name, value in load_file(bad / "model.safetensors").items()}
    save_file(weights, bad / "model.safetensors")
    rewrite_manifest(bad)
    code, out = refused(tmp_path, "bundle=bad", f"engine={engine}", "port=18998")
    assert code == 2, out
    assert "does not give the forecasts it was recorded with" in out.strip().splitlines()[-1]
