"""The benchmark's load generator sees every fault that a server can have, and counts none that it has not."""

import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from benchmarks.serve.checks import going_back, staleness
from benchmarks.serve.load import Plan, Result, ask


class Scripted:
    """A server that treats its n-th question as its script says, then starts over."""

    def __init__(self, script):
        self.turns = itertools.cycle(script)
        self.over = threading.Event()
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet an answer

            def do_POST(self):
                number = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["number"]
                what = next(scripted.turns)
                if what == "cut":
                    self.close_connection = True
                    return
                if what == "hang":
                    scripted.over.wait()
                    return
                status = 200 if isinstance(what, float) else what
                said = {"prediction": number + what, "model_version": "v"} if status == 200 else {}
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def stop(self):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def served():
    servers = []

    def start(*script):
        servers.append(Scripted(script))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def plan(server, **more):
    bodies = [json.dumps({"number": number}) for number in range(5)]
    settings = {
        "port": server.port,
        "bodies": bodies,
        "expected": {"": [0.0, 1.0, 2.0, 3.0, 4.0]},
        "connections": 1,
        "seconds": 60.0,
        "warm_s": 0.0,
        "most": 100,
    }
    return Plan(**settings | more)


def test_right_answers_are_no_faults(served):
    found = ask(plan(served(0.0), connections=3))
    assert found.faults == {}
    assert found.answered.sum() == len(found.sent) == 100
    assert (found.taken >= found.sent).all()
    assert 0 < found.ms(50) <= found.ms(99)
    assert found.per_second > 0


def test_every_fault_is_counted_by_its_name(served):
    found = ask(plan(served(0.0, 0.25, 503, "cut")))
    assert found.faults == {"wrong figure": 25, "503": 25, "cut": 25}
    assert found.answered.sum() == 25


def test_a_figure_may_be_as_far_off_as_the_plan_says(served):
    assert (
        ask(plan(served(1e-9), bodies=['{"number": 1}'], expected={"": [1.0]}, tolerance=1e-6)).faults == {}
    )
    assert ask(plan(served(1e-9), bodies=['{"number": 1}'], expected={"": [1.0]})).faults == {
        "wrong figure": 100
    }


def test_a_question_that_is_never_answered_is_said(served):
    found = ask(plan(served(0.0, 0.0, "hang"), connections=2, seconds=0.5, patience_s=0.2))
    assert found.faults == {"no answer": 2}


def test_nobody_listens(served):
    server = served(0.0)
    server.stop()
    server.stop = lambda: None
    assert ask(plan(server, most=3)).faults == {"cut": 3}


def test_an_answer_of_an_unknown_version_is_wrong(served):
    expected = {"v": [0.0, 1.0, 2.0, 3.0, 4.0], "w": [0.0] * 5}
    found = ask(plan(served(0.0), expected=expected))
    assert found.faults == {}
    assert set(found.version.tolist()) == {0}
    assert ask(plan(served(0.0), expected={"x": [0.0] * 5, "w": [0.0] * 5})).faults == {"wrong figure": 100}


def test_answers_of_past_and_future_models_are_said():
    since = [(10.0, 0), (20.0, 1), (30.0, 0)]
    # sent, taken, version: in time, in time while it changes, 2 s late, before its time, in time again
    rows = [(11, 12, 0), (19, 21, 1), (22, 23, 0), (18, 19, 1), (31, 32, 0)]
    found = Result(
        begin=0.0,
        sent=np.array([row[0] for row in rows], float),
        taken=np.array([row[1] for row in rows], float),
        status=np.full(5, 200, np.int16),
        version=np.array([row[2] for row in rows], np.int16),
        right=np.ones(5, bool),
    )
    assert staleness(found, since) == (2.0, 1)
    assert going_back(found, since) == 1  # that before its time
    swapped = Result(**vars(found) | {"version": np.array([0, 1, 0, 0, 1], np.int16)})
    assert going_back(swapped, [(10.0, 0), (18.5, 1)]) == 1  # at 22 s, after the new one's answer at 21 s
