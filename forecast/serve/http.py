"""LitServe's server with this project's processes: as many HTTP ones as asked, each watched over."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from multiprocessing.managers import SyncManager
from typing import TYPE_CHECKING, Any

import uvicorn
from litserve import LitServer
from litserve.loops import inference_worker
from litserve.server import _Server
from litserve.transport.factory import create_transport_from_config
from litserve.utils import WorkerSetupStatus

from forecast.serve.connection import Connection
from forecast.serve.lifeline import die_with_parent, follow_parent, named

if TYPE_CHECKING:
    from fastapi import FastAPI

    from forecast.serve.engines import Engine

MONITOR = "litserve-monitoring"  # LitServe's thread
_LOOK_S = 0.25  # between two looks at whether a process is still there
_AT_ONCE = 3  # deaths within _SOON_S seconds of the start, after which a process is given up
_SOON_S = 5.0
# What a dead process had asked of the queue is still given to it, and lost, until its question times out.
_LAST_WISH_S = 0.5


class HttpServer(LitServer):
    """Runs the processes; what is answered is the app's affair.

    Args:
        engine: computes forecasts; only `workers` has LitServe start inference processes.
        api: our LitAPI, attached to the engine.
        inference: whether LitServe starts its inference processes.
        processes: HTTP processes.
        deadline_s: seconds for the head of a request to arrive.
        drain_s: seconds that requests in flight get when the server is stopped.
        begin: called in each HTTP process once it is ready to answer.
        end: called there when it answers no more.
        stop: called once in the main process when the server is stopped.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        api: Any,
        inference: int,
        processes: int,
        deadline_s: float,
        drain_s: float,
        begin: Callable[[], None],
        end: Callable[[], None],
        stop: Callable[[], None],
        **more: Any,
    ) -> None:
        super().__init__(
            api,
            workers_per_device=max(1, inference),
            timeout=False,
            restart_workers=True,
            disable_openapi_url=False,
            **more,
        )
        self.engine = engine
        self.inference = inference
        self.processes = processes
        self.deadline_s = deadline_s
        self.uvicorn_graceful_timeout = drain_s
        self.monitor_internal = _LOOK_S
        self.serving: Any = self.app  # what uvicorn runs: the app, and whatever stands before it
        self.begin, self.end, self.stop = begin, end, stop
        self.stopping = threading.Event()
        # How often an inference process was replaced; HTTP processes ask it what they waited for once more.
        self.generation: Any = multiprocessing.RawValue("L", 0)

    def run(self, **options: Any) -> None:
        """See LitServer.run; whatever was started is gone afterwards, also where it ended before all were."""
        try:
            super().run(**options)
        finally:
            for process in multiprocessing.active_children():
                process.terminate()

    def _init_manager(self, num_api_servers: int) -> Any:
        """LitServe's own, but in a process that neither keeps the port nor outlives this one."""
        manager = SyncManager(ctx=multiprocessing.get_context("fork"))
        manager.start(_apart)
        self.transport_config.manager = manager
        self.transport_config.num_consumers = num_api_servers
        self.workers_setup_status = manager.dict()
        self._shutdown_event = manager.Event()
        for lit_api in self.litapi_connector:
            self.litapi_request_queues[lit_api.api_path] = manager.Queue()
        self._transport = create_transport_from_config(self.transport_config)
        return manager

    def launch_inference_worker(self, lit_api: Any) -> list[Any]:
        """LitServe's inference processes, where the engine is one of processes."""
        if not self.inference:
            self.workers_setup_status["inline"] = WorkerSetupStatus.READY
            return []
        count = len(self._inference_workers_config_for_api(lit_api.api_path))
        return [self._launch(lit_api, place) for place in range(count)]

    def launch_single_inference_worker(self, lit_api: Any, worker_id: int) -> Any:
        """Called by LitServe's watch to put another process in the place of one that died."""
        process = self._launch(lit_api, worker_id)
        time.sleep(_LAST_WISH_S)
        self.generation.value += 1
        return process

    def _launch(self, lit_api: Any, place: int) -> Any:
        """What LitServe does, but on a processor forked: what the main process loaded and proved is there at once."""
        device = self._inference_workers_config_for_api(lit_api.api_path)[place]
        self.workers_setup_status[f"{lit_api.api_path.split('/')[-1]}_{place}"] = WorkerSetupStatus.STARTING
        arguments = (
            lit_api,
            device,
            place,
            self._get_request_queue(lit_api.api_path),
            self._transport,
            self.workers_setup_status,
            self._callback_runner,
            self.restart_workers,
        )
        context: Any = multiprocessing.get_context("fork" if device == "cpu" else "spawn")
        process = context.Process(target=_infer, args=arguments, name=f"infer-{place}")
        process.start()
        return process

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG002 - LitServe's signature
        """What goes on in each HTTP process besides requests."""
        async with self.engine.running():
            self.begin()
            try:
                yield
            finally:
                self.end()

    def _start_server(
        self,
        port: Any,
        num_uvicorn_servers: int,
        log_level: str,
        sockets: list[socket.socket],
        uvicorn_worker_type: str,  # noqa: ARG002 - always processes
        **options: Any,
    ) -> dict[int, Any]:
        unread_ms = 1000 * int(options["timeout_keep_alive"])
        for listening in sockets:  # what is accepted inherits it: whoever does not read his answer is cut off
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unread_ms)

        def start(place: int) -> Any:
            self.app.response_queue_id = place
            config = uvicorn.Config(
                app=self.serving,
                port=int(port),
                log_level=log_level,
                http=partial(Connection, patience_s=self.deadline_s),  # type: ignore[arg-type]
                ws="none",
                timeout_graceful_shutdown=int(self.uvicorn_graceful_timeout),
                **options,
            )
            # Forked: what was loaded and proved once is there at once, also in one that takes a dead one's place.
            context = multiprocessing.get_context("fork")
            process = context.Process(
                target=_answer, args=(_Server(config=config), place, sockets), name=f"http-{place}"
            )
            process.start()
            return process

        processes = {place: start(place) for place in range(num_uvicorn_servers)}
        threading.Thread(target=self._watch_over, args=(processes, start), daemon=True).start()
        return processes

    def _watch_over(self, processes: dict[int, Any], start: Any) -> None:
        """Put another process in the place of one that died."""
        born = dict.fromkeys(processes, time.monotonic())
        soon: dict[int, int] = dict.fromkeys(processes, 0)
        while not self.stopping.wait(_LOOK_S):
            for place, process in list(processes.items()):
                if process.is_alive() or self.stopping.is_set():
                    continue
                soon[place] = soon[place] + 1 if time.monotonic() - born[place] < _SOON_S else 0
                if soon[place] >= _AT_ONCE:
                    print(
                        f"the HTTP process died {_AT_ONCE} times in a row; the server stops", file=sys.stderr
                    )
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
                print(
                    f"an HTTP process died ({_reason(process.exitcode)}); another takes its place",
                    file=sys.stderr,
                )
                processes[place] = start(place)
                born[place] = time.monotonic()

    def _perform_graceful_shutdown(
        self, manager: Any, uvicorn_workers: Any, shutdown_reason: str = ""
    ) -> None:
        self.stopping.set()
        for process in uvicorn_workers.values():
            process.terminate()  # all at once; LitServe itself waits for each before it tells the next
        # LitServe's own watch would put others in the place of the workers that are now ended. It is told by another
        # thread, for this one's line to the event is taken: it was waiting there when it was interrupted.
        telling = threading.Thread(target=self._shutdown_event.set)
        telling.start()
        for thread in [telling, *(found for found in threading.enumerate() if found.name == MONITOR)]:
            thread.join()
        self.stop()
        super()._perform_graceful_shutdown(manager, uvicorn_workers, shutdown_reason)


def _answer(server: _Server, place: int, sockets: list[socket.socket]) -> None:
    """What an HTTP process does, until it is told to stop."""
    for told in (signal.SIGTERM, signal.SIGINT):
        signal.signal(told, signal.SIG_DFL)  # uvicorn drains, then sends itself what it was sent
    named("http")
    die_with_parent()
    server.run(place, sockets)


def _infer(*arguments: Any) -> None:
    """What an inference process does, until it is told to stop."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a terminal sends it to all; the main process tells when to stop
    named("infer")
    follow_parent()  # started by LitServe's watch, which ends before the last answer is given
    _leave_the_port()
    inference_worker(*arguments)


def _apart() -> None:
    """Make a forked process a mere keeper of queues."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # told to stop by the main process, when all is answered
    named("queues")
    die_with_parent(signal.SIGKILL)
    _leave_the_port()


def _leave_the_port() -> None:
    """Close what a forked process inherited and does not answer on."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError), socket.socket(fileno=os.dup(int(name))) as copy:
            if copy.family in (socket.AF_INET, socket.AF_INET6):
                os.close(int(name))


def _reason(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"
