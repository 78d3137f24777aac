"""python -m forecast.sweep leaderboard DIR: make a sweep's leaderboard again, also of one that runs or was killed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from forecast.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 2 for a mistake."""
    parser = argparse.ArgumentParser(prog="python -m forecast.sweep", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("leaderboard", help="write leaderboard.csv and .html, and print the table")
    command.add_argument("directory", type=Path, metavar="DIR", help="of the sweep, multirun/DATE/TIME")
    asked = parser.parse_args(arguments)
    try:
        _leaderboard(asked.directory)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _leaderboard(directory: Path) -> None:
    from forecast.sweep import leaderboard
    from forecast.sweep.issue import Issue
    from forecast.sweep.job_state import jobs_of
    from forecast.sweep.standing import standing

    issue = Issue.load(directory)
    jobs = jobs_of(directory, sweep=issue.sweep)
    if not jobs:
        raise UserError(f"{directory}: no job of this sweep has begun yet")
    found = standing(jobs)
    print(leaderboard.text(found))
    for path in leaderboard.write(directory, found):
        print(path)


if __name__ == "__main__":
    sys.exit(main())
