"""Keys as a user would set them, and the numbers they hold."""

from __future__ import annotations

import math
from typing import Any

from omegaconf import DictConfig

from hydra_plugins.ray_tune_sweeper._errors import SweepError

ABOVE = "hydra.sweeper"  # where the sweeper's own keys are


def key_of(node: Any, key: str, *, above: str) -> str:
    """What to call a key in a message: where a node takes it from another by interpolation, that other.

    Args:
        node: as composed, interpolations in place.
        key: below it, dotted.
        above: what the node itself is called.
    """
    parts = key.split(".")
    for at, part in enumerate(parts):
        inner = node._get_node(part, validate_access=False) if _has_keys(node) else None
        text = inner._value() if inner is not None else None
        if isinstance(text, str) and text.startswith("${") and text.endswith("}"):
            return ".".join([text[2:-1], *parts[at + 1 :]])
        node = inner
    return f"{above}.{key}"


def _has_keys(node: Any) -> bool:
    return isinstance(node, DictConfig) and not node._is_none()


def number(name: str, value: Any, *, least: float, whole: bool = False) -> float:
    """A number that is none too small.

    Raises:
        SweepError: it is no number, or too small.
    """
    kind = "a whole number" if whole else "a number"
    wrong = isinstance(value, bool) or not isinstance(value, int if whole else int | float)
    if wrong or not math.isfinite(value) or value < least:
        raise SweepError(f"{name}={value}: must be {kind} >= {least:g}")
    return float(value)
