"""python -m benchmarks.serve [COMMAND] [--folder DIR]: table (default), idle, soak, swap, kill, train.

Every command makes the run directory it serves (or finds it in the folder), starts its servers on free ports of
127.0.0.1, checks every answer, and exits with 1 when the target that it prints is missed. Linux only.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import tempfile
from pathlib import Path

_COMMANDS = ("table", "idle", "soak", "swap", "kill", "train")


def main() -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serve",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command="table")
    commands = parser.add_subparsers(dest="command")
    for name in _COMMANDS:
        module = importlib.import_module(f"benchmarks.serve.{name}")
        command = commands.add_parser(name, help=str(module.__doc__))
        command.add_argument("--folder", type=Path, help="where everything is left; default: a temporary one")
        module.arguments(command)
    asked = parser.parse_args(sys.argv[1:] or ["table"])
    module = importlib.import_module(f"benchmarks.serve.{asked.command}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers are ended, whatever ends this
    with tempfile.TemporaryDirectory() as temporary:
        folder = (asked.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        return 0 if module.run(folder, asked) else 1


if __name__ == "__main__":
    sys.exit(main())
