"""python -m forecast.sweep leaderboard DIR: make a sweep's leaderboard again, also of one that runs or was killed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from forecast.cli import exit_code
from forecast.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 2 for a mistake."""
    parser = argparse.ArgumentParser(prog="python -m forecast.sweep", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("leaderboard", help="write leaderboard.csv and .html, and print the table")
    command.add_argument("directory", type=Path, metavar="DIR", help="of the sweep, multirun/DATE/TIME")
    args = parser.parse_args(arguments)
    return exit_code(lambda: _leaderboard(args.directory))


def _leaderboard(directory: Path) -> None:
    from forecast.sweep.leaderboard import Leaderboard
    from forecast.sweep.record import Jobs, SweepRun

    jobs = Jobs(directory, sweep=SweepRun.load(directory).sweep).read()
    if not jobs:
        raise UserError(f"{directory}: no job of this sweep has begun yet")
    leaderboard = Leaderboard(jobs)
    print(leaderboard.text())
    for path in leaderboard.write(directory):
        print(path)


if __name__ == "__main__":
    sys.exit(main())
