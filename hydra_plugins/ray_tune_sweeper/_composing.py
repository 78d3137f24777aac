"""The config of each job of a sweep: Hydra's own composition, done once for all jobs that choose the same options."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException


class Composer:
    """Gives what `ConfigLoader.load_sweep_config` gives, sooner.

    To compose takes Hydra some hundred milliseconds. Most jobs of a sweep differ in plain values alone, and Hydra sets
    those last, in a config that is composed already. So what else a job says is composed once, kept, and copied.

    Args:
        loader: knows the config files.
        config: composed without the space.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig) -> None:
        self._loader, self._config = loader, config
        self._parsed: dict[str, Override] = {}
        self._groups: dict[str, bool] = {}  # key -> whether it is one
        # overrides -> their config, without the plain values
        self._kept: dict[tuple[str, ...], DictConfig] = {}

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The config of one job, with Hydra's own node.

        Args:
            overrides: of the job, all of them.

        Raises:
            HydraException: Hydra refuses an override.
        """
        parsed = [self._parse(line) for line in overrides]
        keys = [item.key_or_group for item in parsed]
        plain = [self._is_plain(item, keys) for item in parsed]
        try:
            config = self._copy(
                tuple(line for line, later in zip(overrides, plain, strict=True) if not later)
            )
            for item, later in zip(parsed, plain, strict=True):
                if later:
                    OmegaConf.update(config, item.key_or_group, item.value(), merge=True)
        except (OmegaConfBaseException, HydraException):  # Hydra says what is wrong with all of them
            return self._loader.load_sweep_config(self._config, list(overrides))
        task = [item for item in parsed if not item.is_hydra_override()]
        named = config.hydra.job.config.override_dirname
        with open_dict(config.hydra):
            config.hydra.overrides.task = [item.input_line for item in task]
            config.hydra.job.override_dirname = get_overrides_dirname(
                task, exclude_keys=named.exclude_keys, item_sep=named.item_sep, kv_sep=named.kv_sep
            )
        return config

    def _copy(self, overrides: tuple[str, ...]) -> DictConfig:
        if overrides not in self._kept:
            self._kept[overrides] = self._loader.load_sweep_config(self._config, list(overrides))
        config = copy.deepcopy(self._kept[overrides])
        # As Hydra does: one time stamp for all jobs.
        OmegaConf.copy_cache(from_config=self._config, to_config=config)
        return config

    def _parse(self, line: str) -> Override:
        if line not in self._parsed:
            (self._parsed[line],) = OverridesParser.create(config_loader=self._loader).parse_overrides([line])
        return self._parsed[line]

    def _is_plain(self, override: Override, keys: Sequence[str]) -> bool:
        """Whether it sets a value of its own, whatever else is said."""
        key = override.key_or_group
        marked = override.is_add() or override.is_force_add() or override.is_delete()
        return not (
            marked
            or override.is_hydra_override()
            or override.is_sweep_override()
            or override.package is not None
            or keys.count(key) > 1
            or any(_nested(key, other) for other in keys)
            or self._is_group(key)
        )

    def _is_group(self, key: str) -> bool:
        if key not in self._groups:
            node = self._config.hydra
            found = self._loader.get_group_options(
                key,
                results_filter=None,
                config_name=node.job.config_name,
                overrides=list(node.overrides.hydra),  # may name more folders
            )
            self._groups[key] = bool(found)
        return self._groups[key]


def _nested(key: str, other: str) -> bool:
    """Whether one is a part of the other, so that their order counts."""
    return key.startswith(f"{other}.") or other.startswith(f"{key}.")
