"""Where a run came from: what was asked, by which code, on which data."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from forecast.config import data_request, origin

_PACKAGES = ("torch", "pytorch-lightning", "numpy", "pandas", "hydra-core", "yfinance", "safetensors")


def provenance(config: Any, *, identity: str, fingerprint: str) -> dict[str, Any]:
    """What stands under `provenance` in a saved config.

    Args:
        config: composed.
        identity: of the run.
        fingerprint: of the bars it used.
    """
    return {
        **origin(config),
        "identity": identity,
        "data_fingerprint": fingerprint,
        "data_request": data_request(config),
        "git_revision": git_revision(),
        "versions": {"forecast": package_version(), **_versions()},
    }


def package_version() -> str:
    """This package's version; that of the source tree where it is not installed."""
    return _version("forecast") or "0+uninstalled"


@cache  # the code that runs is what was imported, whatever is committed meanwhile
def git_revision() -> str | None:
    """The commit of the code, `-dirty` behind it when files differ; None outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        result = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None


def _versions() -> dict[str, str]:
    return {name: found for name in _PACKAGES if (found := _version(name))}


@cache
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
