"""Compose a config from Python, as the command line would."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig, open_dict

from forecast.config.launches import remember
from forecast.config.refusals import refusal
from forecast.errors import UserError

CONFIG_PATH = "conf"
CONFIG_NAME = "run"
VERSION_BASE = "1.3"


def compose(*overrides: str, config_dir: Path | None = None) -> DictConfig:
    """The task config that `python run.py OVERRIDES` would run.

    Args:
        overrides: as on the command line: `data=range_single`, `model.hidden_size=64`.
        config_dir: of options besides those of conf, as `-cd` gives one.

    Raises:
        UserError: Hydra refused an override, or there is no `conf` folder.
    """
    also = [] if config_dir is None else [f"hydra.searchpath=[file://{config_dir.absolute()}]"]
    whole = composed(conf_folder(), CONFIG_NAME, [*overrides, *also])
    config = task_of(whole)
    remember(config, whole.hydra)
    return config


def composed(folder: Path, config_name: str, overrides: list[str], *, saved: bool = False) -> DictConfig:
    """The config of a folder with Hydra's own node still in it; Hydra itself is left as it was.

    Args:
        folder: absolute.
        config_name: of the primary config in it.
        overrides: as on the command line.
        saved: the config is one that a run saved, without groups.

    Raises:
        UserError: Hydra refused an override.
    """
    import hydra

    with _own_hydra():
        try:
            with hydra.initialize_config_dir(config_dir=str(folder), version_base=VERSION_BASE):
                return hydra.compose(config_name, overrides=overrides, return_hydra_config=True)
        except Exception as error:
            told = refusal(error, saved=saved)
            if told is None:
                raise
            raise UserError(told) from error


def task_of(whole: DictConfig) -> DictConfig:
    """A composed config without Hydra's own node."""
    config = copy.deepcopy(whole)
    with open_dict(config):
        del config["hydra"]
    return config


def conf_folder() -> Path:
    """The `conf` folder: the project's, beside the package, else the working folder's."""
    import forecast

    for base in (Path(forecast.__path__[0]).resolve().parent, Path.cwd()):
        if (base / CONFIG_PATH / f"{CONFIG_NAME}.yaml").is_file():
            return base / CONFIG_PATH
    raise UserError(f"conf/{CONFIG_NAME}.yaml: neither beside the package nor in {Path.cwd()}")


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Leave Hydra's process-wide state as it was, also inside a run that a command line started."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.utils import JobRuntime
    from hydra.version import VersionBase

    running, version, job = GlobalHydra.instance(), VersionBase.instance(), JobRuntime.instance()
    before = running.hydra, version.version_base, copy.deepcopy(job.conf)
    running.clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra, version.version_base, job.conf = before
