"""What Hydra knows of a config besides its keys: what was asked for, what was chosen, where it runs."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from forecast.errors import UserError

# Hydra's node of each config composed from Python, for as long as that config lives. Not keyed by the config:
# two configs of the same content are equal, and may have been composed for different directories.
_composed: dict[int, DictConfig] = {}


def remember(config: DictConfig, hydra_node: DictConfig) -> None:
    """Keep Hydra's node for a config it is no longer part of."""
    _composed[id(config)] = hydra_node
    weakref.finalize(config, _composed.pop, id(config), None)


def hydra_node(config: DictConfig) -> DictConfig | None:
    """Hydra's node for a config that `compose` returned or that a command line runs; None for any other."""
    from hydra.core.hydra_config import HydraConfig

    if id(config) in _composed:
        return _composed[id(config)]
    whole: Any = HydraConfig.instance().cfg
    return None if whole is None else whole.hydra


def run_directory(config: DictConfig) -> Path:
    """Where the run of a config goes, as its `hydra.run.dir` says; nothing is made.

    Raises:
        UserError: the config was neither composed here nor started from a command line.
    """
    node = hydra_node(config)
    if node is None:
        raise UserError("directory: this config was not composed here; say where the run shall go")
    decided = OmegaConf.select(node, "runtime.output_dir", throw_on_missing=False)
    return Path(decided or node.run.dir).absolute()


def origin(config: DictConfig) -> dict[str, Any]:
    """What was asked for: `overrides`, in order, and `choices`, the option of each group.

    A replay adds its overrides to the saved ones and keeps the saved choices.
    """
    overrides: list[str] = []
    choices: dict[str, str] = {}
    saved = config.get("provenance")
    if saved is not None:
        overrides += [str(override) for override in saved.get("overrides", [])]
        choices |= {str(group): str(option) for group, option in saved.get("choices", {}).items()}
    node = hydra_node(config)
    if node is not None:
        overrides += list(node.overrides.task)
        for group, option in node.runtime.choices.items():
            if option and not str(group).startswith("hydra/"):
                choices[str(group)] = str(option)
    return {"overrides": overrides, "choices": choices}
