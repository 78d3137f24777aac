"""A worker process is used for many jobs: each finds it as a fresh process would be, and leaves it so."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


@contextmanager
def clean(folder: Path) -> Iterator[None]:
    """Run a job in a folder and put back what it may have changed: folder, environment, filters of warnings.

    Generators, threads and algorithms need nothing here: a run seeds and pins them itself, before it draws a weight.

    Args:
        folder: the one the command was started in; what the config says relatively is meant from there.
    """
    before, environment = os.getcwd(), dict(os.environ)
    os.chdir(folder)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        os.chdir(before)
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update(environment)
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.set_default_dtype(torch.float32)
        gc.collect()  # a network and its trainer refer to each other: the next job needs the memory
        _leave_imports_aside()


@cache
def _leave_imports_aside() -> None:
    """Once: to look through them after every job would take longer than all else here."""
    gc.freeze()
