"""The process that warm.py forks from: it imports what commands need, once, and is started as `python FILE ADDRESS SESSION`.

Each connection asks for one process. A message holds its words, folder and environment, and its three standard
streams; the answers are its process id and, when it has ended, its exit code.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import errno
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import re
import runpy
import selectors
import signal
import socket
import sys
import types
import warnings
from typing import Any

import forecast
from forecast.lazy import collect_rarely

# What a run, a forecast, the audit, a server and a worker of Ray import from others. Not Ray itself: it reads its
# settings from the environment once, when it is imported, and that is another one after the fork.
MODULES = [
    "PIL.JpegImagePlugin",
    "arch.bootstrap",
    "arch.unitroot",
    "exchange_calendars",
    "jinja2",
    "jsonschema",
    "litserve",
    "matplotlib.pyplot",
    "matplotlib.backends.backend_agg",
    "mlflow.models",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.tracking",
    "optuna",
    "pyarrow.pandas_compat",
    "pyarrow.parquet",
    "pytorch_lightning.callbacks",
    "safetensors.numpy",
    "safetensors.torch",
    "scipy.stats",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "skops.io",
    "statsmodels.api",
    "hydra._internal.hydra",
    "hydra.core.plugins",
]
MESSAGE_BYTES = 1_000_000


class Template:
    """Forks a process for whoever asks.

    Args:
        address: of the socket that it listens on.
        session: process with whose end it ends.
    """

    def __init__(self, address: str, session: int) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(f"\0{address}")
        self.listener.listen(64)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.session = os.pidfd_open(session)
        self.selector.register(self.session, selectors.EVENT_READ)

    def serve(self) -> dict[str, Any]:
        """What is to be done by this process, which is a child: the template itself never returns."""
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    connection, _ = self.listener.accept()
                    self.selector.register(connection, selectors.EVENT_READ)
                elif key.fd == self.session:
                    for child in [
                        one.data for one in self.selector.get_map().values() if isinstance(one.data, int)
                    ]:
                        os.kill(child, signal.SIGKILL)
                    os._exit(0)
                elif not isinstance(key.fileobj, socket.socket):
                    self.bury(key.fd, *key.data)
                elif key.data is not None:  # whoever asked for it is gone
                    os.kill(key.data, signal.SIGKILL)
                    self.selector.unregister(key.fileobj)
                elif (task := self.answer(key.fileobj)) is not None:
                    return task

    def answer(self, connection: socket.socket) -> dict[str, Any] | None:
        """Fork; the child gets its task, the template None."""
        self.selector.unregister(connection)
        message, streams, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, 16)
        if not message:
            connection.close()
            return None
        task: dict[str, Any] = json.loads(message)
        pid = os.fork()
        if pid == 0:
            for key in list(self.selector.get_map().values()):
                if isinstance(key.fileobj, socket.socket):
                    key.fileobj.close()
                else:
                    os.close(key.fd)
            self.selector.close()
            connection.close()
            become(task, streams)
            return task
        for stream in streams:
            os.close(stream)
        with contextlib.suppress(OSError):  # whoever asked for it is gone; serve() then ends it
            connection.send(str(pid).encode())
        self.selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, connection))
        self.selector.register(connection, selectors.EVENT_READ, pid)
        return None

    def bury(self, descriptor: int, pid: int, connection: socket.socket) -> None:
        """Tell how a child ended."""
        _, status = os.waitpid(pid, 0)
        self.selector.unregister(descriptor)
        os.close(descriptor)
        if connection in self.selector.get_map():
            self.selector.unregister(connection)
        with contextlib.suppress(OSError):  # nobody waits for it any more
            connection.send(str(os.waitstatus_to_exitcode(status)).encode())
        connection.close()


def become(task: dict[str, Any], streams: list[int]) -> None:
    """Make this process what a fresh interpreter would be, started with the same words."""
    signal.set_wakeup_fd(-1)
    free = [
        fcntl.fcntl(stream, fcntl.F_DUPFD, 100) for stream in streams
    ]  # above the numbers they shall have
    for stream in streams:
        os.close(stream)
    for above, number in zip(free, task["numbers"], strict=True):
        os.dup2(above, number)
        os.close(above)
    if task["new_session"]:
        os.setsid()
    else:
        os.setpgid(0, 0)  # whoever ends its group does not end this one
    os.chdir(task["folder"])
    os.environ.clear()
    os.environ.update(task["environment"])
    sys.executable = os.environ.get("FORECAST_TESTS_PYTHON", sys.executable)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115  it stays open
        if number == 2:
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def execute(words: list[str]) -> None:
    """`python SCRIPT ...`, `python - ...`, `python -c CODE ...` or `python -m MODULE ...`, after `-W` filters."""
    while words[0] == "-W":
        action, message, category = [*words[1].split(":"), "", ""][:3]
        kind = getattr(builtins, category or "Warning")
        warnings.filterwarnings(action, re.escape(message), kind)  # type: ignore[arg-type]
        words = words[2:]
    before = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    here = [os.getcwd()]
    if words[0] == "-P":
        here, words = [], words[1:]
    if words[0] == "-m":
        sys.argv, sys.path[:] = words[1:], [*here, *before, *sys.path[1:]]
        sys.modules.pop(words[1], None)  # runpy warns of a module that is there already
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] in ("-c", "-"):
        code, rest = (sys.stdin.read(), words[1:]) if words[0] == "-" else (words[1], words[2:])
        sys.argv, sys.path[:] = [words[0], *rest], [*here, *before, *sys.path[1:]]
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main
        exec(compile(code, "<string>", "exec"), main.__dict__)
    else:
        folder = os.path.dirname(os.path.realpath(words[0]))
        sys.argv, sys.path[:] = words, [folder, *before, *sys.path[1:]]
        runpy.run_path(words[0], run_name="__main__")


def execute_to_the_end(words: list[str], exit_code: list[int]) -> None:
    """Execute, and leave the exit code for `end_at_once`; nothing where Python's own end is wanted.

    Python reports what nobody closed when it ends: a process that is started with `-W` ends as ever.
    """
    code: int | None = 1
    try:
        execute(words)
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        raise
    except KeyboardInterrupt:
        code = None  # Python ends it with a signal
        raise
    finally:
        if code is not None and words[0] != "-W":
            exit_code.append(code & 0xFF)


def end_at_once(exit_code: list[int]) -> None:
    """End without taking apart what the template has imported: .35 seconds, most of them to copy shared memory.

    It is the last that `atexit` calls: threads have ended, and all else that it calls has been called.
    """
    if not exit_code:
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return  # what cannot be written is reported as ever
    os._exit(exit_code[0])


if __name__ == "__main__":
    try:
        template = Template(sys.argv[1], int(sys.argv[2]))
    except OSError as error:
        sys.exit(error.errno != errno.EADDRINUSE)  # another process of the session was quicker
    if os.fork():
        os._exit(0)  # whoever wants a process can connect, and waits for the imports below
    os.setsid()
    exit_code: list[int] = []
    atexit.register(end_at_once, exit_code)  # called last: what is imported below registers later
    collect_rarely()
    ours = [found.name for found in pkgutil.walk_packages(forecast.__path__, "forecast.")]
    for name in [*MODULES, *ours]:
        if not name.endswith("__main__"):
            importlib.import_module(name)
    # Parsers, signatures and the calendar of most tests are made for all.
    forecast.config.check(forecast.config.compose())
    forecast.data.calendars.planned_sessions("XNYS")
    gc.collect()
    gc.freeze()
    execute_to_the_end(template.serve()["words"], exit_code)
