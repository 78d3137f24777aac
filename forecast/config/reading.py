"""A composed config as plain Python, with what cannot be read marked rather than raised."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, ListConfig
from omegaconf.errors import GrammarParseError, InterpolationResolutionError

from forecast.config.faults import MISSING, UNREADABLE, Fault
from forecast.errors import UserError

# Not part of the task: Hydra's own node, where a saved config came from, and what made it a champion.
ASIDE = ("hydra", "provenance", "metadata")


def plain(config: DictConfig) -> tuple[dict[str, Any], list[Fault]]:
    """Resolve a task config into dicts, lists and scalars.

    Returns:
        the config without `ASIDE`, `???` as MISSING and what cannot be resolved as UNREADABLE; and one fault
        for each of the latter.
    """
    faults: list[Fault] = []
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


def _missing(value: Any, key: str) -> list[Fault]:
    if value is MISSING:
        return [Fault(key, value, "missing")]
    if isinstance(value, dict):
        return [fault for name in value for fault in _missing(value[name], f"{key}.{name}".lstrip("."))]
    if isinstance(value, list):
        return [fault for index, item in enumerate(value) for fault in _missing(item, f"{key}[{index}]")]
    return []


def _item(
    parent: DictConfig | ListConfig, name: Any, key: str, above: tuple[object, ...], faults: list[Fault]
) -> Any:
    node: Any = parent._get_node(name)
    text = node._value()
    if text == "???":
        return MISSING
    try:
        value = parent[name]
    except (InterpolationResolutionError, GrammarParseError) as error:
        reason = str(error).splitlines()[0]
        faults.append(Fault(key, text, f"cannot be resolved: {reason}"))
        return UNREADABLE
    if any(value is other for other in above):
        faults.append(Fault(key, text, "cannot be resolved: it holds itself"))
        return UNREADABLE
    if isinstance(value, DictConfig):
        return {name: _item(value, name, f"{key}.{name!s}", (*above, value), faults) for name in value}
    if isinstance(value, ListConfig):
        return [_item(value, at, f"{key}[{at}]", (*above, value), faults) for at in range(len(value))]
    return value
