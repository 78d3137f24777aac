"""A small Hydra app whose task is given by each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra_plugins.hydra_ray_launcher._config
import pytest
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra

import hydra_plugins.ray_tune_sweeper.ray_tune_sweeper  # noqa: F401  both register before Hydra's fixture looks

APP = """
defaults: [_self_, net: small]
x: 1
lr: 0.1
fail: null
hydra:
  job: {chdir: false}
  job_logging: {root: null}
  hydra_logging: {root: null}
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The folder of an app with a group `net` and a few keys."""
    (tmp_path / "conf" / "net").mkdir(parents=True)
    (tmp_path / "conf" / "app.yaml").write_text(APP)
    for name, width in (("small", 1), ("large", 8)):
        (tmp_path / "conf" / "net" / f"{name}.yaml").write_text(f"width: {width}\n")
    return tmp_path


Swept = Callable[..., list[Any]]


@pytest.fixture
def sweep(app: Path, ray_cluster: str, hydra_restore_singletons: Any) -> Swept:
    """Sweep a task over overrides, one trial at a time where they do not say otherwise; returns the job returns."""
    del hydra_restore_singletons

    def swept(task: Callable[[Any], Any], *overrides: str) -> list[Any]:
        hydra = Hydra.create_main_hydra_file_or_module(
            calling_file=str(app / "app.py"), calling_module=None, config_path="conf", job_name="app"
        )
        try:
            return list(
                hydra.multirun(
                    config_name="app",
                    task_function=task,
                    overrides=[
                        "hydra/sweeper=ray_tune",
                        f"hydra.sweep.dir={app}",
                        "hydra.sweeper.max_concurrent=1",  # each worker more takes seconds to start
                        *overrides,
                    ],
                    with_log_configuration=False,
                )[0]
            )
        finally:
            GlobalHydra.instance().clear()

    assert ray_cluster
    return swept
