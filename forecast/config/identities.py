"""What makes two runs the same run, and two requests for data the same request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import Any

from omegaconf import DictConfig

from forecast.config.reading import resolved

# What cannot change a result, so that a run is recognised wherever it was recorded.
_NO_EFFECT = (
    "tracker",  # where it is recorded
    "champion",  # what is made of it later
    "cluster",  # where it runs
    "tuner",  # what else is tried
    "source",  # where bars come from; the fingerprint of the bars stands for it
    "on_data_change",  # whether a replay goes on, not how
    "trainer.progress",  # what is shown meanwhile
)
# How a source gets its bars, not which: the same request may be answered from a cache, or at another pace.
_HOW_FETCHED = ("cache_dir", "force_download", "offline", "pace_s", "retries", "timeout_s")
_WHICH_BARS = ("tickers", "period", "start", "end", "health")


def identity(
    config: DictConfig, *, fingerprint: str, version: str, only: Collection[str] | None = None
) -> str:
    """Name what a run computes: same name, same result.

    Args:
        config: the task config.
        fingerprint: of the bars it uses.
        version: of this package.
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
    text = json.dumps(
        {"task": _canonical(task), "fingerprint": fingerprint, "version": version}, sort_keys=True
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def data_request(config: DictConfig) -> dict[str, Any]:
    """The part of a config that decides which bars are asked for, as plain Python."""
    task = resolved(config)
    source, data = task.get("source") or {}, task.get("data") or {}
    return {
        "source": {name: value for name, value in source.items() if name not in _HOW_FETCHED},
        "data": {name: data[name] for name in _WHICH_BARS if name in data},
    }


def _canonical(value: Any) -> Any:
    """1.0 and 1 are the same number, however they were typed."""
    if isinstance(value, dict):
        return {str(name): _canonical(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
