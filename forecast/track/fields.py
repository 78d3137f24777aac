"""Values in the form MLflow takes them: flat, short, finite, in batches."""

from __future__ import annotations

import json
import logging
import math
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from forecast.track.uri import masked

T = TypeVar("T")

# MLflow's own limits (mlflow.utils.validation).
MAX_KEY, MAX_PARAM, MAX_TAG = 250, 6000, 8000
MAX_PARAMS_A_CALL, MAX_METRICS_A_CALL = 100, 1000
# A call may weigh 1e6 bytes of JSON; a letter outside ASCII weighs six, names and brackets come on top.
MAX_LETTERS_A_CALL = 150_000

logger = logging.getLogger(__name__)


def flatten(tree: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Return nested mappings as one level, keys joined by dots, lists as JSON, values cut to MLflow's limit.

    Args:
        tree: what describes the run, most often its config.
        prefix: what every key begins with.
    """
    flat: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[name_of(f"{prefix}{key}")] = cut(masked(_text(value)), MAX_PARAM)
    return flat


def tags_of(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags with names and lengths MLflow takes."""
    return {name_of(key): cut(masked(str(value)), MAX_TAG) for key, value in tags.items()}


def finite(metrics: Mapping[str, float | None], *, noted: set[str]) -> dict[str, float]:
    """Return the metrics that are finite numbers; None is left out, NaN and infinities too but with a note.

    Args:
        metrics: name and value.
        noted: names a note was made of already, one is enough; filled in.
    """
    kept: dict[str, float] = {}
    for key, value in metrics.items():
        if value is None:
            continue
        if math.isfinite(number := float(value)):
            kept[name_of(key)] = number
        elif key not in noted:
            noted.add(key)
            logger.info("%s=%s is not sent to MLflow, which draws finite numbers only", key, number)
    return kept


def name_of(key: str) -> str:
    """Return the name with letters MLflow refuses replaced by _."""
    key = re.sub(r"[^\w.\- :/]", "_", key)
    if posixpath.normpath(key) != key or key.startswith(("/", "..")) or key == ".":
        key = "_" + key.replace("/", "_")
    return key[:MAX_KEY]


def cut(text: str, limit: int) -> str:
    """Return the text, its end replaced by … where it is longer than the limit."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def batches(items: Sequence[tuple[T, int]], most: int) -> Iterator[list[T]]:
    """Yield the items in as few calls as MLflow's limits allow.

    Args:
        items: each with its length in letters.
        most: items a call.
    """
    batch: list[T] = []
    weight = 0
    for item, letters in items:
        if batch and (len(batch) == most or weight + letters > MAX_LETTERS_A_CALL):
            yield batch
            batch, weight = [], 0
        batch.append(item)
        weight += letters
    if batch:
        yield batch


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, (bool, int, float, Mapping, Sequence)):
        return json.dumps(value, default=_plain, ensure_ascii=False)
    return str(value)


def _plain(value: object) -> object:
    """Config containers are mappings and sequences, though not dicts and lists."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Sequence) else str(value)
