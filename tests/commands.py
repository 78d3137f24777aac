"""`python run.py ...` as a stranger types it: inside this process, which is quick, or as one of its own."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import random
import runpy
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import warm

REPOSITORY = Path(__file__).parents[1]
RUN = REPOSITORY / "run.py"
# Small enough that a whole run takes a second or two.
SMALL = ("data.period=2y", "trainer=smoke", "model.hidden_size=4", "plots=false")


def free_port() -> int:
    """A port of this machine that nobody listens on, below those that the system hands out.

    Between the look and the server's start one of those would soon be taken: Ray asks for many.
    """
    for port in random.Random().sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


class Done(NamedTuple):
    """What became of a command."""

    code: int
    out: str
    err: str


def run(folder: Path, *arguments: str) -> Done:
    """Start run.py inside this process, in a folder."""
    from hydra.core.hydra_config import HydraConfig

    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(folder))
        stack.enter_context(patch.object(sys, "argv", [str(RUN), *arguments]))
        stack.enter_context(patch.object(HydraConfig.instance(), "cfg", None))
        # pytest's own handlers would keep the run's log off the screen.
        stack.enter_context(patch.object(logging.getLogger(), "handlers", []))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        try:
            runpy.run_path(str(RUN), run_name="__main__")
        except SystemExit as leaving:
            return Done(int(leaving.code or 0), out.getvalue(), err.getvalue())
    raise AssertionError("run.py did not exit")


def environment(*also_importable: Path) -> dict[str, str]:
    """That of a process of its own; folders it may import from, besides the package's."""
    inherited = {key: value for key, value in os.environ.items() if key != "HYDRA_FULL_ERROR"}
    # Two threads of arithmetic on two busy cores would wait for each other.
    return inherited | {"PYTHONPATH": os.pathsep.join(map(str, also_importable)), "OMP_NUM_THREADS": "1"}


def run_apart(folder: Path, *arguments: str, also_importable: Path | None = None, cold: bool = False) -> Done:
    """Start run.py as a process of its own, in a folder.

    Args:
        folder: where it is started.
        arguments: as on the command line.
        also_importable: folder that it may import from.
        cold: by a fresh interpreter; else see warm.py.
    """
    command = [sys.executable, str(RUN), *arguments]
    variables = environment(*[] if also_importable is None else [also_importable])
    if cold:
        done = subprocess.run(
            command, cwd=folder, env=variables, capture_output=True, text=True, timeout=300, check=False
        )
    else:
        done = warm.run(command, cwd=folder, env=variables)
    return Done(done.returncode, done.stdout, done.stderr)
