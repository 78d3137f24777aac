"""Does a value keep the rule its annotation states? The rule's words come from the annotation alone."""

from __future__ import annotations

import math
import operator
import os
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ForwardRef, Literal, TypeVar, Union, get_args, get_origin

import annotated_types

from forecast.config.faults import MISSING, UNREADABLE, Fault
from forecast.config.nearest import nearest

_NOUNS = {bool: "true or false", int: "an integer", float: "a number", str: "text", type(None): "null"}
_LISTS = (list, tuple, set, frozenset, Sequence, Iterable, Collection)
# The comparison as the limit sees it: limit <= value.
_BOUNDS: tuple[tuple[type, str, Callable[[Any, Any], bool], str], ...] = (
    (annotated_types.Ge, "ge", operator.le, ">="),
    (annotated_types.Gt, "gt", operator.lt, ">"),
    (annotated_types.Le, "le", operator.ge, "<="),
    (annotated_types.Lt, "lt", operator.gt, "<"),
)


def broken(value: Any, annotation: Any, key: str) -> Iterator[Fault]:
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
        yield Fault(key, value, f"missing; must be {noun(annotation)}")
        return
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _annotated(value, annotation, key)
    elif origin in (Union, types.UnionType):
        yield from _union(value, get_args(annotation), key)
    elif not fits(value, annotation):
        options = [str(option) for option in get_args(annotation)] if origin is Literal else []
        near = nearest(value, options) if isinstance(value, str) else None
        yield Fault(key, value, f"must be {noun(annotation)}", f"did you mean {near}?" if near else "")
    elif isinstance(value, float) and not math.isfinite(value):
        yield Fault(key, value, "must be a finite number")
    elif isinstance(value, list):
        for index, (item, rule) in enumerate(zip(value, _item_rules(annotation, len(value)), strict=True)):
            yield from broken(item, rule, f"{key}[{index}]")
    elif isinstance(value, dict) and len(get_args(annotation)) == 2:
        key_rule, item_rule = get_args(annotation)
        for name, item in value.items():
            yield from broken(name, key_rule, f"{key}.{name}")
            yield from broken(item, item_rule, f"{key}.{name}")


def is_node(value: object) -> bool:
    """Whether a value is a mapping that builds something."""
    return isinstance(value, dict) and "_target_" in value


def fits(value: Any, annotation: Any) -> bool:
    """Whether a value is of the kind an annotation names, whatever its bounds and its items."""
    kind = get_origin(annotation) or annotation
    if kind is Annotated:
        return fits(value, get_args(annotation)[0])
    if kind in (Union, types.UnionType):
        return any(fits(value, arm) for arm in get_args(annotation))
    if kind is Literal:
        return any(type(value) is type(option) and value == option for option in get_args(annotation))
    if annotation is None or kind is type(None):
        return value is None
    if kind is bool or kind is str:
        return isinstance(value, kind)
    if kind is int or kind is float:  # True is an int to Python, but not to whoever wrote the config
        return isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    if kind in _LISTS:
        return isinstance(value, list)
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return isinstance(value, dict)
    if isinstance(kind, type) and issubclass(kind, os.PathLike):
        return isinstance(value, str)
    return kind is Any or kind is object or is_node(value)


def noun(annotation: Any) -> str:
    """What an annotation asks for, in words that can follow "must be"."""
    kind = get_origin(annotation) or annotation
    if kind is Annotated:
        return noun(get_args(annotation)[0])
    if kind in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(noun(arm) for arm in get_args(annotation)))
    if kind is Literal:
        return f"one of {', '.join(str(option) for option in get_args(annotation))}"
    if annotation is None:
        return "null"
    if kind in _NOUNS:
        return _NOUNS[kind]
    if kind in _LISTS:
        return "a list"
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return "a mapping"
    if isinstance(kind, type) and issubclass(kind, os.PathLike):
        return "a path"
    return "given" if kind is Any or kind is object else "a mapping with _target_"


def _annotated(value: Any, annotation: Any, key: str) -> Iterator[Fault]:
    base, *metadata = get_args(annotation)
    deeper = list(broken(value, base, key))
    yield from deeper
    if deeper or value is None:
        return
    bounds = [bound for item in metadata for bound in _bounds(item)]
    yield from (Fault(key, value, f"must {words}") for words, holds in bounds if not holds(value))


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
        raise TypeError(f"{metadata!r} in a signature: no such rule in forecast.config.rules yet")


def _union(value: Any, arms: tuple[Any, ...], key: str) -> Iterator[Fault]:
    """The faults in the arm that was most likely meant; none if any arm takes the value."""
    if any(not list(broken(value, arm, key)) for arm in arms):
        return
    meant = [arm for arm in arms if fits(value, arm)]
    if not meant and len(arms) == 2 and type(None) in arms:
        meant = [arm for arm in arms if arm is not type(None)]
    if not meant:
        yield Fault(key, value, "must be " + " or ".join(dict.fromkeys(noun(arm) for arm in arms)))
        return
    null = " or null" if type(None) in arms else ""
    for fault in broken(value, meant[0], key):
        yield fault._replace(rule=fault.rule + null) if fault.key == key else fault


def _item_rules(annotation: Any, length: int) -> Sequence[Any]:
    """The rule of each item of a list, as far as the annotation says."""
    arguments = get_args(annotation)
    if get_origin(annotation) is tuple and arguments and arguments[-1] is not Ellipsis:
        return [*arguments, *[Any] * length][:length]
    return [arguments[0] if arguments else Any] * length
