"""What makes two runs the same run, and two requests for data the same request."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import json
import sys
import sysconfig
from collections.abc import Collection, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from forecast.config.building import locate
from forecast.config.composing import resolved
from forecast.config.renamed import targets

# What cannot change a result, so that a run is recognised wherever it was recorded.
_NO_EFFECT = (
    "tracker",  # where it is recorded
    "champion",  # what is made of it later
    "cluster",  # where it runs
    "tuner",  # what else is tried
    "source",  # where bars come from; the fingerprint of the bars stands for it
    "on_data_change",  # whether a replay goes on, not how
    "trainer.progress",  # what is shown meanwhile
    "plots",  # what is drawn of it
)
# How a source gets its bars, not which: the same request may be answered from a cache, or at another pace.
_HOW_FETCHED = ("cache_dir", "force_download", "offline", "pace_s", "retries", "timeout_s", "layouts")
_WHICH_BARS = ("tickers", "period", "start", "end", "health")

_OURS = ("forecast", "hydra_plugins")


def identity(
    config: DictConfig, *, fingerprint: str, version: str, only: Collection[str] | None = None
) -> str:
    """Name what a run computes: same name, same result.

    It covers the config, the bars, this package (its version and its source), torch's version, and the source of
    every class that the config names from elsewhere.

    Args:
        only: keys of the root that matter to what is named; None = all.

    Returns:
        16 hexadecimal digits.
    """
    task = {name: node for name, node in resolved(config).items() if only is None or name in only}
    for key in _NO_EFFECT:
        *above, last = key.split(".")
        node = task
        for name in above:
            node = node.get(name) or {}
        node.pop(last, None)
    data = task.get("data") or {}
    if not data.get("covariates", True):
        del data["covariates"]  # none, as of a run of before there were any
    for node in _nodes(data.get("covariates")):
        node.pop("source", None)
    facts = {
        "task": _canonical(task),
        "fingerprint": fingerprint,
        "version": version,
        "source": own_source(),
        "torch": installed_version("torch"),
        "plugins": plugin_sources(task),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def data_request(config: DictConfig) -> dict[str, Any]:
    """The part of a config that decides which bars are asked for, as plain Python."""
    task = resolved(config)
    source, data = task.get("source") or {}, task.get("data") or {}
    request = {
        "source": {name: value for name, value in source.items() if name not in _HOW_FETCHED},
        "data": {name: data[name] for name in _WHICH_BARS if name in data},
    }
    if covariates := data.get("covariates"):
        # With them goes what they are looked up for.
        request["covariates"] = {
            "nodes": _without_layouts(covariates),
            "horizon": data.get("horizon"),
            "calendar": data.get("calendar"),
            "target": task.get("target"),
        }
    return request


def _without_layouts(node: Any) -> Any:
    """A node of a config, without how files were found to be written anywhere in it."""
    if isinstance(node, dict):
        return {name: _without_layouts(item) for name, item in node.items() if name != "layouts"}
    return [_without_layouts(item) for item in node] if isinstance(node, list) else node


def _nodes(covariates: Any) -> list[dict[str, Any]]:
    """The nodes of `data.covariates`, a mapping or a list."""
    nodes = covariates.values() if isinstance(covariates, dict) else covariates or []
    return [node for node in nodes if isinstance(node, dict)]


@cache  # the code that runs is what was imported, whatever is edited meanwhile
def own_source() -> str:
    """A hash of this package's source and that of its Hydra plugins, so that edited code is another version."""
    package = Path(__file__).resolve().parents[1]
    return source_hash(package, package.parent / "hydra_plugins")


def source_hash(*folders: Path) -> str:
    """A hash of the names and content of all Python files in folders; of nothing else there."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(folder.rglob("*.py")):
            digest.update(file.relative_to(folder.parent).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def plugin_sources(task: Any) -> dict[str, str]:
    """A hash of the source behind each `_target_` that is neither ours nor torch's, keyed by that `_target_`.

    The source is the file that defines the class, those of its base classes, and what these import from beside them.
    """
    hashes = {}
    for target in sorted({target for _, target in targets(task)}):
        top = target.partition(".")[0]
        if top in (*_OURS, "torch"):
            continue
        try:
            found = locate(target)
        except ImportError:
            continue  # refused by the check, where it matters
        modules = {module.__module__ for module in getattr(found, "__mro__", (found,))}
        files = sorted({file for module in modules for file in _local_files(module, set())})
        text = b"\0".join(file.read_bytes() for file in files)
        hashes[target] = hashlib.sha256(text).hexdigest()[:16] if files else installed_version(top) or ""
    return hashes


def _local_files(module: str, seen: set[str]) -> Iterator[Path]:
    """The source files of a module that was not installed and is not ours, and of all such modules it imports."""
    if module in seen or module.partition(".")[0] in (*_OURS, *sys.stdlib_module_names):
        return
    seen.add(module)
    file = _source_file(module)
    if file is None or any(file.is_relative_to(folder) for folder in _installed_folders()):
        return
    yield file
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(above, package) if node.level else above
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            yield from _local_files(name, seen)


def _source_file(module: str) -> Path | None:
    try:
        if module in sys.modules:
            found = inspect.getsourcefile(sys.modules[module])
        else:
            spec = importlib.util.find_spec(module)
            found = spec.origin if spec is not None and spec.has_location else None
    except (ImportError, TypeError, ValueError, AttributeError):  # no module of its own: a name within one
        return None
    file = Path(found).resolve() if found else None
    return file if file is not None and file.suffix == ".py" and file.is_file() else None


@cache
def _installed_folders() -> tuple[Path, ...]:
    """Where packages are installed: their version stands for their source."""
    paths = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")}
    paths |= {entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))}
    return tuple(Path(path).resolve() for path in paths)


@cache
def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution; None where there is none."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _canonical(value: Any) -> Any:
    """A value with numbers in one form: 1.0 and 1 are the same, however they were typed."""
    if isinstance(value, dict):
        return {str(name): _canonical(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
