"""A broken rule as one line: `key=value: rule; hint`. And what Hydra refuses, in the same words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from forecast.errors import UserError

_LONGEST_VALUE = 60

SAVED_CONFIG = (
    "a saved config has no groups to choose from; set plain keys (model.hidden_size=64) "
    "or start afresh with python run.py {choice}"
)
_UNKNOWN_CHARACTER = "LexerNoViableAltException: "
_CHOSEN_TWICE = re.compile(
    r"Multiple values for (\S+)\.|(\S+) appears more than once in the final defaults list"
)
_NO_GROUP = re.compile(r"No match in the defaults list\.\s+To append to your default list use \+(\S+)")


class Unset:
    """Stands for a value that cannot be read: `???`, or an interpolation that leads nowhere."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


MISSING = Unset("???")
UNREADABLE = Unset("(unreadable)")


class ConfigFault(NamedTuple):
    """One line of an error message: `key=value: rule; hint`."""

    key: str
    value: Any
    rule: str
    hint: str = ""

    def __str__(self) -> str:
        named = self.key if self.value is MISSING else f"{self.key}={format_value(self.value)}"
        return one_line(f"{named}: {self.rule}" + (f"; {self.hint}" if self.hint else ""))


def format_value(value: object) -> str:
    """A config value on one line, as one would type it, cut where it is long."""
    if isinstance(value, str):
        text = value
    else:
        text = json.dumps(value, default=str).replace("NaN", "nan").replace("Infinity", "inf")
    text = one_line(text)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def one_line(text: object) -> str:
    """Text without its line breaks."""
    return " ".join(str(text).split())


def nearest(name: str, names: Iterable[str], *, at_least: float = 0.6) -> str | None:
    """The most similar of `names`, or None when none is `at_least` that similar (1 = the same)."""
    import difflib

    close = difflib.get_close_matches(name, list(names), n=1, cutoff=at_least)
    return close[0] if close else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`did you mean X?` for the most similar name, or the names to choose from."""
    known = list(names)
    near = nearest(name, known)
    return f"did you mean {near}?" if near else f"known: {', '.join(known) or 'none'}"


def to_message(error: BaseException, *, saved: bool = False) -> str | None:
    """What to tell the user about an error raised while a config was composed.

    Args:
        saved: the config is one that a run saved, without groups.

    Returns:
        one line (UserErrors as they are), or None when the error is not about what the user wrote.
    """
    from hydra.errors import HydraException, MissingConfigException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OverrideParseException):
        return _unreadable_override(error.override, error.message)
    if isinstance(error, MissingConfigException):
        return _missing_option(error)
    if isinstance(error, HydraException):
        return _composition(error, saved)
    if isinstance(error, OmegaConfBaseException):
        return _of_key(error)
    if isinstance(error, YAMLError):
        return f"a config file is no YAML: {one_line(error)}"
    if isinstance(error, OSError | ValueError):
        text = one_line(error)
        return text + (
            "; for none, name that option: tracker=none" if text.startswith("Config group") else ""
        )
    return None


def _unreadable_override(override: str, message: str) -> str:
    """The grammar's complaint, without the override repeated, the caret and the link."""
    lines = message.splitlines()
    way_out = "write key=value"
    key, _, value = override.partition("=")
    if lines[0].startswith(_UNKNOWN_CHARACTER):
        at = lines[1].index("^") - len(_UNKNOWN_CHARACTER)
        reason = f"{override[at]!r} after {override[:at]!r}"
        if value and at > len(key):
            way_out += f', text in quotes: "{key}={_in_quotes(value)}"'
    else:
        if "=" in value and value[:1] == "{":
            way_out = f"inside of braces write NAME: VALUE, or each key by itself, {key}.NAME=VALUE"
        elif "=" in value and value[:1] not in ("[", "'", '"'):
            way_out += f', text in quotes: "{key}={_quoted(value)}"'
        reason = lines[1] if lines[0].startswith("Error parsing override") else lines[0]
    return f"{override}: cannot be read ({reason}); {way_out}"


def _in_quotes(value: str) -> str:
    """A value with each text in it in single quotes, as Hydra's grammar takes any text."""
    lists = re.compile(r"\[([^][]*)\]")
    if not lists.search(value):
        return _quoted(value)
    return lists.sub(lambda found: "[" + ",".join(map(_quoted, found[1].split(","))) + "]", value)


def _quoted(text: str) -> str:
    text = text.strip()
    return text if text[:1] in ("'", '"') else "'" + text.replace("'", r"\'") + "'"


def _missing_option(error: Any) -> str:
    if error.missing_cfg_file is None:
        return one_line(error)
    group, _, option = error.missing_cfg_file.rpartition("/")
    if error.options is None:
        if group:
            return f"{group}={option}: no such option; --help lists those of {group}"
        return f"{error.missing_cfg_file}: no such config in the folders searched; see --info searchpath"
    near = nearest(option, error.options)
    hint = f"did you mean {near}? " if near else ""
    return f"{group}={option}: no such option; {hint}options: {', '.join(error.options) or 'none'}"


def _composition(error: Exception, saved: bool) -> str:
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

    text, cause = str(error), error.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key:
        return _unknown_key(text, cause)
    no_group = _NO_GROUP.search(text)
    if no_group:
        choice = no_group[1]
        fresh = f"no option of {choice.partition('=')[0]} is chosen yet; add one with +{choice}"
        return f"{choice}: {SAVED_CONFIG.format(choice=choice) if saved else fresh}"
    if chosen := _CHOSEN_TWICE.match(text):
        group = chosen[1] or chosen[2]
        return f"{group}: an option of it is chosen already; write {group}=OPTION, without +"
    several = re.match(r"Ambiguous value for argument '(.*)'|Sweep parameters '(.*)' requires", text)
    if several:
        key, _, value = str(several[1] or several[2]).partition("=")
        way_out = "add -m to sweep over them, or write [a,b] for a list"
        way_out += f", text in quotes: \"{key}='{value}'\"" if "/" in value else ""
        return f"{key}={value}: several values; {way_out}"
    if "Cannot merge DictConfig with ListConfig" in text:
        where = text.partition(":")[0]
        return (
            f"{where}: a list stands where a group's keys belong; several options of a group are chosen under "
            "defaults: - override /baselines: [har, ewma]"
        )
    if isinstance(cause, OmegaConfBaseException):
        return f"{one_line(text)}: {_of_key(cause)}".removeprefix(": ")
    return one_line(text)


def _of_key(error: Any) -> str:
    reason = str(error).splitlines()[0]
    return f"{error.full_key}: {reason}" if error.full_key else reason


def _unknown_key(text: str, cause: Any) -> str:
    """A key that the config does not have, with the one that was meant."""
    from omegaconf import Container, OmegaConf

    override = re.search(r"Could not override '(.+?)'", text)
    key = override[1] if override else str(cause.full_key)
    if str(cause.full_key).startswith(f"{key}."):  # within a mapping that was given
        key = str(cause.full_key)
    above, _, name = key.rpartition(".")
    parts = key.split(".")
    node = cause.parent_node  # where the first part of the key that is unknown was looked for
    tree = OmegaConf.to_container(node, resolve=False) if isinstance(node, Container) else None
    beside = (
        [str(other) for other in tree if other != "hydra" and not str(other).startswith("_")]
        if isinstance(tree, dict)
        else []
    )
    at_parent = cause.full_key == key
    if at_parent and above and not beside:
        return f"{key}: no such key; {above} holds no keys"
    near = nearest(name, beside) if at_parent else None
    if near:
        return f"{key}: no such key; did you mean {f'{above}.{near}'.lstrip('.')}?"
    known = [other for other in _dotted(tree, "") if other.startswith("hydra") == key.startswith("hydra")]
    moved = [other for other in known if other.endswith(f".{key}")]  # hidden_size for model.hidden_size
    near = moved[0] if moved else nearest(key, known, at_least=0.8)
    if (
        not near and not beside and len(parts) > 2
    ):  # of a group without a choice, as in data.covariates.vix.lag
        return f"{key}: no such key; {parts[0]}.{parts[1]} is empty; choose an option first: {parts[1]}={parts[2]}"
    return f"{key}: no such key; " + (f"did you mean {near}?" if near else f"known: {', '.join(beside)}")


def _dotted(node: Any, prefix: str) -> Iterator[str]:
    """Every dotted key at or below a node."""
    if isinstance(node, dict):
        for name, item in node.items():
            yield f"{prefix}{name!s}"
            yield from _dotted(item, f"{prefix}{name!s}.")
