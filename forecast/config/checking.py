"""Hold a composed config against the signatures of what it will build, before anything is built.

The rules are the constructors' annotations: a type, `Literal`, and the bounds of `annotated_types` in `Annotated`.
"""

from __future__ import annotations

import inspect
import math
import operator
import os
import re
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ForwardRef, Literal, Protocol, TypeVar, Union, get_args, get_origin

import annotated_types
from annotated_types import Interval, MinLen
from omegaconf import DictConfig

from forecast.config.building import Signature, locate, signature
from forecast.config.composing import composed, plain, task_of
from forecast.config.messages import (
    MISSING,
    SAVED_CONFIG,
    UNREADABLE,
    ConfigFault,
    Unset,
    did_you_mean,
    nearest,
)
from forecast.errors import UserError

# Arguments known only while the run goes on, by where their node stands; a YAML may leave them out.
SUPPLIED: dict[str, frozenset[str]] = {
    "data": frozenset({"source", "target"}),
    "baselines": frozenset({"target"}),
    "model": frozenset({"input_size", "lookback", "output_size", "make"}),
    "model.layer_config[*]": frozenset(
        {"input_size", "in_features", "in_channels", "num_features", "normalized_shape", "lookback"}
    ),
    "trainer": frozenset({"metric", "mode", "seed"}),
}
_RESERVED = frozenset({"_target_", "_convert_", "_recursive_", "_partial_", "_args_"})


class Node(Protocol):
    """A mapping with `_target_`: what a group of the config must be."""


def task(
    *,
    seed: Annotated[int, Interval(ge=0, le=2**32 - 1)],
    objective: dict[str, Any],
    on_data_change: Literal["error", "warn"],
    source: Node,
    data: Node,
    target: Node | None = None,
    model: Node,
    trainer: Node | None,
    tracker: Node | None,
    evaluation: Node | None = None,
    baselines: Node | None = None,
    intervals: Node | None = None,
    champion: Node | None = None,
    plots: bool = True,
    **others: Any,
) -> None:
    """The keys of a config's root; nobody calls this, its signature is what the root is checked against."""


def objective(*, metric: Annotated[str, MinLen(1)], mode: Literal["min", "max"]) -> None:
    """The signature that the keys of `objective` are checked against."""


def check(config: DictConfig, only: Collection[str] | None = None) -> None:
    """Refuse a config that cannot be built, before anything is built or fetched.

    Every node with `_target_`, however deep, is bound to the signature of what it names, and every value is
    held against its annotation.

    Args:
        only: groups whose nodes will be built, where that is not all: those of the others are not looked into.

    Raises:
        UserError: all faults at once, one a line: `data.seq_len=0: must be >= 1`.
    """
    tree, unreadable = plain(config)
    faults: dict[str, ConfigFault] = {}
    looked_into = tree if only is None else {name: node for name, node in tree.items() if name in only}
    for fault in [*unreadable, *_root(tree), *_nodes(looked_into, "")]:
        faults.setdefault(fault.key, fault)  # the first is the most telling
    if faults:
        raise UserError("\n".join(str(fault) for fault in faults.values()))


def further_faults(
    first: str,
    overrides: Sequence[str],
    *,
    folder: Path,
    config_name: str,
    check_objective: Callable[[DictConfig, Collection[str]], None] | None = None,
) -> list[str]:
    """All that is wrong with overrides of which Hydra, which stops at the first, refused one.

    Args:
        check_objective: as `check`, but refuses an objective that no run reports too; None: there is none.
    """
    found, rest = [first], list(overrides)
    while True:
        named = {word: word.lstrip("+~").partition("=")[0] for word in rest}
        about = [word for word in rest if re.match(re.escape(named[word]) + "[:=@.]", found[-1])]
        if not about or len(rest) == 1:
            return found
        rest.remove(max(about, key=lambda word: len(named[word])))
        try:
            config = task_of(composed(folder, config_name, rest))
            groups = {key.partition(".")[0] for word, key in named.items() if word in rest}
            (check_objective if check_objective and "objective" in groups else check)(config, groups)
        except UserError as error:
            lines = [line for line in str(error).splitlines() if line not in found]
            found += lines
            if isinstance(error.__cause__, Exception) and lines:
                continue  # Hydra again
        return found


def _root(tree: dict[str, Any]) -> Iterator[ConfigFault]:
    if is_node(tree):
        return  # it says itself what it is, as conf/serve.yaml does
    root = signature(task)
    assert root is not None
    for fault in _arguments(tree, root, "", frozenset()):
        parameter = root.parameters.get(fault.key)
        if parameter and isinstance(fault.value, str) and parameter.annotation in (Node, Node | None):
            yield ConfigFault(
                fault.key, fault.value, SAVED_CONFIG.format(choice=f"{fault.key}={fault.value}")
            )
        else:
            yield fault
    if isinstance(tree.get("objective"), dict):
        keys = signature(objective)
        assert keys is not None
        yield from _arguments(tree["objective"], keys, "objective", frozenset())


def _nodes(value: Any, key: str) -> Iterator[ConfigFault]:
    """The faults of every node at or below `value`."""
    if isinstance(value, dict):
        if is_node(value):
            yield from _node(value, key)
        for name, item in value.items():
            yield from _nodes(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _nodes(item, f"{key}[{index}]")
    elif value is MISSING:
        yield ConfigFault(key, value, "missing")


def _node(node: dict[str, Any], key: str) -> Iterator[ConfigFault]:
    target = node["_target_"]
    if isinstance(target, Unset):
        return
    if not isinstance(target, str):
        yield ConfigFault(f"{key}._target_", target, "must be text: package.module.Class")
        return
    try:
        known = signature(locate(target))
    except ImportError as error:
        yield ConfigFault(f"{key}._target_", target, f"cannot be imported: {error}")
        return
    if known is not None:
        place = re.sub(r"\[\d+\]", "[*]", re.sub(r"^model(\.members\.\w+)+", "model", key))
        yield from _arguments(node, known, key, SUPPLIED.get(place, frozenset()))


def _arguments(
    node: dict[str, Any], known: Signature, key: str, supplied: frozenset[str]
) -> Iterator[ConfigFault]:
    """Bind a mapping to a signature."""
    prefix = f"{key}." if key else ""
    given = {name: value for name, value in node.items() if name not in _RESERVED}
    for name, value in given.items():
        if name in known.parameters:
            yield from violations(value, known.parameters[name].annotation, prefix + name)
        elif not known.takes_any_key:
            allowed = [other for other in known.parameters if other not in supplied]
            yield ConfigFault(prefix + name, value, "unknown key", did_you_mean(name, allowed))
    positional = node.get("_args_")
    by_position = known.positional[: len(positional)] if isinstance(positional, list) else []
    if node.get("_partial_") is True:
        return  # whoever calls it gives the rest
    present = {*given, *by_position, *supplied}
    for name, parameter in known.parameters.items():
        if name not in present and parameter.default is inspect.Parameter.empty:
            yield from violations(MISSING, parameter.annotation, prefix + name)


_LISTS = (list, tuple, set, frozenset, Sequence, Iterable, Collection)
Fits = Callable[[Any], bool]
# What a plain annotation asks for, in words, and its test; True is an int to Python alone.
_PLAIN: dict[Any, tuple[str, Fits]] = {
    None: ("null", lambda value: value is None),
    type(None): ("null", lambda value: value is None),
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: ("an integer", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    float: ("a number", lambda value: isinstance(value, int | float) and not isinstance(value, bool)),
    str: ("text", lambda value: isinstance(value, str)),
    Any: ("given", lambda _: True),
    object: ("given", lambda _: True),
    **dict.fromkeys(_LISTS, ("a list", lambda value: isinstance(value, list))),
}
# The comparison as the limit sees it: limit <= value.
_BOUNDS: tuple[tuple[type, str, Callable[[Any, Any], bool], str], ...] = (
    (annotated_types.Ge, "ge", operator.le, ">="),
    (annotated_types.Gt, "gt", operator.lt, ">"),
    (annotated_types.Le, "le", operator.ge, "<="),
    (annotated_types.Lt, "lt", operator.gt, "<"),
)


def violations(value: Any, annotation: Any, key: str) -> Iterator[ConfigFault]:
    """Every rule of `annotation` that `value` breaks.

    A node (a mapping with `_target_`) may build anything, so it keeps every rule here; its own arguments are
    checked against its own signature.

    Args:
        value: plain Python: None, bool, int, float, str, list, dict, or an `Unset`.
        annotation: any type hint a constructor may carry.
        key: where the value stands, `data.seq_len`.
    """
    if value is UNREADABLE or is_node(value) or isinstance(annotation, TypeVar | ForwardRef | str):
        return
    if value is MISSING:
        yield ConfigFault(key, value, f"missing; must be {describe_type(annotation)}")
        return
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _annotated(value, annotation, key)
    elif origin in (Union, types.UnionType):
        yield from _union(value, get_args(annotation), key)
    elif not _fits(value, annotation):
        options = [str(option) for option in get_args(annotation)] if origin is Literal else []
        near = nearest(value, options) if isinstance(value, str) else None
        hint = f"did you mean {near}?" if near else how_to_write(value, [annotation])
        above, _, option = key.rpartition(".")
        if isinstance(value, dict) and above.count(".") == 1:  # data.covariates.file
            hint = f"an option of a group is chosen by name: {above.partition('.')[2]}={option}"
        yield ConfigFault(key, value, f"must be {describe_type(annotation)}", hint)
    elif isinstance(value, float) and not math.isfinite(value):
        yield ConfigFault(key, value, "must be a finite number")
    elif isinstance(value, list):
        for index, (item, rule) in enumerate(zip(value, _item_rules(annotation, len(value)), strict=True)):
            yield from violations(item, rule, f"{key}[{index}]")
    elif isinstance(value, dict) and len(get_args(annotation)) == 2:
        key_rule, item_rule = get_args(annotation)
        for name, item in value.items():
            yield from violations(name, key_rule, f"{key}.{name}")
            yield from violations(item, item_rule, f"{key}.{name}")


def is_node(value: object) -> bool:
    """Whether a value is a mapping that builds something."""
    return isinstance(value, dict) and "_target_" in value


def describe_type(annotation: Any) -> str:
    """What an annotation asks for, in words that can follow "must be"."""
    return _kind(annotation)[0]


def _fits(value: Any, annotation: Any) -> bool:
    """Whether a value is of the kind an annotation names, whatever its bounds and its items."""
    return _kind(annotation)[1](value)


def _kind(annotation: Any) -> tuple[str, Fits]:
    """The kind an annotation names: in words, and its test."""
    kind, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if kind is Annotated:
        return _kind(arguments[0])
    if kind in (Union, types.UnionType):
        arms = [_kind(arm) for arm in arguments]
        words = " or ".join(dict.fromkeys(words for words, _ in arms))
        return words, lambda value: any(fits(value) for _, fits in arms)
    if kind is Literal:
        words = f"one of {', '.join(str(option) for option in arguments)}"
        return words, lambda value: any(type(value) is type(one) and value == one for one in arguments)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return "a mapping", lambda value: isinstance(value, dict)
    if isinstance(kind, type) and issubclass(kind, os.PathLike):
        return "a path", lambda value: isinstance(value, str)
    return "a mapping with _target_", is_node


def how_to_write(value: Any, kinds: Sequence[Any]) -> str:
    """How a value that was taken for another kind is typed: `7203` as text, one name as a list; else nothing."""
    if not isinstance(value, str | bool | int | float):
        return ""
    typed = value if isinstance(value, str) else str(value).lower()
    if any(get_origin(kind) in _LISTS and get_args(kind)[:1] == (str,) for kind in kinds):
        return f"in brackets it is a list: [{typed}]"
    return f"in quotes it is text: '{typed}'" if str in kinds and not isinstance(value, str) else ""


def describe_rule(annotation: Any) -> str:
    """The whole rule of an annotation: `an integer >= 1 or null`; empty where it takes anything."""
    kind = get_origin(annotation) or annotation
    if kind in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(filter(None, map(describe_rule, get_args(annotation)))))
    if kind is Annotated:
        base, *metadata = get_args(annotation)
        words = [text.removeprefix("be ") for item in metadata for text, _ in _bounds(item)]
        return " ".join([describe_rule(base), " and ".join(words).replace("have at", "with at")]).strip()
    return "" if describe_type(annotation) == "given" else describe_type(annotation)


def _annotated(value: Any, annotation: Any, key: str) -> Iterator[ConfigFault]:
    base, *metadata = get_args(annotation)
    deeper = list(violations(value, base, key))
    yield from deeper
    if deeper or value is None:
        return
    bounds = [bound for item in metadata for bound in _bounds(item)]
    yield from (ConfigFault(key, value, f"must {words}") for words, holds in bounds if not holds(value))


def _bounds(metadata: object) -> Iterator[tuple[str, Callable[[Any], bool]]]:
    """The words and the test of each bound in one item of Annotated's metadata."""
    if isinstance(metadata, annotated_types.GroupedMetadata):  # Interval, Len
        for part in metadata:
            yield from _bounds(part)
        return
    for kind, attribute, compare, sign in _BOUNDS:
        if isinstance(metadata, kind):
            limit = getattr(metadata, attribute)
            yield f"be {sign} {limit}", partial(compare, limit)
            return
    if isinstance(metadata, annotated_types.MinLen):
        least = metadata.min_length
        yield f"have at least {least} item{'s' * (least != 1)}", lambda value: len(value) >= least
    elif isinstance(metadata, annotated_types.MaxLen):
        most = metadata.max_length
        yield f"have at most {most} item{'s' * (most != 1)}", lambda value: len(value) <= most
    elif isinstance(metadata, annotated_types.BaseMetadata):
        raise TypeError(f"{metadata!r} in a signature: no such rule in forecast.config.checking yet")


def _union(value: Any, arms: tuple[Any, ...], key: str) -> Iterator[ConfigFault]:
    """The faults in the arm that was most likely meant; none if any arm takes the value."""
    if any(not list(violations(value, arm, key)) for arm in arms):
        return
    meant = [arm for arm in arms if _fits(value, arm)]
    if not meant and len(arms) == 2 and type(None) in arms:
        meant = [arm for arm in arms if arm is not type(None)]
    if not meant:
        rule = "must be " + " or ".join(dict.fromkeys(map(describe_type, arms)))
        yield ConfigFault(key, value, rule, how_to_write(value, arms))
        return
    null = " or null" if type(None) in arms else ""
    for fault in violations(value, meant[0], key):
        yield fault._replace(rule=fault.rule + null) if fault.key == key else fault


def _item_rules(annotation: Any, length: int) -> Sequence[Any]:
    """The rule of each item of a list, as far as the annotation says."""
    arguments = get_args(annotation)
    if get_origin(annotation) is tuple and arguments and arguments[-1] is not Ellipsis:
        return [*arguments, *[Any] * length][:length]
    return [arguments[0] if arguments else Any] * length
