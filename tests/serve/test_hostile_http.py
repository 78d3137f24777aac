"""Clients that speak bad HTTP, slowly, or not at all: each gets a line to act on, and nobody else notices."""

import http.client
import json
import socket
from contextlib import ExitStack, suppress

import pytest
from service import first_reply, rest, serving, window

BODY = json.dumps({"sequence": window(20)}).encode()
DEADLINE_S = 3
HEAD = b"POST /infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY)


@pytest.fixture(scope="module")
def service(bundle, tmp_path_factory):
    """One that loses patience soon, and takes fewer requests at once than some of these clients are."""
    with serving(
        tmp_path_factory.mktemp("served"),
        f"bundle={bundle}",
        f"deadline_s={DEADLINE_S}",
        "keep_alive_s=2",
        "max_in_flight=64",
    ) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def unharmed(service):
    """After all of it the same processes answer the same, with no connection left over."""
    before = service.tree(), forecast(service)
    yield
    assert forecast(service) == before[1]
    assert service.tree() == before[0]
    assert "Traceback" not in service.said()
    (answering,) = service.http_processes()
    service.wait(lambda: service.connections(answering) == 0, "the connections to be closed")


def forecast(service):
    reply = service.ask("POST", "/infer", BODY)
    assert reply.status == 200, reply.body
    return reply.json()["prediction"]


def request(line, *headers):
    return b"\r\n".join([line, *headers, b"Connection: close", b"", b""])


UNREADABLE = {
    "http-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http-3.7": request(b"GET /livez HTTP/3.7"),
    "tls": bytes.fromhex("1603010200010001fc0303"),
    "no-http": b"hello\r\n\r\n",
    "zeros": bytes(4096),
    "unknown-method": request(b"BREW /livez HTTP/1.1"),
    "small-method": request(b"get /livez HTTP/1.1"),
    "no-path": request(b"GET  HTTP/1.1"),
    "path-not-ascii": request("GET /\xff HTTP/1.1".encode("latin-1"), b"Host: x"),
    "space-in-path": request(b"GET /li vez HTTP/1.1", b"Host: x"),
    "authority": request(b"CONNECT a:80 HTTP/1.1", b"Host: x"),
    "two-lengths": request(b"POST /infer HTTP/1.1", b"Content-Length: 5", b"Content-Length: 6"),
    "length-and-chunks": request(
        b"POST /infer HTTP/1.1", b"Transfer-Encoding: chunked", b"Content-Length: 6"
    ),
    "negative-length": request(b"POST /infer HTTP/1.1", b"Content-Length: -1"),
    "no-length": request(b"POST /infer HTTP/1.1", b"Content-Length: many"),
    "endless-length": request(b"POST /infer HTTP/1.1", b"Content-Length: " + b"9" * 30),
    "unknown-coding": request(b"POST /infer HTTP/1.1", b"Transfer-Encoding: gzip"),
    "bad-chunk": request(b"POST /infer HTTP/1.1", b"Transfer-Encoding: chunked") + b"xyz\r\n",
    "folded": request(b"GET /livez HTTP/1.1", b"X: y", b" folded"),
    "zero-in-header": request(b"GET /livez HTTP/1.1", b"X: a\0b"),
    "bad-name": request(b"GET /livez HTTP/1.1", b"B@d header: 1"),
}


@pytest.mark.parametrize("sent", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_unreadable(service, sent):
    reply = service.raw_reply(sent)
    assert (reply.status, reply.detail()) == (400, "this is no HTTP request that can be read")
    assert reply.headers["connection"] == "close"


FLOODS = {
    "many-headers": request(b"GET /livez HTTP/1.1", *(b"X-%d: y" % number for number in range(20_000))),
    "same-header": request(b"GET /livez HTTP/1.1", *[b"X-API-Key: y"] * 20_000),
    "long-header": request(b"GET /livez HTTP/1.1", b"X: " + b"y" * 10_000_000),
    "long-name": request(b"GET /livez HTTP/1.1", b"y" * 100_000 + b": y"),
    "long-path": request(b"GET /" + b"y" * 1_000_000 + b" HTTP/1.1"),
    "long-query": request(b"GET /livez?" + b"y" * 100_000 + b" HTTP/1.1"),
    "endless": b"GET /livez HTTP/1.1\r\n" + b"X: y\r\n" * 500_000,
}


@pytest.mark.parametrize("sent", FLOODS.values(), ids=FLOODS.keys())
def test_flood_of_headers(service, sent):
    reply = service.raw_reply(sent)
    assert reply.status == 431
    assert "more than 65,536 bytes" in reply.detail()


def test_flood_behind_the_body(service):
    """Trailers are headers, too."""
    sent = request(b"POST /infer HTTP/1.1", b"Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\n"
    reply = service.raw_reply(sent + b"X: y\r\n" * 500_000)
    assert reply.status == 400
    reply.detail()


def test_chunks_of_a_byte(service):
    """Good ones, many of them."""
    chunks = b"".join(b"1\r\n%c\r\n" % letter for letter in BODY)
    sent = request(b"POST /infer HTTP/1.1", b"Transfer-Encoding: chunked") + chunks + b"0\r\n\r\n"
    assert service.raw_reply(sent).status == 200


METHODS = ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "QUERY", "GET"]


@pytest.mark.parametrize("method", METHODS)
def test_odd_method(service, method):
    reply = service.raw_reply(request(f"{method} /infer HTTP/1.1".encode(), b"Host: x"))
    assert reply.status == 405
    assert reply.detail().startswith(f"{method} is no method of /infer")
    assert reply.headers["allow"] == "POST"


def test_head(service):
    sent = service.raw(request(b"HEAD /infer HTTP/1.1", b"Host: x"))
    assert sent.startswith(b"HTTP/1.1 405 ")
    assert sent.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("keep", [b"Connection: close", b"Connection: keep-alive"])
def test_http_10(service, keep):
    """Answered as it is asked, and closed."""
    told = service.raw(b"POST /infer HTTP/1.0\r\n%b\r\nContent-Length: %d\r\n\r\n" % (keep, len(BODY)) + BODY)
    assert told.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"transfer-encoding" not in told
    assert json.loads(told.partition(b"\r\n\r\n")[2])["prediction"] == forecast(service)


@pytest.mark.parametrize("to", ["websocket", "h2c"])
def test_upgrade_is_not_made(service, to):
    """The request is answered as if it had not asked for one."""
    upgrade = (b"Upgrade: " + to.encode(), b"Connection: Upgrade", b"Content-Length: %d" % len(BODY))
    sent = b"\r\n".join([b"POST /infer HTTP/1.1", *upgrade, b"", BODY])
    assert json.loads(service.raw(sent).partition(b"\r\n\r\n")[2])["prediction"] == forecast(service)


PATHS = {
    "/forecast/..%2f..": 400,
    "/forecast/../../etc/passwd": 400,
    "/forecast/%2e%2e%2f%2e%2e%2fetc%2fpasswd": 400,
    "/forecast/%00": 400,
    "/forecast/a%0Ab": 404,
    "/forecast/%E2%80%A8": 400,
    "/forecast/" + "A" * 5000: 400,
    "/forecast/AAPL%3fhorizon=1": 400,
    "/forecast/AAPL?horizon=" + "9" * 5000: 422,
    "/forecast/AAPL?horizon=2": 400,
    "/forecast/AAPL?horizon=0": 422,
    "/forecast/AAPL?horizon=one": 422,
    "/nothing%0d%0aX-Evil:%201": 404,
    "/nothing%E2%80%A8here": 404,
    "/%ff%fe": 404,
    "/" + "a" * 60_000: 404,
    "/ui/../../etc/passwd": 404,
    "/ui/%2e%2e/%2e%2e/etc/passwd": 404,
    "/ui/record?ticker=..%2f..%2fetc": 404,
    "/train/..%2f..%2fetc": 404,
    "/train/%2e%2e": 404,
    "/v2/models/..%2fchampion": 404,
    "/v2/models/champion%0a/ready": 404,
    "//etc/passwd": 404,
    "/./livez": 404,
    "/livez;x": 404,
    "/LIVEZ": 404,
    "/%2flivez": 404,
    "*": 404,
}


@pytest.mark.parametrize(("path", "status"), PATHS.items(), ids=[path[:40] for path in PATHS])
def test_path_trick(service, path, status):
    reply = service.raw_reply(request(f"GET {path} HTTP/1.1".encode(), b"Host: x"))
    assert reply.status == status
    assert "x-evil" not in reply.headers
    told = reply.json()["detail"]
    assert len(told.splitlines()) == 1
    assert len(told) < 300
    assert "root:" not in told


@pytest.mark.parametrize("host", [b"[", b"\xff\xfe", b"a b", b"", b"evil:99999999", b"x\r\nHost: y"])
def test_odd_host(service, host):
    for path, status in ((b"/livez/", 200), (b"/nothing", 404)):
        reply = service.raw_reply(request(b"GET " + path + b" HTTP/1.1", b"Host: " + host))
        assert reply.status == status


def test_truncated_body(service):
    """Whoever hangs up in the middle takes nobody along."""
    with service.connect() as connection:
        connection.sendall(HEAD + BODY[:20])
        connection.shutdown(socket.SHUT_WR)
        assert rest(connection) == b""


def test_reset_in_the_middle(service):
    for sent in (HEAD[:20], HEAD, HEAD + BODY[:20], HEAD + BODY):
        with service.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(sent)
    assert service.is_ready()


def test_half_closed(service):
    """Whoever has said all he has to say may still listen."""
    with service.connect() as connection:
        connection.sendall(HEAD + BODY)
        connection.shutdown(socket.SHUT_WR)
        told = rest(connection)
    assert json.loads(told.partition(b"\r\n\r\n")[2])["prediction"] == forecast(service)


def test_many_in_one_go(service):
    """Answered in their order, however they are cut."""
    expected = forecast(service)
    sent = (HEAD + BODY) * 20
    with service.connect() as connection:
        for start in range(0, len(sent), 97):
            connection.sendall(sent[start : start + 97])
        connection.shutdown(socket.SHUT_WR)
        told = rest(connection)
    assert told.count(b"HTTP/1.1 200 OK") == 20
    assert told.count(json.dumps(expected).encode()) == 20


SLOW = {
    "nothing": b"",
    "line": b"POST /inf",
    "head": HEAD[:-2] + b"X: y\r\n",
    "body": HEAD + BODY[:-1],
    "chunks": request(b"POST /infer HTTP/1.1", b"Transfer-Encoding: chunked") + b"1\r\n{\r\n",
}


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW.keys())
def test_slow_client(service, sent):
    """It is told that it is too slow, or hung up on where it said nothing; many of them keep nobody from service."""
    with ExitStack() as stack:
        slow = [stack.enter_context(service.connect()) for _ in range(200)]
        for connection in slow:
            connection.sendall(sent)
        for _ in range(20):
            forecast(service)
        if not sent:
            assert {rest(connection) for connection in slow} == {b""}
            return
        for connection in slow:
            reply = first_reply(connection)
            assert reply.status == 408
            assert f"within {DEADLINE_S} s" in reply.detail()


def test_slow_drip(service):
    """A byte now and then is no progress."""
    with service.connect() as connection:
        connection.settimeout(0.1)
        told = b""
        for letter in HEAD[:-2] + b"X: y\r\n" * 1000:
            connection.sendall(bytes([letter]))
            try:
                told = connection.recv(65536)
            except TimeoutError:
                continue
            break
    assert told.startswith(b"HTTP/1.1 408 ")


def test_thousand_idle_connections(service):
    with ExitStack() as stack:
        idle = [stack.enter_context(service.connect()) for _ in range(1000)]
        answered = http.client.HTTPConnection("127.0.0.1", service.port)
        stack.callback(answered.close)
        for _ in range(20):
            answered.request("POST", "/infer", BODY)
            assert answered.getresponse().read()
        assert {rest(connection) for connection in idle} == {b""}


def test_kept_alive_only_so_long(service):
    with service.connect() as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert rest(connection).endswith(b'{"status":"alive"}')


def test_too_many_at_once(service):
    """More than `max_in_flight` that are all there: some are told to come again, and none is left without answer."""
    with ExitStack() as stack:
        asking = [stack.enter_context(service.connect()) for _ in range(400)]
        for connection in asking:
            connection.sendall(HEAD + BODY[:-1])
        for connection in asking:
            connection.sendall(BODY[-1:])
        replies = [first_reply(connection) for connection in asking]
    assert {reply.status for reply in replies} <= {200, 429}
    assert sum(reply.status == 200 for reply in replies) >= 64
    for reply in replies:
        if reply.status == 429:
            assert reply.headers["retry-after"] == "1"
            assert "64 requests are in flight" in reply.detail()


def test_unread_answers(service):
    """Whoever asks and never listens is dropped."""
    with service.connect() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(0.2)
        with suppress(TimeoutError):
            while True:  # until it takes no more
                deaf.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        for _ in range(20):
            forecast(service)
        (answering,) = service.http_processes()
        service.wait(lambda: service.connections(answering) == 0, "it to be dropped")
