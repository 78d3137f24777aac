"""python -m forecast.champion.proof DIR: does a copied run still give the forecasts it recorded?

It has a process of its own, in which nothing is left of the one that trained or chose the run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from forecast.errors import UserError

TOO_LONG_S = 900.0  # some 4,096 windows take seconds


def prove(directory: Path, *, named: str) -> int:
    """Load a run directory in a new process and have it reproduce its recorded test forecasts, bit for bit.

    Args:
        directory: of a finished run, perhaps a copy.
        named: what a refusal calls it.

    Returns:
        how many windows it reproduced.

    Raises:
        UserError: a file is missing or altered, a forecast differs, or it cannot be loaded here.
    """
    # The same modules must be found as here, plug-ins included, and none by accident.
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    command = [sys.executable, "-P", "-m", "forecast.champion.proof", str(directory)]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TOO_LONG_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{named}: was not proved within {TOO_LONG_S:.0f} s; it is not promoted") from error
    if done.returncode == 0:
        return int(done.stdout.split()[-1])
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    told = last.replace(str(directory), named)
    if named not in told:
        told = f"{named}: {told}"
    raise UserError(f"{told}; it is not promoted")


def main() -> int:
    """Run the proof; prints how many windows were reproduced."""
    from forecast.bundle import replay

    try:
        print(replay(Path(sys.argv[1])))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
