"""What `python serve.py` starts: a LitServer behind our own app, all of whose processes end together.

The main process holds the port. LitServe forks the HTTP processes, each of which loads the model, and starts the
inference processes, which it restarts by itself. Where nothing is left that answers meanwhile, and whatever else dies,
the server ends, for systemd or compose to start it again.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import stat
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from fastapi import FastAPI
from litserve import LitServer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forecast.cli import FAILED, USERS_MISTAKE
from forecast.config.messages import one_line
from forecast.errors import UserError
from forecast.serve import logs
from forecast.serve.app import create_app
from forecast.serve.engines import (
    Engine,
    ForecastAPI,
    GreedyLoop,
    IdleLoop,
    InlineEngine,
    StartFailure,
    WorkersEngine,
)
from forecast.serve.http_protocol import HttpProtocol
from forecast.serve.model_store import ModelStore, check_bundle
from forecast.serve.settings import Settings, Workers
from forecast.serve.training_jobs import TrainingJobs

_log = logging.getLogger(__name__)
_MODELS = "models:/"
_LOOK_S = 0.2
# From SIGTERM to the end of listening: whoever sends requests here has seen /readyz or `Connection: close` by then.
_LINGER_S = 0.5
_LAST_S = 0.3  # for the other processes to end by themselves when one died
_INFERENCE_PROCESS = "inference-worker"  # LitServe's name for the processes that it restarts
_WATCH_THREAD = "litserve-monitoring"
_PR_SET_PDEATHSIG = 1
_UVICORN: dict[str, Any] = {
    "log_level": "warning",
    "log_config": None,
    "access_log": False,
    "generate_client_file": False,
    "server_header": False,
    "proxy_headers": False,
    "http": HttpProtocol,
    "lifespan": "on",
    "ws": "none",
}


class Application:
    """What LitServe's app hands requests to: our app answers every one, LitServe's own routes stay behind it."""

    def __init__(
        self, app: ASGIApp, *, application: FastAPI, engine: Any, announce: Any, start_failure: StartFailure
    ) -> None:
        assert application.middleware_stack is not None  # create_app has put it together
        self.app, self.application, self.answer = app, application, application.middleware_stack
        self.announce, self.start_failure = announce, start_failure
        if isinstance(engine, WorkersEngine):
            engine.litserve = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See https://asgi.readthedocs.io/en/latest/specs/main.html."""
        if scope["type"] != "lifespan":
            scope["app"] = self.application
            await self.answer(scope, receive, send)
            return
        last: list[Message] = []

        async def send_but_last(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":  # uvicorn ends at once when it hears that
                last.append(message)
            else:
                await send(message)

        try:
            async with self.application.router.lifespan_context(self.application):
                self.announce()
                await self.app(scope, receive, send_but_last)
            for message in last:
                await send(message)
        except UserError as error:
            self.start_failure.note(error)
            await receive()  # lifespan.startup
            await send({"type": "lifespan.startup.failed", "message": ""})
        except Exception as error:
            self.start_failure.note(error)
            raise  # uvicorn logs the traceback


def serve(settings: Settings) -> None:
    """Serve until stopped.

    Raises:
        UserError: the port is taken, or what is to be served is refused.
        SystemExit: 1, a process died that nobody brings back.
    """
    logs.configure(settings.log_format)
    _check_port(settings)
    _raise_file_limit()
    source = _source(settings)
    start_failure = StartFailure()
    stopping = multiprocessing.RawValue("b", 0)
    server, engine, store, jobs = _build(settings, source, start_failure, lambda: bool(stopping.value))
    stop = threading.Event()
    os.register_at_fork(after_in_child=_end_with_parent)

    _end_on_signals(stop, stopping, jobs)
    threading.Thread(
        target=_watch_children,
        args=(stop, engine, settings.watch.folder, settings.drain_s, start_failure),
        daemon=True,
    ).start()
    is_alias = settings.bundle.startswith(_MODELS) and "@" in settings.bundle
    if is_alias and settings.registry_poll_s is not None:
        threading.Thread(target=_follow_alias, args=(settings, source, store, stop), daemon=True).start()
    gc.collect()
    gc.freeze()  # shared by all processes until one writes to it
    try:
        server.run(
            host=settings.host,
            port=settings.port,
            num_api_servers=settings.workers,
            timeout_keep_alive=settings.keep_alive_s,
            **_UVICORN,
        )
    except KeyboardInterrupt:
        pass
    except RuntimeError:  # LitServe's word for a worker that cannot start
        if not start_failure.is_refusal:
            raise
    except (EOFError, ConnectionError):
        if not start_failure.is_refusal:
            _log.error("the process of LitServe's queues died; the server ends, and is to be started again")
            raise SystemExit(FAILED) from None
    finally:
        stop.set()
        jobs.close()
        _end_children()
    if start_failure.is_refusal:
        raise UserError(start_failure.text)


def _end_on_signals(stop: threading.Event, stopping: Any, jobs: TrainingJobs) -> None:
    """Have SIGTERM and Ctrl-C interrupt LitServe, which drains and ends its processes then; killed, it leaves them."""

    def interrupt(*_: object) -> None:
        if not stop.is_set():  # whoever asks twice must not interrupt the shutdown itself
            stop.set()
            stopping.value = 1
            threading.Thread(target=jobs.close).start()  # while requests drain, for some wait for a training
            time.sleep(_LINGER_S)
            # Its watch fails when its queues are gone.
            logging.getLogger("litserve").setLevel(logging.CRITICAL)
            raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interrupt)


class _Server(LitServer):
    """LitServe's, which imports what the HTTP processes need while its inference processes start."""

    def verify_worker_status(self) -> None:
        """Called by LitServe between starting its inference processes and forking the HTTP ones."""
        import pandas  # noqa: F401
        import torch  # noqa: F401  imported, not run: threads of a forward would not survive the fork

        import forecast.bundle.model_files
        import forecast.model.inference
        import forecast.model.neural  # noqa: F401

        logs.quieten()  # LitServe has set up its logger at the start of its run
        super().verify_worker_status()


def build_app(
    settings: Settings,
    *,
    source: Path,
    start_failure: StartFailure | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> tuple[FastAPI, ModelStore, ForecastAPI, Engine, TrainingJobs]:
    """The app and what stands behind it: all that the processes share, before there are any."""
    kind, monitoring = settings.engine, settings.watch
    monitoring.open(settings.folder)
    store = ModelStore(
        source_path=source,
        allow=settings.allow,
        poll_s=settings.champion_poll_s,
        on_reload=monitoring.model_loaded,
    )
    api = ForecastAPI(
        store=store,
        monitoring=monitoring,
        loop=GreedyLoop() if isinstance(kind, Workers) else IdleLoop(),
        max_batch_size=kind.most,
        start_failure=start_failure,
        log_format=settings.log_format,
    )
    engine: Engine = WorkersEngine() if isinstance(kind, Workers) else InlineEngine(api)
    jobs = TrainingJobs(
        folder=settings.folder / "training", champion=settings.champion, allow=list(settings.allow)
    )
    application = create_app(
        settings, store=store, engine=engine, monitoring=monitoring, jobs=jobs, stopping=stopping
    )
    return application, store, api, engine, jobs


def _build(
    settings: Settings, source: Path, start_failure: StartFailure, stopping: Callable[[], bool]
) -> tuple[LitServer, Engine, ModelStore, TrainingJobs]:
    """LitServe with our app in front of its own."""
    application, store, api, engine, jobs = build_app(
        settings, source=source, start_failure=start_failure, stopping=stopping
    )
    kind = settings.engine
    announced = multiprocessing.Value("b", 0)

    def announce() -> None:
        if settings.workers > 1 and sys.platform == "linux":
            _listen_apart(settings)
        with announced.get_lock():
            first, announced.value = not announced.value, 1
        if first:
            _announce(settings, store)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LitServe's remarks on its own next version
        server = _Server(
            api,
            accelerator=kind.accelerator if isinstance(kind, Workers) else "cpu",
            workers_per_device=kind.processes if isinstance(kind, Workers) else 1,
            timeout=False,
            disable_openapi_url=True,
            restart_workers=True,
        )
    # Starlette builds the stack from its list of middlewares unless there is one. LitServe puts its own, compression
    # among them, before all of that list, and no request that we answer needs them.
    server.app.middleware_stack = Application(
        server.app.build_middleware_stack(),
        application=application,
        engine=engine,
        announce=announce,
        start_failure=start_failure,
    )
    server.uvicorn_graceful_timeout = settings.drain_s
    server.monitor_internal = _LOOK_S
    return server, engine, store, jobs


def _announce(settings: Settings, store: ModelStore) -> None:
    """What an operator reads first."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    lines = (
        [f"no model yet: {settings.bundle} is not there; the first champion will be taken"]
        if store.current is None
        else store.current.banner()
    )
    lines.append(f"listening on http://{host}:{settings.port} (page: /ui, routes: /docs)")
    for line in lines:
        _log.info("%s", line)


def _source(settings: Settings) -> Path:
    """The run directory or link that is followed; what no process would serve is refused at once."""
    source = Path(settings.bundle).absolute()
    if settings.bundle.startswith(_MODELS):
        from forecast.serve.registry import registered

        source = registered(settings.bundle, uri=settings.tracker_uri, folder=settings.folder / "models")
    if source.exists():
        check_bundle(source, allow=settings.allow)
    elif source != settings.champion:
        raise UserError(f"bundle={settings.bundle}: no run directory there")
    return source


def _follow_alias(settings: Settings, source: Path, store: ModelStore, stop: threading.Event) -> None:
    """Have all processes follow the model that an alias of MLflow's registry leads to, once it is another one."""
    from forecast.serve.registry import registered

    assert settings.registry_poll_s is not None
    failed = ""
    while not stop.wait(settings.registry_poll_s):
        try:
            found = registered(
                settings.bundle, uri=settings.tracker_uri, folder=settings.folder / "models", nice=True
            )
        except (UserError, RuntimeError, OSError) as error:
            line = one_line(error)
            if line != failed:  # said once, however often it is asked
                _log.warning("%s; %s stays", line, source.name)
            failed = line
            continue
        failed = ""
        if found != source:
            _log.info("%s leads to %s now", settings.bundle, found.name)
            source = found
            store.follow(found)


def _check_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise UserError(
                f"port={settings.port}: cannot be listened on ({os.strerror(error.errno or 0)}); "
                f"choose another, such as port={settings.port % 65535 + 1}"
            ) from error


def _listen_apart(settings: Settings) -> None:
    """Give this HTTP process a socket of its own on the port, in place of the one that all have inherited.

    Linux then deals connections out evenly. On a shared socket whoever wakes first accepts them: of 64 connections one
    of two processes had up to all, and both together answered no more than one alone.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as own:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            own.setsockopt(socket.SOL_SOCKET, option, 1)
        own.bind((settings.host, settings.port))
        for number in map(int, os.listdir("/proc/self/fd")):
            with suppress(OSError):  # that of the list itself is closed by now
                if number == own.fileno() or not stat.S_ISSOCK(os.fstat(number).st_mode):
                    continue
                with socket.socket(fileno=os.dup(number)) as other:
                    is_inherited = other.family == family and other.getsockname() == own.getsockname()
                if is_inherited:
                    os.dup2(own.fileno(), number, inheritable=False)


def _raise_file_limit() -> None:
    """A connection is an open file: allow as many as the system lets this user have."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _watch_children(
    stop: threading.Event,
    engine: Engine,
    shared: Path,
    drain_s: float,
    start_failure: StartFailure,
) -> None:
    """End the server when a process died without which no request is answered.

    LitServe starts an inference process in a dead one's place, which takes seconds: too long where there is no other.
    """
    known: dict[int, Any] = {}
    while not stop.wait(_LOOK_S):
        if start_failure:
            _end_at_once(start_failure.text, shared, refused=start_failure.is_refusal)
        before = list(known.values())
        known |= {child.pid: child for child in multiprocessing.active_children() if child.pid is not None}
        for child in [child for child in known.values() if child.exitcode is not None]:
            del known[child.pid]
            others = [other for other in before if other.name == child.name and other.exitcode is None]
            if child.name == _INFERENCE_PROCESS:
                if isinstance(engine, InlineEngine):
                    continue  # nobody asks it anything
                if others:
                    engine.deaths.value += 1
                    continue
            if not stop.is_set():
                code = child.exitcode
                how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
                _end_at_once(
                    f"process {child.pid} ({child.name}) died ({how}); the server ends, and is to be started again",
                    shared,
                )
    # A thread of its own, and a daemon: still here only where the main one hangs.
    time.sleep(drain_s + 10)
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(1)


def _end_at_once(line: str, shared: Path, *, refused: bool = False) -> NoReturn:
    """End everything in less than a second, whatever the main thread waits for, with a last line for the supervisor.

    Args:
        refused: whether it is the user's mistake, which ends as any UserError does.
    """
    children = multiprocessing.active_children()
    for child in children:
        child.terminate()
    until = time.monotonic() + _LAST_S
    for child in children:
        child.join(max(0.0, until - time.monotonic()))
    for child in multiprocessing.active_children():
        child.kill()
    shutil.rmtree(shared, ignore_errors=True)
    if refused:
        print(line, file=sys.stderr, flush=True)
    else:
        _log.error("%s", line)
    logging.shutdown()
    os._exit(USERS_MISTAKE if refused else FAILED)


def _end_children() -> None:
    """What LitServe left; its watch, which would start others in their place, ends when its queues are gone."""
    for thread in threading.enumerate():
        if thread.name == _WATCH_THREAD:
            thread.join(5)
    for child in multiprocessing.active_children():
        child.kill()
        child.join()


def _end_with_parent() -> None:
    """No forked process outlives the main one, however that ended (Linux); the main one stops it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # uvicorn sets its own
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
