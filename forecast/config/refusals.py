"""Hydra's and OmegaConf's errors about what the user wrote, in one line each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError

from forecast.config.nearest import nearest
from forecast.errors import UserError

SAVED_CONFIG = (
    "a saved config has no groups to choose from; set plain keys (model.hidden_size=64) "
    "or start afresh with python run.py {choice}"
)
_UNKNOWN_CHARACTER = "LexerNoViableAltException: "
_NO_GROUP = re.compile(r"No match in the defaults list\.\s+To append to your default list use \+(\S+)")


def refusal(error: BaseException, *, saved: bool = False) -> str | None:
    """What to tell the user about an error raised while a config was composed.

    Args:
        error: as Hydra let it out.
        saved: the config is one that a run saved, without groups.

    Returns:
        one line (UserErrors as they are), or None when the error is not about what the user wrote.
    """
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read ({_reason(error)}); write key=value"
    if isinstance(error, MissingConfigException):
        return _missing(error)
    if isinstance(error, HydraException):
        return _composition(error, saved)
    if isinstance(error, OmegaConfBaseException):
        return _of_key(error)
    if isinstance(error, YAMLError):
        return f"a config file is no YAML: {_one_line(error)}"
    if isinstance(error, OSError | ValueError):
        text = _one_line(error)
        hint = "; for none, name that option: tracker=none" if text.startswith("Config group") else ""
        return text + hint
    return None


def _missing(error: MissingConfigException) -> str:
    if error.missing_cfg_file is None:
        return _one_line(error)
    group, _, option = error.missing_cfg_file.rpartition("/")
    if error.options is None:
        return f"{error.missing_cfg_file}: no such config in the folders searched; see --info searchpath"
    near = nearest(option, error.options)
    hint = f"did you mean {near}? " if near else ""
    return f"{group}={option}: no such option; {hint}options: {', '.join(error.options) or 'none'}"


def _composition(error: HydraException, saved: bool) -> str:
    text, cause = str(error), error.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key:
        return _unknown_key(text, cause)
    no_group = _NO_GROUP.search(text)
    if no_group:
        choice = no_group[1]
        fresh = f"no option of {choice.partition('=')[0]} is chosen yet; add one with +{choice}"
        return f"{choice}: {SAVED_CONFIG.format(choice=choice) if saved else fresh}"
    several = re.match(r"Ambiguous value for argument '(.*)'|Sweep parameters '(.*)' requires", text)
    if several:
        way_out = "add -m to sweep over them, or write [a,b] for a list"
        return f"{several[1] or several[2]}: several values; {way_out}"
    if isinstance(cause, OmegaConfBaseException):
        return f"{_one_line(text)}: {_of_key(cause)}".removeprefix(": ")
    return _one_line(text)


def _of_key(error: OmegaConfBaseException) -> str:
    reason = str(error).splitlines()[0]
    return f"{error.full_key}: {reason}" if error.full_key else reason


def _unknown_key(text: str, cause: ConfigAttributeError | ConfigKeyError) -> str:
    """A key that the config does not have, with the one that was meant."""
    asked = re.search(r"Could not override '(.+?)'", text)
    key = asked[1] if asked else str(cause.full_key)
    above, _, name = key.rpartition(".")
    parent: Any = cause.parent_node
    beside = _names(parent)
    at_parent = parent is not None and parent._get_full_key(None) == above
    if at_parent and above and not beside:
        return f"{key}: no such key; {above} holds no keys"
    near = nearest(name, beside) if at_parent else None
    if near:
        return f"{key}: no such key; did you mean {f'{above}.{near}'.lstrip('.')}?"
    root = parent._get_root() if parent is not None else None
    keys = [other for other in _keys(root, "") if other.startswith("hydra") == key.startswith("hydra")]
    moved = [other for other in keys if other.endswith(f".{key}")]  # hidden_size for model.hidden_size
    near = moved[0] if moved else nearest(key, keys, at_least=0.8)
    return f"{key}: no such key; " + (f"did you mean {near}?" if near else f"known: {', '.join(beside)}")


def _names(node: Any) -> list[str]:
    """The keys a user may set in a node."""
    if not isinstance(node, DictConfig) or node._is_none() or node._is_missing():
        return []
    return [str(name) for name in node if name != "hydra" and not str(name).startswith("_")]


def _keys(node: Any, prefix: str) -> Iterator[str]:
    """Every dotted key of a config."""
    if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
        for name, item in node.items_ex(resolve=False):
            yield f"{prefix}{name!s}"
            yield from _keys(item, f"{prefix}{name!s}.")


def _reason(error: OverrideParseException) -> str:
    """The grammar's complaint, without the override repeated, the caret and the link."""
    lines = error.message.splitlines()
    if lines[0].startswith(_UNKNOWN_CHARACTER):
        at = lines[1].index("^") - len(_UNKNOWN_CHARACTER)
        return f"{error.override[at]!r} after {error.override[:at]!r}"
    return lines[1] if lines[0].startswith("Error parsing override") else lines[0]


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
