"""What this project leans on inside LitServe, which promises none of it: a new version that differs is noticed here."""

import asyncio
import inspect
import multiprocessing
import signal
import threading
from queue import Empty

import litserve
import pytest
from litserve import LitAPI, LitServer
from litserve.loops.base import LitLoop
from litserve.server import ResponseBufferItem, _Server, response_queue_to_buffer
from litserve.utils import LitAPIStatus, LoopResponseType, WorkerSetupStatus
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from forecast.serve.connection import Connection
from forecast.serve.engines.workers import GreedyLoop
from forecast.serve.http import MONITOR, HttpServer


def names(function):
    return list(inspect.signature(function).parameters)


def source(thing):
    return inspect.getsource(thing)


class Doubling(LitAPI):
    """Of its own kind only in that it is none of ours."""

    def setup(self, device):
        self.device = device

    def decode_request(self, request):
        return request["number"]

    def predict(self, number):
        return 2 * number

    def encode_response(self, doubled):
        return {"doubled": doubled}


@pytest.fixture
def server():
    return LitServer(Doubling(api_path="/infer"), accelerator="cpu", timeout=False, restart_workers=True)


def test_four_methods():
    assert {"setup", "decode_request", "predict", "encode_response"} <= set(dir(LitAPI))
    assert names(LitAPI.setup) == ["self", "device"]


def test_runs_what_we_put_in_the_place_of_its_own():
    """`run` calls each of these on itself, with these arguments."""
    run = source(LitServer.run)
    for called in (
        "self._init_manager(num_api_servers)",
        "self.launch_inference_worker(lit_api)",
        "self.verify_worker_status()",
        "self._start_worker_monitoring(manager, uvicorn_workers)",
        "self._perform_graceful_shutdown(manager, uvicorn_workers, shutdown_reason)",
        "self._shutdown_event.wait()",
        "config.bind_socket()",
    ):
        assert called in run
    for name in ("_init_manager", "launch_inference_worker"):
        assert names(getattr(HttpServer, name)) == names(getattr(LitServer, name))
    assert names(LitServer._perform_graceful_shutdown) == names(HttpServer._perform_graceful_shutdown)
    assert names(LitServer._start_server)[:-1] == names(HttpServer._start_server)[:-1]
    assert names(LitServer.lifespan) == ["self", "app"]
    assert "lifespan=self.lifespan" in source(LitServer.__init__)


def test_starts_http_processes_by_their_number():
    assert names(_Server.run) == ["self", "worker_id", "sockets"]


def test_manager_makes_what_ours_makes(server):
    """The same attributes, of the same kinds."""
    made = server._init_manager(2)
    try:
        ours = source(HttpServer._init_manager)
        for name in ("transport_config.manager", "transport_config.num_consumers", "workers_setup_status"):
            assert f"self.{name} = " in ours
        assert set(server.litapi_request_queues) == {"/infer"}
        assert server._get_request_queue("/infer") is server.litapi_request_queues["/infer"]
        assert not server._shutdown_event.is_set()
        assert len(server.workers_setup_status) == 0
        assert len(server._transport._queues) == 2
        assert {name for name in vars(server) if name in ours} >= {"workers_setup_status", "_shutdown_event"}
    finally:
        made.shutdown()


def test_ready_when_one_says_so(server):
    server.workers_setup_status = {"inline": WorkerSetupStatus.READY}
    server.verify_worker_status()
    server.workers_setup_status = {"inline": WorkerSetupStatus.ERROR}
    with pytest.raises(RuntimeError):
        server.verify_worker_status()


def test_monitor_is_a_thread_of_that_name_and_ends_when_told(server):
    server._shutdown_event = threading.Event()
    server.inference_workers, server.monitor_internal = [], 0.01
    server._start_worker_monitoring(None, {})
    (thread,) = [found for found in threading.enumerate() if found.name == MONITOR]
    server._shutdown_event.set()
    thread.join(10)
    assert not thread.is_alive()


def test_loop_is_called_as_ours_is():
    assert names(LitLoop.run) == names(GreedyLoop.run)


def test_answers_come_back_into_the_buffer(server):
    """By request, each as answer and status, and whoever waits is woken."""

    async def answered(transport):
        item = ResponseBufferItem(asyncio.Event())
        buffer = {"asked": item}
        reading = asyncio.create_task(response_queue_to_buffer(transport, buffer, 0, server.litapi_connector))
        transport.send(("given-up", (1, LitAPIStatus.OK, LoopResponseType.REGULAR, 0)), consumer_id=0)
        transport.send(("asked", (2, LitAPIStatus.OK, LoopResponseType.REGULAR, 0)), consumer_id=0)
        await asyncio.wait_for(item.event.wait(), 30)
        reading.cancel()
        await asyncio.wait([reading])
        return item.response

    with server._init_manager(1):
        assert asyncio.run(answered(server._transport)) == [2, LitAPIStatus.OK]


def test_queue_is_asked_with_a_limit():
    """A queue of a manager that waits for ever would give the next request to a worker that died."""
    with multiprocessing.Manager() as manager, pytest.raises(Empty):
        manager.Queue().get(timeout=0.01)


def test_told_to_stop_it_ends_only_what_it_started():
    """SIGTERM is nothing to LitServe: ours has it interrupted."""
    assert "signal.signal(" not in source(litserve.server)
    assert "except KeyboardInterrupt" in source(LitServer.run)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_protocol_of_uvicorn():
    """What a connection takes from it, and what it puts in the place of its own."""
    assert issubclass(Connection, HttpToolsProtocol)
    uvicorns = source(HttpToolsProtocol)
    for used in (
        "self.timeout_keep_alive_task",
        "def _unset_keepalive_if_required",
        "self.parser = httptools.HttpRequestParser(self)",
        "self.server_state.default_headers",
        "self.cycle = RequestResponseCycle(",
        "transport=self.transport",
    ):
        assert used in uvicorns
    for name in ("on_message_begin", "on_headers_complete", "on_body", "on_message_complete", "shutdown"):
        assert names(getattr(Connection, name)) == names(getattr(HttpToolsProtocol, name))
    cycle = source(RequestResponseCycle)
    for used in (
        "self.response_complete",
        "self.response_started",
        "self.more_body",
        "self.message_event",
        "self.disconnected",
        "self.keep_alive",
        "self.transport.close()",
    ):
        assert used in cycle
