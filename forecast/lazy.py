"""Imports that cost less: names of a package are imported when they are first used, garbage is looked for rarely."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy(
    package: str, modules: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """What a package's `__init__` calls `__getattr__`, `__dir__` and `__all__` (PEP 562).

    Args:
        package: its `__name__`.
        modules: of the package, each with the names that are taken from it.
    """
    home = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home[name]}"), name)

    names = sorted(home)
    return get, lambda: names, names


def collect_rarely() -> None:
    """Have a process of our own look for garbage seldom, before it imports what is heavy.

    The imports of a run make a million objects that stay. With Python's own thresholds they are looked through again
    and again while they grow in number, a sixth of the processor time of a default run; memory is the same.
    """
    gc.set_threshold(50_000, 20, 20)
