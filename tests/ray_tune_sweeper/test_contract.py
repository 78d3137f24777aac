"""Hydra's own contract for whatever runs a multirun."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import warm
from hydra.core.singleton import Singleton
from hydra.test_utils.launcher_common_tests import IntegrationTestSuite, LauncherTestSuite
from hydra.version import VersionBase

FLAGS = ["hydra/sweeper=ray_tune", "hydra.sweeper.search=grid", "hydra.sweeper.empty_space=once"]


@pytest.fixture(autouse=True)
def _joined(ray_cluster: str, monkeypatch: pytest.MonkeyPatch, hydra_restore_singletons: Any) -> None:
    """Apps that a test starts as processes of their own join the Ray of the tests.

    Hydra's suite expects the defaults of a process that has not said yet which version it is written for; another
    test may have.
    """
    del hydra_restore_singletons
    Singleton._instances.pop(VersionBase, None)
    monkeypatch.setenv("RAY_ADDRESS", ray_cluster)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.mark.parametrize(
    ("launcher_name", "overrides"),
    [("basic", FLAGS)],
)
class TestSweeper(LauncherTestSuite):
    """Overrides, configs and directories of jobs."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"),
    [({}, ["-m", *FLAGS, "hydra.sweeper.max_concurrent=1"])],
)
class TestApps(IntegrationTestSuite):
    """Apps as they are started from a shell; how Hydra names them is no sweeper's affair."""

    test_custom_task_name = None

    def generate_custom_cmd(self) -> Callable[..., list[str]]:
        """As processes that need not import Hydra anew."""
        return lambda command, _: [command[0], warm.__file__, *command[1:]]
