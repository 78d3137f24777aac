"""Hold a composed config against the signatures of what it will build, before anything is built."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterator
from typing import Annotated, Any, Literal, Protocol

from annotated_types import Interval, MinLen
from omegaconf import DictConfig

from forecast.config.faults import MISSING, Fault, Unset
from forecast.config.nearest import did_you_mean
from forecast.config.reading import plain
from forecast.config.refusals import SAVED_CONFIG
from forecast.config.rules import broken, is_node
from forecast.config.targets import Signature, locate, signature
from forecast.errors import UserError

# Arguments known only while the staircase is built, by where their node stands; a YAML may leave them out.
SUPPLIED: dict[str, frozenset[str]] = {
    "data": frozenset({"source"}),
    "model": frozenset({"input_size", "lookback", "output_size"}),
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
    model: Node,
    trainer: Node | None,
    tracker: Node | None,
    evaluation: Node | None = None,
    baselines: Node | None = None,
    intervals: Node | None = None,
    champion: Node | None = None,
    **others: Any,
) -> None:
    """The keys of a config's root; nobody calls this, its signature is what the root is checked against."""


def objective(*, metric: Annotated[str, MinLen(1)], mode: Literal["min", "max"]) -> None:
    """The keys of `objective`, likewise."""


def check(config: DictConfig, *, only: Collection[str] | None = None) -> None:
    """Refuse a config that cannot be built, before anything is built or fetched.

    Every node with `_target_`, however deep, is bound to the signature of what it names, and every value is
    held against its annotation.

    Args:
        config: a composed task config.
        only: groups whose nodes will be built, where that is not all: those of the others are not looked into.

    Raises:
        UserError: all faults at once, one a line: `data.seq_len=0: must be >= 1`.
    """
    tree, unreadable = plain(config)
    faults: dict[str, Fault] = {}
    looked_into = tree if only is None else {name: node for name, node in tree.items() if name in only}
    for fault in [*unreadable, *_root(tree), *_nodes(looked_into, "")]:
        faults.setdefault(fault.key, fault)  # the first is the most telling
    if faults:
        raise UserError("\n".join(str(fault) for fault in faults.values()))


def _root(tree: dict[str, Any]) -> Iterator[Fault]:
    if is_node(tree):
        return  # it says itself what it is, as conf/serve.yaml does
    root = signature(task)
    assert root is not None
    for fault in _arguments(tree, root, "", frozenset()):
        parameter = root.parameters.get(fault.key)
        if parameter and isinstance(fault.value, str) and parameter.annotation in (Node, Node | None):
            yield Fault(fault.key, fault.value, SAVED_CONFIG.format(choice=f"{fault.key}={fault.value}"))
        else:
            yield fault
    if isinstance(tree.get("objective"), dict):
        keys = signature(objective)
        assert keys is not None
        yield from _arguments(tree["objective"], keys, "objective", frozenset())


def _nodes(value: Any, key: str) -> Iterator[Fault]:
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
        yield Fault(key, value, "missing")


def _node(node: dict[str, Any], key: str) -> Iterator[Fault]:
    target = node["_target_"]
    if isinstance(target, Unset):
        return
    if not isinstance(target, str):
        yield Fault(f"{key}._target_", target, "must be text: package.module.Class")
        return
    try:
        known = signature(locate(target))
    except ImportError as error:
        yield Fault(f"{key}._target_", target, f"cannot be imported: {error}")
        return
    if known is not None:
        yield from _arguments(node, known, key, SUPPLIED.get(re.sub(r"\[\d+\]", "[*]", key), frozenset()))


def _arguments(node: dict[str, Any], known: Signature, key: str, supplied: frozenset[str]) -> Iterator[Fault]:
    """Bind a mapping to a signature."""
    prefix = f"{key}." if key else ""
    given = {name: value for name, value in node.items() if name not in _RESERVED}
    for name, value in given.items():
        if name in known.parameters:
            yield from broken(value, known.parameters[name].annotation, prefix + name)
        elif not known.takes_any_key:
            allowed = [other for other in known.parameters if other not in supplied]
            yield Fault(prefix + name, value, "unknown key", did_you_mean(name, allowed))
    positional = node.get("_args_")
    by_position = known.positional[: len(positional)] if isinstance(positional, list) else []
    if node.get("_partial_") is True:
        return  # whoever calls it gives the rest
    present = {*given, *by_position, *supplied}
    for name, parameter in known.parameters.items():
        if name not in present and parameter.default is inspect.Parameter.empty:
            yield from broken(MISSING, parameter.annotation, prefix + name)
