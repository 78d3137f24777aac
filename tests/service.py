"""`python serve.py ...` as a process of its own, and a client that can be as rude as it likes."""

from __future__ import annotations

import asyncio
import functools
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import warm
from commands import REPOSITORY, environment, free_port

SERVE = REPOSITORY / "serve.py"
# Longer than anything takes here, shorter than a test's own limit: for waits that end as soon as what they wait for.
PATIENCE_S = 60.0


class Reply(NamedTuple):
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, which must be strict JSON."""

        def refuse(word: str) -> None:
            raise AssertionError(f"{word} in JSON")

        return json.loads(self.body, parse_constant=refuse)

    def detail(self) -> str:
        """What an error says: one line, under `detail` (of /v2 under `error`, too), and nothing besides."""
        stated = self.json()
        assert set(stated) - {"error"} == {"detail"}, stated
        assert stated.get("error", stated["detail"]) == stated["detail"]
        assert isinstance(stated["detail"], str)
        assert stated["detail"].strip()
        assert len(stated["detail"].splitlines()) == 1, stated["detail"]
        assert self.headers["content-type"] == "application/json"
        return str(stated["detail"])


class Service:
    """A server that runs.

    Args:
        folder: where it was started; relative paths of the config are in it.
        process: the main one.
        port: it listens on.
        log: what it says.
    """

    def __init__(self, folder: Path, process: Any, port: int, log: Path) -> None:
        self.folder, self.process, self.port, self.log = folder, process, port, log

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def said(self) -> str:
        """The log as far as it goes."""
        return self.log.read_text("utf-8", "replace")

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        timeout: float = PATIENCE_S,
        **headers: str,
    ) -> Reply:
        """A request on a connection of its own; `_` in a header's name stands for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            return _reply(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, **headers)

    def post(self, path: str, value: Any, **headers: str) -> Reply:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.ask("POST", path, body, **({"Content_Type": "application/json"} | headers))

    def connect(self, timeout: float = PATIENCE_S) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def raw(self, *pieces: bytes, timeout: float = PATIENCE_S) -> bytes:
        """Send bytes as they are; all that comes back until the server hangs up."""
        with self.connect(timeout) as connection:
            for piece in pieces:
                connection.sendall(piece)
            return rest(connection)

    def raw_reply(self, *pieces: bytes, timeout: float = PATIENCE_S) -> Reply:
        """Send bytes as they are; the first answer to them."""
        with self.connect(timeout) as connection:
            for piece in pieces:
                connection.sendall(piece)
            return first_reply(connection)

    def is_ready(self) -> bool:
        with suppress(OSError, http.client.HTTPException):
            return self.ask("GET", "/health", timeout=5).status == 200
        return False

    def wait(self, happened: Callable[[], bool], what: str = "it", within: float = PATIENCE_S) -> None:
        """Wait until something happened, and no longer; the server's log where it does not."""
        wait(happened, what, within, lambda: f"{self.process.poll()=}\n{self.said()}")

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Tell the main process to stop; its exit code."""
        self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)

    def tree(self) -> dict[int, str]:
        """Its processes, the main one included: pid -> command line."""
        return descendants(self.process.pid)

    def http_processes(self) -> list[int]:
        """Those that answer: of several each has a socket of its own; one alone has it in common with the process that
        keeps LitServe's queues, which was forked before it."""
        sockets = _listening(self.port)
        holders = [pid for pid in self.tree() if pid != self.process.pid and sockets & _sockets(pid)]
        return sorted(holders)[len(sockets) == 1 :]

    def inference_processes(self) -> list[int]:
        """LitServe's workers: spawned, where the others are forked."""
        return [pid for pid, command in self.tree().items() if "spawn_main" in command]

    def holds(self, pid: int, port: int) -> bool:
        """Whether a process has the other end of a connection from a port."""
        return bool(_from_port(self.port, port) & _sockets(pid))

    def connections(self, pid: int) -> int:
        """How many a process holds on the port."""
        return len(_established(self.port) & _sockets(pid))

    def end(self) -> None:
        """Whatever is left of it is killed."""
        for pid in [*self.tree(), self.process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


class InProcess:
    """The server's app without a process of its own: the same questions as to a Service, answered in this one.

    Args:
        app: of the server, started.
        loop: that it runs on, in a thread of its own.
        folder: of the server's own files.
        store: of the model.
    """

    def __init__(self, app: Any, loop: asyncio.AbstractEventLoop, folder: Path, store: Any) -> None:
        self.app, self.loop, self.folder, self.store = app, loop, folder, store

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return asyncio.run_coroutine_threadsafe(self._ask(method, path, body, named), self.loop).result(
            PATIENCE_S
        )

    get = Service.get
    post = Service.post

    async def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        bare, _, query = path.partition("?")
        named = {"host": "testserver", **{name.lower(): value for name, value in headers.items()}}
        if body is not None:
            named.setdefault("content-length", str(len(body)))
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(bare),
            "raw_path": bare.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [
                (name.encode(), value.encode("latin-1")) for name, value in named.items() if value is not None
            ],
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 1),
        }
        parts: list[Any] = [{"type": "http.request", "body": body or b"", "more_body": False}]
        sent: list[Any] = []

        async def receive() -> Any:
            return parts.pop() if parts else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start, *rest = sent
        found = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
        return Reply(start["status"], found, b"".join(part.get("body", b"") for part in rest))


@contextmanager
def in_process(source: Path, folder: Path, **settings: Any) -> Iterator[InProcess]:
    """An app of `engine=inline`, started and stopped.

    Args:
        source: run directory or link to one.
        folder: for the server's own files.
        settings: other keys of conf/serve.yaml.
    """
    from forecast.serve.monitoring import Monitoring
    from forecast.serve.server import build_app
    from forecast.serve.settings import Inline, Settings

    wanted = {
        "engine": Inline(),
        "watch": Monitoring(),
        "allowed_hosts": ["testserver"],
        "champion_poll_s": 3600.0,
    }
    app, store, *_ = build_app(
        Settings(bundle=str(source), state=str(folder), **wanted | settings), source=source
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    lifespan = app.router.lifespan_context(app)
    try:
        asyncio.run_coroutine_threadsafe(lifespan.__aenter__(), loop).result(PATIENCE_S)
        yield InProcess(app, loop, folder, store)
        asyncio.run_coroutine_threadsafe(lifespan.__aexit__(None, None, None), loop).result(PATIENCE_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def serving(
    folder: Path, *arguments: str, ready: bool = True, cold: bool = False, **variables: str
) -> Iterator[Service]:
    """A server in a folder, with what is set on its command line.

    Args:
        folder: where it is started.
        arguments: key=value.
        ready: wait until it forecasts.
        cold: by a fresh interpreter; else see warm.py.
        variables: of its environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), folder / "serve.log"
    with log.open("wb") as out:
        start: Any = subprocess.Popen if cold else warm.Process
        process = start(
            [sys.executable, str(SERVE), f"port={port}", *arguments],
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment(REPOSITORY, REPOSITORY / "tests") | variables,
            start_new_session=True,
        )
    service = Service(folder, process, port, log)
    try:
        if ready:
            service.wait(lambda: process.poll() is not None or service.is_ready(), "an answer")
            assert process.poll() is None, service.said()
        yield service
    finally:
        service.end()


def refused(folder: Path, *arguments: str) -> tuple[int, str]:
    """Start a server that will not: its exit code and what it said."""
    folder.mkdir(parents=True, exist_ok=True)
    variables = environment(REPOSITORY, REPOSITORY / "tests")
    command = [sys.executable, str(SERVE), *arguments]
    done = warm.run(command, cwd=folder, env=variables, stderr=warm.STDOUT, timeout=PATIENCE_S)
    return done.returncode, done.stdout


def wait(
    happened: Callable[[], bool], what: str, within: float = PATIENCE_S, log: Callable[[], str] = str
) -> None:
    """Wait until something happened, and no longer."""
    until = time.monotonic() + within
    while not happened():
        assert time.monotonic() < until, f"waited {within:g} s for {what}\n{log()}"
        time.sleep(0.02)


def resident(pid: int) -> int:
    """Bytes of memory that a process holds, pages shared with others included."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def rest(connection: socket.socket) -> bytes:
    """All that comes until the other side hangs up."""
    found = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            found += piece
    return found


def first_reply(connection: socket.socket, method: str = "GET") -> Reply:
    return _reply_of(http.client.HTTPResponse(connection, method=method))


def _reply_of(response: http.client.HTTPResponse) -> Reply:
    response.begin()
    return _reply(response)


def _reply(response: http.client.HTTPResponse) -> Reply:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, headers, response.read())


def descendants(pid: int) -> dict[int, str]:
    """A process and all below it, those that are dead but not yet buried left out: pid -> command line."""
    below: dict[int, list[int]] = {}
    commands: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    below.setdefault(int(parent), []).append(int(entry.name))
                    commands[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
    found: dict[int, str] = {}
    asked = [pid]
    while asked:
        one = asked.pop()
        if one in commands:
            found[one] = commands[one]
        asked += below.get(one, [])
    return found


def is_running(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _listening(port: int) -> set[str]:
    """Inodes of the sockets that listen on a port."""
    return {inode for inode, state in _on_port(port) if state == "0A"}


def _established(port: int) -> set[str]:
    """Inodes of the sockets of connections to a port, as its server has them."""
    return {inode for inode, state in _on_port(port) if state != "0A"}


def _from_port(port: int, other: int) -> set[str]:
    """Inodes of the sockets of connections to a port that come from another."""
    return {row[9] for row in _rows() if (_port(row[1]), _port(row[2])) == (port, other)}


def _on_port(port: int) -> Iterator[tuple[str, str]]:
    """Inode and state of the sockets that are bound to a port."""
    return ((row[9], row[3]) for row in _rows() if _port(row[1]) == port)


def _rows() -> list[list[str]]:
    """TCP's sockets, as the kernel lists them: addresses in columns 1 and 2, state in 3, inode in 9."""
    return [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _sockets(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(os.readlink(descriptor).removeprefix("socket:[").removesuffix("]"))
    return found


@functools.cache
def window(rows: int = 20) -> list[list[float]]:
    """High, Low, Close and Volume of a stock that rises a little every day."""
    return [[101 + 0.1 * day, 99 + 0.1 * day, 100 + 0.1 * day, 1e6 + day] for day in range(rows)]
