"""Finished runs that tests share: each made once a session, by whichever test and worker needs it first."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from composed import compose
from filelock import FileLock

from forecast import bundle, pipeline
from forecast.finished_runs import Run


def run_without_plots(*overrides: str, directory: Path) -> Run:
    """Conduct a run as `forecast.run` does, but draw no PNG files, which takes as long as all the rest of a small run.

    Args:
        overrides: as on the command line.
        directory: of the run.
    """
    config = compose(*overrides)
    pipeline.check(config)
    return pipeline.run(config, Path(directory), pipeline.RunHooks(draw_plots=False))


class TrainedRuns:
    """Run directories by their overrides; none of them may be changed, see `copy`.

    Args:
        folder: that all workers of a session share.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *overrides: str) -> Path:
        """The directory of a finished run; `tracker=none` unless the overrides say otherwise.

        Args:
            overrides: as on the command line.
        """
        words = ("tracker=none", *overrides)
        directory = self.folder / hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]
        with FileLock(f"{directory}.lock"):
            if not bundle.is_finished(directory):
                run_without_plots(*words, directory=directory)
        return directory

    def copy(self, target: Path, *overrides: str) -> Path:
        """A copy that a test may change."""
        return Path(shutil.copytree(self(*overrides), target))


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of a session share."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder
