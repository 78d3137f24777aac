"""Alter a run directory and write its manifest anew, as an attacker could."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml


def rewrite_manifest(run: Path, *, also: Sequence[str] = ()) -> None:
    """Make the manifest true again, and have it name other files besides."""
    manifest = json.loads((run / "manifest.json").read_text())
    names = [*manifest["files"], *also]
    manifest["files"] = {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in names}
    (run / "manifest.json").write_text(json.dumps(manifest))


def set_config(run: Path, key: str, value: Any) -> None:
    """Put a value into the saved config, and nodes above it where there are none."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    node = config
    *above, last = key.split(".")
    for name in above:
        if not isinstance(node.get(name), dict):
            node[name] = {}
        node = node[name]
    node[last] = value
    (run / "config.yaml").write_text(yaml.safe_dump(config))
