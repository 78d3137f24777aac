"""Which classes a bundle may name: those made for it, and nothing else that can be imported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from forecast.errors import UserError

# Of this package only the packages whose classes a config is made of; none of them acts on what it is built with.
ALLOWED = (
    "forecast.config.ChampionConfig",
    "forecast.config.multirun.Announce",
    "forecast.config.multirun.SweepCallback",
    "forecast.data",
    "forecast.evaluate",
    "forecast.model",
    "forecast.track.MLflowTracker",
    "torch.nn",
)
_UNBUILT = ("hydra", "provenance")  # nodes of a saved config that nothing is built of


def check_targets(config: dict[str, Any], *, where: str, also: Sequence[str] = ()) -> None:
    """Refuse a config with a `_target_` that is not allowed, before anything it names is imported.

    Raises:
        UserError: the first one that is not.
    """
    allowed = (*ALLOWED, *also)
    task = {name: node for name, node in config.items() if name not in (*_UNBUILT, "metadata")}
    for key, target in _targets(task):
        if not isinstance(target, str) or not any(_within(target, name) for name in allowed):
            raise UserError(
                f"{where}: {key}={target}: is not among the targets that may be served ({', '.join(allowed)}); "
                "allow what you trust with allow=[package.module]"
            )


def check_plain(config: Any, *, where: str) -> None:
    """Refuse a config with something left to look up: a run saves what it used, and `${oc.env:KEY}` reads secrets.

    Raises:
        UserError: the first such value.
    """
    for key, _, text in _walk({name: node for name, node in config.items() if name not in _UNBUILT}):
        if isinstance(text, str) and "${" in text:
            raise UserError(f"{where}: {key}={text[:80]}: is no value, so the run did not save it")


def check_built(node: Any, *, where: str, also: Sequence[str] = ()) -> None:
    """Refuse a node whose targets are not classes that the allowed modules define themselves.

    `forecast.data.market.os.system` is a name within `forecast.data`, and no class of it.

    Raises:
        UserError: the first one that is not.
    """
    from forecast.config.building import locate

    for key, target in _targets(node):
        try:
            found = locate(target)
        except ImportError as error:
            raise UserError(f"{where}: {key}={target}: cannot be imported: {error}") from error
        home = f"{found.__module__}.{getattr(found, '__qualname__', '')}"
        if not isinstance(found, type) or not any(_within(home, name) for name in (*ALLOWED, *also)):
            raise UserError(f"{where}: {key}={target}: is {home}, no class that may be served")


def _within(target: str, name: str) -> bool:
    return target == name or target.startswith(f"{name}.")


def _targets(node: Any) -> Iterator[tuple[str, Any]]:
    """Every `_target_` at or below a node, with its key."""
    return ((key, value) for key, name, value in _walk(node) if name == "_target_")


def _walk(node: Any, key: str = "", name: Any = None) -> Iterator[tuple[str, Any, Any]]:
    """A node and all below it: key, last name of the key, value."""
    yield key, name, node
    if isinstance(node, dict):
        for below, item in node.items():
            yield from _walk(item, f"{key}.{below}" if key else str(below), below)
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _walk(item, f"{key}[{index}]")
