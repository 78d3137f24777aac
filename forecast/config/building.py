"""From a node of the config to the object it describes: find its class, read its signature, build it."""

from __future__ import annotations

import importlib.util
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from omegaconf import DictConfig

from forecast.config.messages import nearest, one_line
from forecast.config.renamed import rename_targets, renamed
from forecast.errors import UserError


class Signature(NamedTuple):
    """The arguments a target takes by keyword, each with its annotation; `Any` where there is none."""

    parameters: dict[str, inspect.Parameter]
    positional: list[str]
    takes_any_key: bool


def build(node: DictConfig | Mapping[str, Any] | None, **supplied: Any) -> Any:
    """Build what a node with `_target_` describes.

    Args:
        node: lists and mappings in it arrive as plain ones; nested nodes are built first, unless the node
            says `_recursive_: false`. None stays None.
        supplied: arguments known only now; they stand above the node's own.

    Raises:
        UserError: a constructor refused its arguments, or Hydra refused the target.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    if node is None:
        return None
    rename_targets(node)
    try:
        # In two steps, so that what is supplied reaches the constructor as it is: instantiate would take a
        # dataclass for a config, and would wrap the constructor's own exception.
        make = instantiate(node, _partial_=True, _convert_="all")
        return make(**supplied)
    except InstantiationException as error:
        cause = error.__cause__
        while isinstance(cause, InstantiationException):
            cause = cause.__cause__
        if isinstance(cause, UserError):
            key = str(error).rpartition("full_key: ")[2]
            if key.startswith("data.covariates."):  # of which there are several, each with the same keys
                text = str(cause)
                if text.startswith("source."):
                    key = key.removesuffix(".source")
                raise UserError(
                    f"{key}{'.' if text.partition('=')[0].replace('.', '').isidentifier() else ': '}{text}"
                ) from None
            raise cause from None
        if cause is None:
            raise UserError(one_line(error)) from error
        raise


def locate(path: str) -> Callable[..., Any]:
    """The class or function a dotted path names, also by an older name of it.

    Raises:
        ImportError: the reason in one line, whatever went wrong on the way.
    """
    try:
        thing = _walk(renamed(path).split("."))
    except ImportError:
        raise
    except Exception as error:
        # A module may raise anything while it is imported; the config names it, so say why it cannot be.
        raise ImportError(f"{type(error).__name__}: {one_line(error)}") from error
    if not callable(thing):
        raise ImportError("it is no class or function")
    return typing.cast(Callable[..., Any], thing)


def signature(target: Callable[..., Any]) -> Signature | None:
    """What `target` takes, or None when it does not say (some built-in types)."""
    try:
        found = inspect.signature(target).parameters.values()
    except (ValueError, TypeError):
        return None
    names = _namespace(target)
    parameters = [parameter.replace(annotation=_annotation(parameter, names)) for parameter in found]
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return Signature(
        parameters={p.name: p for p in parameters if p.kind in by_keyword},
        positional=[p.name for p in parameters if p.kind in by_position],
        takes_any_key=any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters),
    )


def _annotation(parameter: inspect.Parameter, names: dict[str, Any]) -> Any:
    """The annotation as a type; `Any` where a name in it can only be seen by a type checker."""
    if parameter.annotation is inspect.Parameter.empty:
        return Any
    holder = types.SimpleNamespace(__annotations__={"hint": parameter.annotation})
    try:
        return typing.get_type_hints(holder, globalns=names, include_extras=True)["hint"]
    except NameError:
        return Any


def _namespace(target: Callable[..., Any]) -> dict[str, Any]:
    """Where the names in a target's annotations live: the module of the function that takes the arguments."""
    makers = (
        [getattr(target, name) for name in ("__init__", "__new__")] if isinstance(target, type) else [target]
    )
    for function in map(inspect.unwrap, makers):
        if hasattr(function, "__globals__"):
            return dict(function.__globals__)
    return {}


def _walk(parts: list[str]) -> object:
    """Import the first part, then go down attribute by attribute, importing where one is a module."""
    thing: object = importlib.import_module(parts[0])
    for end, part in enumerate(parts[1:], start=2):
        if hasattr(thing, part):
            thing = getattr(thing, part)
        elif hasattr(thing, "__path__") and importlib.util.find_spec(".".join(parts[:end])) is not None:
            thing = importlib.import_module(".".join(parts[:end]))
        else:
            near = nearest(part, [*getattr(thing, "__all__", ()), *dir(thing)])
            hint = f"; did you mean {near}?" if near else ""
            raise ImportError(f"{'.'.join(parts[: end - 1])} has no {part}{hint}")
    return thing
