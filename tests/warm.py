"""Commands in processes of their own that need not import everything again: forked from one that has, warm_template.py.

`run` and `Process` are used as `subprocess.run` and `subprocess.Popen` are, with a command that begins with
`sys.executable`; words, folder, environment, streams, signals and exit codes are real ones. What depends on how an
interpreter starts (its locale, its warnings, what it has not imported) is tested with `subprocess`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

PYTHON = sys.executable
PIPE, STDOUT = subprocess.PIPE, subprocess.STDOUT
# The variable that holds the process with which the template ends; conftest.py sets it.
SESSION = "FORECAST_TESTS_SESSION"
# A command that is the same: a script, not a link, as a link to a virtual environment's interpreter is another one.
SHELL = f'#!/bin/sh\nexec "{PYTHON}" -S -E "{__file__}" "$@"\n'
# The variable that names a script with NESTED, which stands for the interpreter: sys.executable.
NESTED_PYTHON = "FORECAST_TESTS_PYTHON"
# What the project starts by itself is warm, and so are Ray's workers, which import what the project does, and those
# parts of Ray that do not look after their parent; all else is as ever.
NESTED = f"""#!/bin/sh
case "$*" in
    "-P "* | "-m forecast.serve.registry "* | "-m ray.scripts."* | */ray/_private/workers/*_worker.py* \\
    | */ray/_private/log_monitor.py* | */ray/autoscaler/_private/monitor.py* | */ray/dashboard/dashboard.py*)
        exec "{PYTHON}" -S -E "{__file__}" "$@" ;;
esac
exec "{PYTHON}" "$@"
"""
_TEMPLATE = Path(__file__).with_name("warm_template.py")


class Process:
    """A process that was started warm; see subprocess.Popen.

    Args:
        command: sys.executable and what follows it: perhaps `-W` filters, then a script, `-m MODULE` or `-c CODE`.
        cwd: where it is started.
        env: its environment.
        stdin: a file or PIPE; None = nothing to read.
        stdout: a file or PIPE; None = as here.
        stderr: a file, PIPE or STDOUT; None = as here.
        text: pipes give text.
        start_new_session: it leads a session of its own, else a process group of its own.
        pass_fds: further open files that it has, under the same numbers.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        cwd: str | Path | None = None,
        env: dict[str, str] | None = None,
        stdin: Any = None,
        stdout: Any = None,
        stderr: Any = None,
        text: bool = False,
        start_new_session: bool = False,
        pass_fds: Sequence[int] = (),
    ) -> None:
        assert str(command[0]) == sys.executable, command
        self.args = command
        self.returncode: int | None = None
        task = {
            "words": [str(word) for word in command[1:]],
            "folder": os.path.abspath(cwd or os.getcwd()),
            "environment": dict(os.environ if env is None else env),
            "new_session": start_new_session,
            "numbers": [0, 1, 2, *pass_fds],
        }
        self.stdin: IO[Any] | None = None
        if stdin == PIPE:
            nothing, write = os.pipe()
            self.stdin = os.fdopen(write, "w" if text else "wb")
        else:
            nothing = os.open(os.devnull, os.O_RDONLY)
        theirs, ours = [nothing], []
        for given, number in ((stdout, 1), (stderr, 2)):
            if given == PIPE:
                read, write = os.pipe()
                ours.append(os.fdopen(read, "r" if text else "rb"))
                theirs.append(write)
            else:
                ours.append(None)
                theirs.append(number if given is None else given)
        self.stdout: IO[Any] | None = ours[0]
        self.stderr: IO[Any] | None = ours[1]
        streams = [one if isinstance(one, int) else one.fileno() for one in theirs]
        streams[0] = nothing if stdin in (None, PIPE) else stdin.fileno()
        if stderr == STDOUT:
            streams[2] = streams[1]
        self._connection = _connect()
        socket.send_fds(self._connection, [json.dumps(task).encode()], [*streams, *pass_fds])
        os.close(nothing)
        for given, stream in zip((stdout, stderr), streams[1:], strict=True):
            if given == PIPE:
                os.close(stream)
        self.pid = int(self._connection.recv(100))

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                answer = self._connection.recv(100)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0) from None
            assert answer, "the warm template died"
            self.returncode = int(answer)
            self._connection.close()
        return self.returncode

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        try:
            return self.wait(0.0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, how: int) -> None:
        """Send a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, how)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Write to its standard input and close that; what it wrote to its pipes until it ended."""
        if self.stdin is not None and not self.stdin.closed:
            with contextlib.suppress(BrokenPipeError), self.stdin:
                if input is not None:
                    self.stdin.write(input)
        until = None if timeout is None else time.monotonic() + timeout
        found: dict[int, Any] = {}

        def read(place: int, pipe: IO[Any]) -> None:
            with pipe:
                found[place] = pipe.read()

        pipes = {place: pipe for place, pipe in enumerate((self.stdout, self.stderr)) if pipe}
        readers = [
            threading.Thread(target=read, args=one, daemon=True) for one in pipes.items() if not one[1].closed
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(None if until is None else max(0.0, until - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return found.get(0), found.get(1)


def run(
    command: Sequence[str | Path], *, text: bool = True, timeout: float = 300.0, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """Start a process and wait for its end; its output is captured.

    Args:
        command: see Process.
        text: the output as text.
        timeout: seconds.
        **options: of Process.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = Process(command, **{"stdout": out, "stderr": err} | options)
        try:
            code = started.wait(timeout)
        finally:
            started.kill()
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode() if text else file.read())
    return subprocess.CompletedProcess(command, code, *said)


def _connect() -> socket.socket:
    """A connection to the session's template, which is started where there is none."""
    session = os.environ[SESSION]
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(f"\0forecast-tests-{session}")
        return connection
    except ConnectionRefusedError:
        connection.close()
    subprocess.run(
        [PYTHON, str(_TEMPLATE), f"forecast-tests-{session}", session],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # it stays, and whoever reads what a shell prints waits for the last writer
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(_TEMPLATE.parents[1])},
        check=True,
    )
    return _connect()


def _is_open(number: int) -> bool:
    """Whether a file is open, which the list of open files itself is no more."""
    try:
        return fcntl.fcntl(number, fcntl.F_GETFD) >= 0
    except OSError:
        return False


def main() -> int:
    """`python` of a shell: a warm process for as long as the shell waits for it; a cold one where that cannot be."""
    words = sys.argv[1:]
    command = [sys.executable, *words]
    while words and words[0] in (
        "-u",
        "-B",
    ):  # without a buffer, without writing *.pyc: nothing depends on it
        words.pop(0)
    if nested := os.environ.get(NESTED_PYTHON):  # what Ray's preparation of a worker goes on with
        words = [word.replace(json.dumps(PYTHON), json.dumps(nested)) for word in words]
    if not words or (words[0] not in ("-", "-c", "-m", "-P") and not words[0].endswith(".py")):
        os.execv(sys.executable, command)
    # All that was open when this process began, so before it opens anything itself.
    inherited = [
        number for number in map(int, os.listdir("/proc/self/fd")) if number > 2 and _is_open(number)
    ]
    process = Process(
        [sys.executable, *words],
        stdin=sys.stdin,
        start_new_session=os.getsid(0) == os.getpid(),
        pass_fds=inherited,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda how, _: process.send_signal(how))
    code = process.wait()
    if code < 0:  # of a signal, as whoever waits for this process shall see
        if -code in (signal.SIGINT, signal.SIGTERM):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main())
