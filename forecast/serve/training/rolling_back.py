"""python -m forecast.serve.training.rolling_back LINK: give the title back to the champion before.

In a process of its own, because MLflow is told, and because proving the earlier champion takes seconds.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

from forecast.errors import UserError
from forecast.serve.training.training import environment

NOTHING, REFUSED = 3, 2  # exit codes
TOO_LONG_S = 900.0


class NothingBeforeError(Exception):
    """There is no champion to return to."""


def rolled_back(champion: Path) -> str:
    """Give the title back to the champion before, in a new process.

    Args:
        champion: the link.

    Returns:
        what was done, in a line.

    Raises:
        NothingBeforeError: there is none before.
        UserError: it is not what it was, or the disk does not take it; the champion stays.
    """
    command = [sys.executable, "-P", "-m", "forecast.serve.training.rolling_back", str(champion)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment(),
            timeout=TOO_LONG_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"was not done within {TOO_LONG_S:.0f} s; the champion may be either") from error
    if done.returncode == 0:
        return str(json.loads(done.stdout.splitlines()[-1])["message"])
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    if done.returncode == NOTHING:
        raise NothingBeforeError(last)
    raise UserError(last)


def main() -> int:
    """Do it; prints what was done as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("champion", type=Path)
    link: Path = parser.parse_args().champion
    os.nice(10)
    try:
        _check(link)
    except UserError as error:
        print(error, file=sys.stderr)
        return NOTHING
    try:
        print(json.dumps({"message": _roll_back(link)}))
    except UserError as error:
        print(error, file=sys.stderr)
        return REFUSED
    return 0


def _check(link: Path) -> None:
    """Whether there is anything to return to."""
    from forecast.champion.shelf import Shelf

    shelf = Shelf(link)
    present = shelf.current
    if present is None:
        raise UserError(f"{link}: there is no champion, and so none before it")
    if not [name for name in shelf.line if name != present.name]:
        raise UserError(f"{link}: no champion before {present.name} is kept")


def _roll_back(link: Path) -> str:
    from omegaconf import DictConfig, OmegaConf

    from forecast.champion import Champion, registry_of, rollback

    config = OmegaConf.load(link / "config.yaml")
    assert isinstance(config, DictConfig)
    registry = registry_of(config) if config.get("champion") is not None else None
    crowned = rollback(champion=Champion(directory=str(link)), registry=registry, say=logging.info)
    return f"back to {crowned.folder.name}; {'; '.join(crowned.notes)}"


if __name__ == "__main__":
    sys.exit(main())
