"""Compose a config, from Python as from the command line, and read it as plain Python."""

from __future__ import annotations

import copy
import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import GrammarParseError, InterpolationResolutionError

from forecast.config.messages import MISSING, UNREADABLE, ConfigFault, to_message
from forecast.config.renamed import rename_targets
from forecast.errors import UserError

CONFIG_PATH = "conf"
CONFIG_NAME = "run"
VERSION_BASE = "1.3"
# Not part of the task: Hydra's own node, where a saved config came from, and what made it a champion.
ASIDE = ("hydra", "provenance", "metadata")

# `data.tickers=[^GSPC,7203],[CL=F]`, with + and without quotes: each list of names.
_TICKERS = re.compile(r"(\+{0,2}data\.tickers=)(\[[^][{}()'\"$\\]*\](?:,\[[^][{}()'\"$\\]*\])*)")
# `data.tickers=^GSPC`: no list, which the check says of what Hydra can read.
_BARE_TICKER = re.compile(r"(\+{0,2}data\.tickers=)([^][{}()'\"$\\,]*[\^=&][^][{}()'\"$\\,]*)")
_PLAIN_NAME = re.compile(r"(?!(?:null|true|false|nan|inf)$)[A-Za-z][\w.-]*", re.ASCII | re.IGNORECASE)
# Groups of which one option is taken: Hydra would merge the keys of several.
_ONE_OF = "source|data|target|model|trainer|tracker|evaluation|intervals|champion|tuner|cluster|engine"
_SEVERAL = re.compile(rf"\+{{0,2}}({_ONE_OF})=\[(.*)\]")
# A saved config has no groups to choose from, but to leave one out is the same there.
_NONE = re.compile(r"(trainer|tracker|champion|baselines|intervals)=none")


def compose(*overrides: str, config_dir: Path | None = None) -> DictConfig:
    """The task config that `python run.py OVERRIDES` would run.

    Args:
        overrides: as on the command line: `data=range_single`, `model.hidden_size=64`.

    Raises:
        UserError: Hydra refused an override, or there is no `conf` folder.
    """
    more = [] if config_dir is None else [f"hydra.searchpath=[file://{config_dir.absolute()}]"]
    return _without_hydra(composed(conf_folder(), CONFIG_NAME, [*overrides, *more]))


def compose_saved(directory: Path, *overrides: str) -> DictConfig:
    """The task config that a run saved, with overrides of plain keys.

    Raises:
        UserError: Hydra refused an override.
    """
    return _without_hydra(composed(directory.absolute(), "config", list(overrides), saved=True))


def composed(folder: Path, config_name: str, overrides: list[str], *, saved: bool = False) -> DictConfig:
    """The config of a folder with Hydra's own node still in it; Hydra itself is left as it was.

    Raises:
        UserError: Hydra refused an override.
    """
    import hydra

    readable = [readable_override(override, saved=saved) for override in overrides]
    with _own_hydra():
        try:
            with hydra.initialize_config_dir(config_dir=str(folder), version_base=VERSION_BASE):
                config = hydra.compose(config_name, overrides=readable, return_hydra_config=True)
        except Exception as error:
            message = to_message(error, saved=saved)
            if message is None:
                raise
            raise UserError(message) from error
    rename_targets(config)
    return config


def readable_override(override: str, *, saved: bool = False) -> str:
    """An override as Hydra's grammar understands it: tickers are text, whatever they look like.

    Args:
        override: as typed; `data.tickers=[^GSPC,7203]` becomes `data.tickers=['^GSPC','7203']`.
        saved: of a saved config, where `tracker=none` becomes `+tracker=none`: on top of what it says.

    Raises:
        UserError: it has no key, or names a list of options where one is taken.
    """
    if override.startswith("=") or not override.strip():
        raise UserError(f"{override!r}: has no key; write key=value")
    if several := _SEVERAL.fullmatch(override):
        way_out = f"name one, or sweep over them: -m {several[1]}={several[2].replace(' ', '')}"
        raise UserError(f"{override}: one option of {several[1]} is taken, no list; {way_out}")
    if saved and _NONE.fullmatch(override):
        return f"+{override}"
    if found := _BARE_TICKER.fullmatch(override):
        return f"{found[1]}'{found[2]}'"
    if not (found := _TICKERS.fullmatch(override)):
        return override
    return found[1] + re.sub(r"\[([^]]*)\]", lambda names: _quoted(names[0]), found[2])


def _quoted(names: str) -> str:
    """A list of names as one of texts; as it is where Hydra takes every name for text anyway."""
    split = [name.strip() for name in names.strip("[]").split(",")]
    if names == "[]" or all(_PLAIN_NAME.fullmatch(name) for name in split):
        return names
    return "[" + ",".join(f"'{name}'" for name in split) + "]"


def task_of(whole: DictConfig) -> DictConfig:
    """A composed config without Hydra's own node."""
    config = copy.deepcopy(whole)
    with open_dict(config):
        del config["hydra"]
    return config


def _without_hydra(whole: DictConfig) -> DictConfig:
    config = task_of(whole)
    remember(config, whole.hydra)
    return config


def conf_folder() -> Path:
    """The `conf` folder: in a checkout beside the package, in an installed package within it."""
    package = Path(__file__).resolve().parents[1]
    for base in (package.parent, package / "project", Path.cwd()):
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


# Hydra's node of each config composed from Python, for as long as that config lives. Not keyed by the config:
# two configs of the same content are equal, and may have been composed for different directories.
_hydra_nodes: dict[int, DictConfig] = {}


def remember(config: DictConfig, node: DictConfig) -> None:
    """Keep Hydra's node for a config it is no longer part of."""
    _hydra_nodes[id(config)] = node
    weakref.finalize(config, _hydra_nodes.pop, id(config), None)


def hydra_node(config: DictConfig) -> DictConfig | None:
    """Hydra's node for a config that `compose` returned or that a command line runs; None for any other."""
    from hydra.core.hydra_config import HydraConfig

    if id(config) in _hydra_nodes:
        return _hydra_nodes[id(config)]
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
    return launch_folder(config) / str(decided or node.run.dir)


def launch_folder(config: DictConfig) -> Path:
    """The folder in which the command was given: what a config says relatively is meant from there."""
    node = hydra_node(config)
    return Path.cwd() if node is None else Path(node.runtime.cwd)


def in_sweep() -> bool:
    """Whether this process runs a job of a sweep at the moment."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


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


def plain(config: DictConfig) -> tuple[dict[str, Any], list[ConfigFault]]:
    """Resolve a task config into dicts, lists and scalars.

    Returns:
        the config without `ASIDE`, `???` as MISSING and what cannot be resolved as UNREADABLE; and one fault
        for each of the latter.
    """
    faults: list[ConfigFault] = []
    tree = {
        str(name): _item(config, name, str(name), (config,), faults) for name in config if name not in ASIDE
    }
    return tree, faults


def resolved(config: DictConfig) -> dict[str, Any]:
    """The task config without `ASIDE` as plain Python.

    Raises:
        UserError: something in it is `???` or cannot be resolved.
    """
    tree, faults = plain(config)
    faults += _missing(tree, "")
    if faults:
        raise UserError("\n".join(str(fault) for fault in faults))
    return tree


def _missing(value: Any, key: str) -> list[ConfigFault]:
    if value is MISSING:
        return [ConfigFault(key, value, "missing")]
    if isinstance(value, dict):
        return [fault for name in value for fault in _missing(value[name], f"{key}.{name}".lstrip("."))]
    if isinstance(value, list):
        return [fault for index, item in enumerate(value) for fault in _missing(item, f"{key}[{index}]")]
    return []


def _item(
    parent: DictConfig | ListConfig, name: Any, key: str, above: tuple[object, ...], faults: list[ConfigFault]
) -> Any:
    if OmegaConf.is_missing(parent, name):
        return MISSING
    try:
        value = parent[name]
    except (InterpolationResolutionError, GrammarParseError) as error:
        reason = f"cannot be resolved: {str(error).splitlines()[0]}"
    else:
        if not any(value is other for other in above):
            inner = (*above, value)
            if isinstance(value, DictConfig):
                return {at: _item(value, at, f"{key}.{at!s}", inner, faults) for at in value}
            if isinstance(value, ListConfig):
                return [_item(value, at, f"{key}[{at}]", inner, faults) for at in range(len(value))]
            return value
        reason = "cannot be resolved: it holds itself"
    written: Any = OmegaConf.to_container(parent, resolve=False)
    faults.append(ConfigFault(key, written[name], reason))
    return UNREADABLE
