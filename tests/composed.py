"""Configs as `forecast.config.compose` makes them, of which Hydra composes those of the same options once a process."""

from __future__ import annotations

import functools
import os
import pickle

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from forecast import config
from forecast.config import composing
from forecast.errors import UserError

CONF = config.conf_folder()
GROUPS = {path.relative_to(CONF).as_posix() for path in CONF.rglob("*") if path.is_dir()}


def compose(*overrides: str) -> DictConfig:
    """The config that `forecast.config.compose` makes of overrides, sooner.

    Nearly all of the .1 s that Hydra takes is for the options of groups. Values of keys are set in a copy, as it does
    it too. Where it would refuse one, it is asked.

    Args:
        overrides: as on the command line.

    Raises:
        UserError: Hydra refused an override.
    """
    try:
        return _compose([composing.readable_override(word) for word in overrides])
    except (OmegaConfBaseException, OverrideParseException, UserError):
        return config.compose(*overrides)


def _compose(words: list[str]) -> DictConfig:
    parsed = dict(zip(words, OverridesParser.create().parse_overrides(words), strict=True))
    values = {word: override for word, override in parsed.items() if _is_value(word, override)}
    pickled = _pickled(*(word for word in words if word not in values))
    # Hydra's node stays in a config of its own, of which it reads other keys.
    made, whole = (pickle.loads(pickled) for _ in range(2))
    for override in values.values():
        for one in (made, whole):
            OmegaConf.update(one, override.key_or_group, override.value(), merge=True)
    with open_dict(made):
        del made["hydra"]
    whole.hydra.overrides.task = [word for word in words if not word.startswith("hydra.")]
    whole.hydra.overrides.hydra = [word for word in words if word.startswith("hydra.")]
    whole.hydra.runtime.cwd = os.getcwd()
    composing.remember(made, whole.hydra)
    return made


def _is_value(word: str, override: Override) -> bool:
    """Whether an override sets the value of a key that is there, and decides nothing else."""
    key = override.key_or_group
    return (
        override.type == OverrideType.CHANGE
        and not override.is_sweep_override()
        and key not in GROUPS
        and (not key.startswith("hydra.") or key == "hydra.run.dir")
        and "_target_" not in word
        and "@" not in key
    )


@functools.cache
def _pickled(*overrides: str) -> bytes:
    """What Hydra composes, which is unpickled in less than a millisecond; `copy.deepcopy` takes five."""
    return pickle.dumps(composing.composed(CONF, composing.CONFIG_NAME, list(overrides)))
