"""python -m forecast.track sync [DIR ...]: send MLflow the runs that could not be sent while they ran."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from forecast.cli import exit_code
from forecast.track.sync import DEFAULT_FOLDERS, sync


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 if nothing is left to send, 1 if something is, 2 for a mistake."""
    parser = argparse.ArgumentParser(prog="python -m forecast.track", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("sync", help="send what could not be sent while it ran")
    command.add_argument(
        "folders",
        nargs="*",
        type=Path,
        metavar="DIR",
        help=f"default: {' '.join(DEFAULT_FOLDERS)}, where they exist",
    )
    command.add_argument("--uri", help="another store than the one named in each run's mlflow.json")
    asked = parser.parse_args(arguments)
    folders = asked.folders or [Path(name) for name in DEFAULT_FOLDERS if Path(name).is_dir()]
    return exit_code(lambda: _sync(folders, asked.uri))


def _sync(folders: Sequence[Path], uri: str | None) -> int:
    summary = sync(folders, uri=uri)
    for directory in summary.sent:
        print(f"sent {directory}")
    for directory in summary.running:
        print(f"left {directory}: still running, or started on another host")
    if summary.failed:
        first, *others = summary.failed
        more = f" and {len(others)} more" if others else ""
        print(f"not sent: {first}{more} ({summary.failed[first]}); run this again later", file=sys.stderr)
        return 1
    if not summary.sent:
        print("nothing to send")
    return 0


if __name__ == "__main__":
    sys.exit(main())
