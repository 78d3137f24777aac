"""What pyproject.toml cannot say: a wheel holds conf/, run.py and serve.py, as forecast/project/."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PROJECT = Path(__file__).parent


class BuildWithProject(build_py):
    """Copies what a user runs and configures beside the package into it; in an editable install it is there."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            into = Path(self.build_lib, "forecast", "project")
            shutil.rmtree(into, ignore_errors=True)
            shutil.copytree(PROJECT / "conf", into / "conf", dirs_exist_ok=True)
            for script in ("run.py", "serve.py"):
                shutil.copy(PROJECT / script, into / script)


setup(cmdclass={"build_py": BuildWithProject})
