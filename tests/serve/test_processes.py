"""Whatever is killed, the service comes back or is gone whole; told to stop, it first answers what it was asked."""

import json
import os
import signal
from contextlib import ExitStack, contextmanager, suppress

import pytest
from service import PATIENCE_S, first_reply, is_running, serving, wait, window

BODY = json.dumps({"sequence": window(20)}).encode()
HALF = len(BODY) // 2


@pytest.fixture(scope="module", params=["inline", "workers"])
def engine(request):
    return request.param


@pytest.fixture(scope="module")
def service(engine, bundle, tmp_path_factory):
    """Two HTTP processes; requests that nobody can answer any more end soon."""
    with serving(
        tmp_path_factory.mktemp("served"),
        f"bundle={bundle}",
        f"engine={engine}",
        "workers=2",
        "deadline_s=6",
    ) as running:
        running.wait(lambda: len(running.http_processes()) == 2, "two HTTP processes")
        yield running


def forecast(service):
    reply = service.ask("POST", "/infer", BODY)
    assert reply.status == 200, reply.body
    return reply.json()["prediction"]


def begin(service):
    """Half a request, of which it is certain that a process has taken it up."""
    connection = service.connect()
    connection.sendall(
        b"POST /infer HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    )
    assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
    connection.sendall(BODY[:HALF])
    return connection


@contextmanager
def begun_by_many(service, count):
    """So many half requests."""
    with ExitStack() as stack:
        yield [stack.enter_context(begin(service)) for _ in range(count)]


def holder(service, connection):
    """The HTTP process at the other end."""
    ours = connection.getsockname()[1]
    (found,) = [pid for pid in service.http_processes() if service.holds(pid, ours)]
    return found


def test_only_http_processes_keep_the_port(service):
    """Else it stays taken when they are gone."""
    assert len(service.http_processes()) == 2
    assert len(service.inference_processes()) == ("engine=workers" in service.tree()[service.process.pid])


def test_killed_http_process(service):
    """Its own requests are cut off, those of the other are answered, and there are two again."""
    expected = forecast(service)
    with begun_by_many(service, 8) as begun:
        victim = holder(service, begun[0])
        os.kill(victim, signal.SIGKILL)
        for connection in begun:
            with suppress(ConnectionError):
                connection.sendall(BODY[HALF:])
                reply = first_reply(connection)
                assert (reply.status, reply.json()["prediction"]) == (200, expected)
    service.wait(lambda: len(service.http_processes()) == 2, "another in its place")
    assert victim not in service.tree()
    service.wait(service.is_ready, "an answer")
    assert {forecast(service) for _ in range(8)} == {expected}
    assert "an HTTP process died (SIGKILL); another takes its place" in service.said()


def test_killed_inference_process(service, engine):
    """What it was asked is asked again of the one in its place: nobody notices."""
    if engine == "inline":
        assert service.inference_processes() == []
        return
    expected = forecast(service)
    (victim,) = service.inference_processes()
    os.kill(victim, signal.SIGSTOP)  # so that it is certain to be asked, and not to answer
    with begun_by_many(service, 4) as lost:
        for connection in lost:
            connection.sendall(BODY[HALF:])
        os.kill(victim, signal.SIGKILL)
        for connection in lost:
            reply = first_reply(connection)
            assert (reply.status, reply.json()["prediction"]) == (200, expected)
    service.wait(service.is_ready, "another in its place")
    assert service.inference_processes() != [victim]
    assert {forecast(service) for _ in range(8)} == {expected}


def test_stops_when_told_and_answers_first(service):
    """The last test of this server."""
    expected = forecast(service)
    before = service.tree()
    with begun_by_many(service, 8) as begun:
        service.process.send_signal(signal.SIGTERM)
        service.wait(lambda: not service.http_processes(), "it to take no more")
        for connection in begun:
            connection.sendall(BODY[HALF:])
        for connection in begun:
            reply = first_reply(connection)
            assert reply.status == 200, reply
            assert reply.json()["prediction"] == expected
            assert reply.headers["connection"] == "close"
    assert service.process.wait(PATIENCE_S) == 0
    wait(lambda: not any(map(is_running, before)), "all its processes to be gone")
    assert "Traceback" not in service.said()
    with pytest.raises(ConnectionError):
        service.connect()


def test_killed_main_process_leaves_nothing(engine, bundle, tmp_path):
    with serving(tmp_path, f"bundle={bundle}", f"engine={engine}") as running:
        before = running.tree()
        assert len(before) >= 3
        running.process.kill()
        wait(lambda: not any(map(is_running, before)), "all its processes to be gone")
        with pytest.raises(ConnectionError):
            running.connect()
