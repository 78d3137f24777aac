"""The text of a run's config.yaml: all it was made of, in a form that Hydra can run again, from any folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from omegaconf import DictConfig, OmegaConf

from forecast.config.building import locate, signature
from forecast.config.composing import CONFIG_NAME, conf_folder, hydra_node, launch_folder, resolved
from forecast.files import LocalPath, LocalUrl

_INTERPOLATION = re.compile(r"(\\*)\$\{")
_SQLITE = re.compile(r"(sqlite(?:\+\w+)?:///)(?!/|:memory:)(.+)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


def snapshot(
    config: DictConfig, *, provenance: dict[str, Any], found: Mapping[str, Mapping[str, Any]] | None = None
) -> str:
    """A config as YAML that `python run.py -cd DIR -cn config` runs again.

    Args:
        config: the task config; saved without interpolations and without an earlier run's provenance and metadata,
            relative paths as absolute ones.
        provenance: where the run came from; plain values.
        found: what sources found out, so that a replay reads their files alike: dotted key of each one's node ->
            more of its arguments.

    Returns:
        the task's keys, `provenance`, and the settings of Hydra that the config it was started from had, such
        as where run directories go; not those of the command line, or a replay would overwrite the run.

    Raises:
        UserError: a key of the config cannot be resolved.
    """
    # The primary config's own text, uncomposed: conf/run.yaml, or the saved config that is replayed.
    text = next((path for path in _primary_files(config) if path.is_file()), None)
    started = {} if text is None else _read(text, text.stat().st_mtime_ns)
    hydra = {name: value for name, value in started.get("hydra", {}).items() if name != "help"}
    defaults = [entry for entry in started.get("defaults", []) if _is_hydras(entry)]
    body = {**resolved(config), "provenance": provenance}
    for key, arguments in (found or {}).items():
        node: Any = body
        for part in key.split("."):
            node = node[int(part)] if isinstance(node, list) else node[part]
        node.update(arguments)
    absolute_paths(body, launch_folder(config))
    saved: dict[str, Any] = {
        **({"defaults": [*defaults, "_self_"]} if defaults else {}),
        **{name: _literal(value) for name, value in body.items()},
        **({"hydra": hydra} if hydra else {}),
    }
    return OmegaConf.to_yaml(OmegaConf.create(saved))


def with_metadata(text: str, metadata: Mapping[str, Any]) -> str:
    """A saved config with what made it a champion; it runs as before, for a replay leaves `metadata` aside."""
    saved = OmegaConf.create(text)
    assert isinstance(saved, DictConfig)
    saved["metadata"] = OmegaConf.create({name: _literal(value) for name, value in metadata.items()})
    return OmegaConf.to_yaml(saved)


def absolute_paths(tree: Any, folder: Path) -> None:
    """Make relative paths absolute, in place: of every node, the arguments marked `LocalPath` or `LocalUrl`.

    Args:
        tree: a config, or plain dicts and lists.
    """
    if isinstance(tree, Mapping):
        for name, absolute in _path_arguments(tree.get("_target_")):
            value = tree.get(name)
            if isinstance(value, str):
                tree[name] = absolute(value, folder)  # type: ignore[index]
    items = tree.values() if isinstance(tree, Mapping) else tree
    for item in items:
        if isinstance(item, Mapping) or (not isinstance(item, str) and hasattr(item, "append")):
            absolute_paths(item, folder)


def _path_arguments(target: Any) -> Iterator[tuple[str, Callable[[str, Path], str]]]:
    """The names of a constructor's arguments that are paths or URLs, and how each is made absolute."""
    if not isinstance(target, str):
        return
    try:
        known = signature(locate(target))
    except ImportError:
        return  # refused by the check, where it matters
    for name, parameter in known.parameters.items() if known else ():
        annotation = parameter.annotation
        arms = [annotation, *(() if get_origin(annotation) is Annotated else get_args(annotation))]
        for mark in (item for arm in arms for item in getattr(arm, "__metadata__", ())):
            if isinstance(mark, LocalPath):
                yield name, _absolute_path
            elif isinstance(mark, LocalUrl):
                yield name, _absolute_url


def _absolute_path(value: str, folder: Path) -> str:
    return value if _SCHEME.match(value) else os.path.abspath(folder / Path(value).expanduser())


def _absolute_url(value: str, folder: Path) -> str:
    found = _SQLITE.fullmatch(value)
    return f"{found[1]}{os.path.abspath(folder / found[2])}" if found else value


@lru_cache(maxsize=8)  # every job of a sweep was started from the same
def _read(path: Path, _: int) -> dict[str, Any]:
    """What a YAML file holds, as long as it is not written again; not to be altered."""
    loaded = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    return {str(name): value for name, value in loaded.items()} if isinstance(loaded, dict) else {}


def _primary_files(config: DictConfig) -> Iterator[Path]:
    node = hydra_node(config)
    if node is None:
        yield conf_folder() / f"{CONFIG_NAME}.yaml"
        return
    for source in node.runtime.config_sources:
        if source.schema == "file":
            yield Path(source.path) / f"{str(node.job.config_name).removesuffix('.yaml')}.yaml"


def _is_hydras(entry: object) -> bool:
    """Whether an entry of a defaults list chooses one of Hydra's own options."""
    return isinstance(entry, dict) and any(
        str(name).startswith(("override hydra/", "override /hydra/")) for name in entry
    )


def _literal(value: Any) -> Any:
    """Text that holds `${` stays text when it is read back."""
    if isinstance(value, dict):
        return {name: _literal(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_literal(item) for item in value]
    if isinstance(value, str):
        return _INTERPOLATION.sub(lambda found: found[1] * 2 + r"\${", value)
    return value
