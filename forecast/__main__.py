"""python -m forecast [group=option] [key=value]: run.py of the project, from any folder, with or without a checkout.

Its configs and scripts are those of the checkout, or those that setup.py put into the wheel.
"""

from __future__ import annotations

import runpy
import sys
from typing import NoReturn


def script(name: str) -> NoReturn:
    """Run run.py or serve.py of the project, as `python NAME.py` does."""
    from forecast.config.composing import conf_folder

    path = conf_folder().parent / f"{name}.py"
    sys.argv[0] = str(path)
    runpy.run_path(str(path), run_name="__main__")
    raise AssertionError(f"{path} did not exit")


def run() -> NoReturn:
    """What the console scripts forecast and forecast-run call."""
    script("run")


def serve() -> NoReturn:
    """What the console script forecast-serve calls."""
    script("serve")


if __name__ == "__main__":
    run()
