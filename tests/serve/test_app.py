"""The middlewares: keys, hosts and origins, bodies, limits, forms of a path; each refuses in one line to act on."""

from __future__ import annotations

import asyncio
import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from service import in_process, window

from forecast.serve.http_protocol import JoiningTransport
from forecast.serve.middleware import Limits, Metrics, Origin

KEY, ADMIN_KEY = "the-key", "the-other"
OPEN = ["/", "/livez", "/health", "/readyz", "/livez/", "//", "/readyz//"]
GUARDED = [
    "/config",
    "/monitor",
    "/metrics",
    "/docs",
    "/openapi.json",
    "/ui",
    "/ui/model",
    "/v2",
    "/v2/health/live",
    "/v2/models/champion",
    "/forecast/AAPL",
    "/train/1",
    "/nothing",
    "/config/",
    "//config",
    "/livez/../config",
    "/%63onfig",
    "/info",
]
ADMINS = [("POST", "/train"), ("POST", "/train/update"), ("GET", "/train/1"), ("POST", "/champion/rollback")]
ADMINS += [("POST", "/train/"), ("POST", "/%74rain"), ("DELETE", "/train/1")]
WRONG = {
    "none": {},
    "empty": {"X_API_Key": ""},
    "wrong": {"X_API_Key": "the-keys"},
    "start": {"X_API_Key": "the-ke"},
    "case": {"X_API_Key": "THE-KEY"},
    "not-ascii": {"X_API_Key": "\xff"},
    "bearer": {"Authorization": f"Bearer {KEY}"},
    "other-header": {"API_Key": KEY},
    "cookie": {"Cookie": f"X-API-Key={KEY}"},
}


@pytest.fixture(scope="module")
def locked(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("locked")
    with in_process(bundle, folder, api_key=KEY, admin_key=ADMIN_KEY) as started:
        yield started


def refused(reply):
    return reply.status == 401 and "X-API-Key" in reply.detail() and "www-authenticate" in reply.headers


@pytest.mark.parametrize("path", OPEN)
def test_open_to_all(locked, path):
    assert locked.get(path).status == 200


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_wrong_key(locked, wrong):
    for path in GUARDED:
        assert refused(locked.get(path, **wrong)), path
        assert refused(locked.get(f"{path}?X-API-Key={KEY}&api_key={KEY}", **wrong)), path
        assert locked.ask("HEAD", path, **wrong).status == 401
    assert refused(locked.post("/infer", {"sequence": window(20)}, **wrong))
    assert refused(locked.post("/infer", b"{", **wrong))
    for method, path in ADMINS:
        assert refused(locked.ask(method, path, **wrong)), path


@pytest.mark.parametrize("key", [KEY, ADMIN_KEY])
def test_right_key(locked, key):
    assert locked.post("/infer", {"sequence": window(20)}, X_API_Key=key).status == 200
    for path in ("/config", "/metrics", "/docs", "/openapi.json", "/config/"):
        assert locked.get(path, X_API_Key=key).status == 200


def test_routes_of_an_admin(locked):
    for method, path in ADMINS:
        assert refused(locked.ask(method, path, X_API_Key=KEY)), path
    assert locked.get("/train/1", X_API_Key=ADMIN_KEY).status == 404


def test_a_key_is_in_no_answer_and_no_file(locked):
    answers = [
        locked.get(path, X_API_Key=KEY).body for path in ("/config", "/metrics", "/monitor", "/openapi.json")
    ]
    files = [path.read_bytes() for path in locked.folder.rglob("*") if path.is_file()]
    for text in [*files, *answers]:
        assert KEY.encode() not in text
        assert ADMIN_KEY.encode() not in text


@pytest.mark.parametrize(
    "path", ["/", "/livez", "/readyz", "/config", "/metrics", "/ui", "/docs", "/v2/health/live"]
)
def test_head_answers_wherever_get_does(app, path):
    whole, head = app.get(path), app.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert int(head.headers["content-length"]) > 0


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "GET", "HEAD"])
def test_another_method(app, method):
    reply = app.ask(method, "/infer")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    if method != "HEAD":
        assert reply.detail().startswith(f"{'GET' if method == 'HEAD' else method} is no method of /infer")


def test_with_and_without_the_slash(app):
    for path in ("/config", "/docs", "/livez", "/metrics", "/monitor", "/ui"):
        assert app.get(path).status == app.get(f"{path}/").status == 200, path
    assert app.post("/infer/", {"sequence": window(20)}).status == 200
    assert app.get("/nothing/").detail() == "no such path: /nothing; GET /docs lists them"


def test_a_request_has_an_id(app):
    assert app.get("/livez", X_Request_ID="order-7").headers["x-request-id"] == "order-7"
    made = [app.get(path).headers["x-request-id"] for path in ("/livez", "/livez", "/nothing")]
    assert len(set(made)) == 3
    for odd in ("", "\x07", "\xff", "a" * 1000):
        assert app.get("/livez", X_Request_ID=odd).headers["x-request-id"].isprintable()


def test_times_end_in_z(app):
    assert app.post("/infer", {"sequence": window(20)}).json()["timestamp"].endswith("Z")
    assert app.get("/config").json()["metadata"]["loaded_at"].endswith("Z")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "testserver.evil.example",
        "xtestserver",
        "127.0.0.2",
        "[::2]:80",
        "",
        "testserver:80@evil.example",
        "testserver:80:1",
        "testserver..",
        "[testserver",
        "testserver:port",
    ],
)
def test_a_name_that_leads_here_without_being_ours(app, host):
    """DNS rebinding: a page of another site has its own name lead to this machine."""
    for method, path in (("GET", "/config"), ("POST", "/infer"), ("GET", "/livez")):
        reply = app.ask(method, path, Host=host)
        assert (reply.status, "Host" in reply.detail()) == (400, True)


def test_a_request_has_one_host():
    """Which of two a proxy before the server went by, nobody can tell."""
    gate = Origin(echo, hosts=("localhost",))
    good, bad = (b"host", b"localhost"), (b"host", b"evil.example")
    assert asked(gate, headers=[good])[0] == 200
    for headers in ([good, bad], [bad, good], [good, good], []):
        assert asked(gate, headers=headers)[0] == 400


def test_loopback_names_are_ours_unless_others_are_named(bundle, tmp_path):
    with in_process(bundle, tmp_path, allowed_hosts=None) as local:
        for host in ("localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "localhost."):
            assert local.get("/livez", Host=host).status == 200
        assert local.get("/livez", Host="forecast.example").status == 400
    with in_process(bundle, tmp_path, allowed_hosts=None, host="0.0.0.0", api_key="k") as anywhere:
        assert anywhere.get("/livez", Host="forecast.example").status == 200


FOREIGN = {
    "origin": {"Origin": "http://evil.example"},
    "opaque": {"Origin": "null"},
    "no-url": {"Origin": "http://["},
    "no-scheme": {"Origin": "testserver"},
    "with-user": {"Origin": "http://me@testserver"},
    "other-port": {"Origin": "http://testserver:81"},
    "cross-site": {"Sec_Fetch_Site": "cross-site"},
    "same-site": {"Sec_Fetch_Site": "same-site"},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN.keys())
def test_pages_of_others_cannot_act(app, headers):
    for method, path in (
        ("POST", "/infer"),
        ("POST", "/train"),
        ("POST", "/champion/rollback"),
        ("DELETE", "/train/1"),
    ):
        reply = app.ask(method, path, b"{}", **headers)
        assert (reply.status, "another site" in reply.detail()) == (403, True), path
    assert app.get("/livez", **headers).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://testserver"},
        {"Sec_Fetch_Site": "same-origin", "Origin": "https://TESTSERVER"},
        {"Sec_Fetch_Site": "none"},
        {},
    ],
)
def test_our_own_page_can(app, headers):
    assert app.post("/infer", {"sequence": window(20)}, **headers).status == 200


def test_identity_is_no_compression(app):
    assert app.post("/infer", {"sequence": window(20)}, Content_Encoding="Identity").status == 200


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip"])
def test_nothing_is_unpacked(app, coding):
    reply = app.post("/infer", gzip.compress(b"0" * 50_000_000), Content_Encoding=coding)
    assert (reply.status, reply.detail().startswith("Content-Encoding: ")) == (422, True)


def asked(middleware, pieces=(b"",), headers=(), path="/infer"):
    """One request straight to a middleware; a piece may be an exception's time to wait for ever."""
    sent, rest = [], list(pieces)

    async def receive():
        if not rest:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": rest.pop(0), "more_body": bool(rest) or pieces[-1] == b"..."}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": list(headers), "http_version": "1.1"}
    asyncio.run(asyncio.wait_for(middleware(scope, receive, send), 30))
    return sent[0]["status"], sent[1]["body"]


async def echo(_, receive, send):
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


def limited(app, *, max_body_bytes=10, max_in_flight=2, deadline_s=5, is_patient=lambda path: False):
    return Limits(
        app,
        max_body_bytes=max_body_bytes,
        max_in_flight=max_in_flight,
        deadline_s=deadline_s,
        is_patient=is_patient,
    )


CHUNKED = [(b"transfer-encoding", b"chunked")]


def test_a_body_is_handed_on_in_one_piece():
    limit = limited(echo)
    assert asked(limit, [b"ab", b"cd", b"ef"], CHUNKED) == (200, b"abcdef")
    assert limit.held == 0


def test_a_body_that_is_too_large_or_too_slow():
    limit = limited(echo, deadline_s=0.05)
    status, body = asked(limit, [b"x" * 6, b"x" * 6, b"..."], CHUNKED)
    assert (status, b"more than 10 bytes" in body) == (413, True)
    status, body = asked(limit, [b"x"], [(b"content-length", b"11")])
    assert (status, b"11 bytes; at most 10" in body) == (413, True)
    status, body = asked(limit, [b"..."], CHUNKED)
    assert (status, b"did not arrive within 0.05 s" in body) == (408, True)
    assert limit.held == 0


def test_large_bodies_leave_room_for_small_ones():
    limit = limited(echo, max_body_bytes=2**20)
    limit.held = 64 * 2**20
    assert asked(limit, [b"x" * 70_000], CHUNKED)[0] == 429
    assert asked(limit, [b"small"], CHUNKED) == (200, b"small")


def test_more_rows_than_are_taken(app, bundle, tmp_path):
    """Counted before anything is converted."""
    reply = app.post("/infer", {"sequence": window(2501)})
    assert (reply.status, reply.detail()) == (413, "sequence: about 2,501 rows; at most 2,500 are taken")
    closes = app.post("/infer", {"sequence": [1.0] * 2501})
    assert (closes.status, closes.detail()) == (413, "sequence: 2,501 rows; at most 2,500 are taken")
    many = app.post("/infer", {"sequence": [1] * 200_000})
    assert (many.status, many.detail()) == (
        413,
        "sequence: about 199,999 numbers; at most 2,500 rows of 4 are taken",
    )
    assert app.post("/infer", {"sequence": window(2500)}).status == 200
    tensor = {"name": "sequence", "shape": [1, 2501, 1], "datatype": "FP64", "data": [1.0] * 2501}
    assert app.post("/v2/models/champion/infer", {"inputs": [tensor]}).status == 413
    crowd = {"name": "sequence", "shape": [256, 200, 4], "datatype": "FP64", "data": [1] * 204_800}
    many = app.post("/v2/models/champion/infer", {"inputs": [crowd]})
    assert (many.status, "about 204," in many.json()["error"]) == (413, True)
    with in_process(bundle, tmp_path, max_rows=20) as narrow:
        assert narrow.post("/infer", {"sequence": window(20)}).status == 200
        assert narrow.post("/infer", {"sequence": window(21)}).status == 413


def test_too_many_in_flight():
    async def talk():
        go, answers = asyncio.Event(), []

        async def slow(scope, receive, send):
            await go.wait()
            await echo(scope, receive, send)

        limits = limited(slow, deadline_s=30)

        async def ask(path):
            sent = []

            async def receive():
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message):
                sent.append(message)

            await limits({"type": "http", "method": "GET", "path": path, "headers": []}, receive, send)
            answers.append((path, sent[0]["status"], dict(sent[0]["headers"])))

        waiting = [asyncio.create_task(ask("/infer")) for _ in range(2)]
        await asyncio.sleep(0)
        await ask("/infer")
        exempt = asyncio.create_task(ask("/livez"))  # shows that the server is overloaded
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(*waiting, exempt)
        return answers, limits.in_flight

    answers, left = asyncio.run(talk())
    (path, status, headers), *others = answers
    assert (path, status, headers[b"retry-after"]) == ("/infer", 429, b"1")
    assert sorted((path, status) for path, status, _ in others) == [("/infer", 200)] * 2 + [("/livez", 200)]
    assert left == 0


def test_a_deadline_and_the_patient_routes():
    async def never(scope, receive, send):
        await asyncio.sleep(0.1)
        await echo(scope, receive, send)

    limits = limited(never, deadline_s=0.01, is_patient=lambda path: path == "/train")
    status, body = asked(limits)
    assert (status, b"not answered within 0.01 s" in body) == (504, True)
    assert asked(limits, path="/train") == (200, b"")
    assert limits.in_flight == 0


def test_nothing_is_said_at_the_deadline_of_an_answer_that_began_nor_when_somebody_else_ends_it():
    async def endless(_, __, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    sent = []

    async def ended_by(seconds, deadline_s):
        async def send(message):
            sent.append(message["type"])

        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        async with asyncio.timeout(seconds) as outer:
            with pytest.raises(asyncio.CancelledError if seconds < deadline_s else TimeoutError) as raised:
                await limited(endless, deadline_s=deadline_s)(scope, None, send)
            if seconds < deadline_s:
                raise raised.value
        return outer

    asyncio.run(ended_by(30, 0.01))
    with pytest.raises(TimeoutError):
        asyncio.run(ended_by(0.01, 30))
    assert sent == ["http.response.start"] * 2


class Counts:
    def __init__(self):
        self.known, self.logged, self.waiting = [], [], []

    def began(self, waiting):
        self.waiting.append(waiting)

    def request(self, *facts, waiting):
        self.known.append(facts)
        self.waiting.append(waiting)

    def log_request(self, *facts):
        self.logged.append(facts)


def test_whatever_fails_is_answered_and_counted(caplog):
    async def broken(scope, *_):
        scope["route"] = type("Route", (), {"path": "/infer"})
        raise ValueError("secret")

    counts = Counts()
    status, body = asked(Metrics(broken, counter=counts, engine=SimpleNamespace(queue_size=3)))
    assert (status, b"secret" in body) == (500, False)
    assert "ValueError: secret" in caplog.text
    ((route, method, status, seconds),) = counts.known
    assert (route, method, status) == ("/infer", "POST", 500)
    assert seconds > 0
    ((*logged, request_id),) = counts.logged
    assert tuple(logged) == counts.known[0]
    assert request_id
    assert counts.waiting == [3, 3]


PATHS = {
    "/forecast/..%2f..": 400,
    "/forecast/%2e%2e%2f%2e%2e%2fetc%2fpasswd": 400,
    "/forecast/%00": 400,
    "/forecast/%E2%80%A8": 400,
    "/forecast/AAPL?horizon=" + "9" * 5000: 422,
    "/forecast/AAPL?horizon=one": 422,
    "/nothing%0d%0aX-Evil:%201": 404,
    "/nothing%E2%80%A8here": 404,
    "/" + "a" * 60_000: 404,
    "/ui/%2e%2e/%2e%2e/etc/passwd": 404,
    "/ui/record?ticker=..%2f..%2fetc": 404,
    "/train/..%2f..%2fetc": 404,
    "/v2/models/..%2fchampion": 404,
    "/v2/models/champion%0a/ready": 404,
    "//etc/passwd": 404,
    "/livez;x": 404,
    "/LIVEZ": 404,
    "/info": 404,
    "*": 404,
}


@pytest.mark.parametrize(("path", "status"), PATHS.items(), ids=[path[:40] for path in PATHS])
def test_path_trick(app, path, status):
    reply = app.get(path)
    assert reply.status == status
    assert "x-evil" not in reply.headers
    detail = reply.json()["detail"]
    assert len(detail.splitlines()) == 1
    assert len(detail) < 300
    assert "root:" not in detail


def test_no_request_waits_for_another_to_be_answered(app):
    """Sixteen threads, good and bad windows mixed: no one hurts a neighbour."""
    alone = app.post("/infer", {"sequence": window(20)}).json()["prediction"]
    barrier = threading.Barrier(16)

    def ask(place):
        if place < 16:
            barrier.wait(30)
        return app.post(
            "/infer", {"sequence": window(20) if place % 4 else [[1e38, 1e38, 1e38, 1.0]] * 19 + [[1.0] * 4]}
        )

    with ThreadPoolExecutor(16) as crowd:
        replies = list(crowd.map(ask, range(64)))
    for place, reply in enumerate(replies):
        if place % 4:
            assert reply.json()["prediction"] == pytest.approx(alone, rel=1e-6)
        else:
            assert (reply.status, "no finite forecast" in reply.detail()) == (400, True)


def test_head_and_body_of_an_answer_leave_together():
    class Socket(list):
        write = list.append

        def close(self):
            self.append("closed")

    async def writes(*pieces, close=False):
        socket = Socket()
        transport = JoiningTransport(socket)
        for piece in pieces:
            transport.write(piece)
        if close:
            transport.close()
        await asyncio.sleep(0)
        return list(socket)

    head, body = b"HTTP/1.1 200 OK\r\n\r\n", b"{}"
    assert asyncio.run(writes(head, body, b"more")) == [head + body, b"more"]
    assert asyncio.run(writes(head)) == [head]  # of HEAD, and of 100 Continue
    assert asyncio.run(writes(head, close=True)) == [head, "closed"]
