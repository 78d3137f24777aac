"""A copy of a run directory that is to become the champion: whole, sealed anew, and proved."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forecast import bundle
from forecast.champion.proof import prove
from forecast.config import with_metadata
from forecast.errors import UserError
from forecast.files import write_whole
from forecast.runs import draw_plots

# Not sealed by the run: its log, and what an audit left later.
_BESIDE = ("run.log", "audit.json")


def stage(source: Path, target: Path, told: Mapping[str, Any]) -> int:
    """Copy a run, write its metadata into the copy, and prove that the copy forecasts as the run did.

    Args:
        source: of a finished run.
        target: a folder that does not exist; on any failure the caller removes it.
        told: its metadata.

    Returns:
        how many recorded test windows the copy reproduced.

    Raises:
        UserError: a file is missing or altered, or a forecast differs.
        OSError: the disk does not take it.
    """
    manifest = bundle.verify(source)
    for name in [*manifest["files"], bundle.MANIFEST, *_BESIDE]:
        if name in _BESIDE and not (source / name).is_file():
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
    try:
        bundle.verify(
            target
        )  # the copy is what was sealed, though the disk failed or somebody wrote meanwhile
    except UserError as error:
        raise UserError(str(error).replace(str(target), str(source))) from error
    config = target / "config.yaml"
    write_whole(config, with_metadata(config.read_text("utf-8"), told))
    bundle.write_json(target / "metadata.json", told)
    if not (target / "plots").is_dir():  # a job of a sweep draws none
        draw_plots(target)
    bundle.finish(target, version=manifest["version"])
    _to_disk(target)
    return prove(target, named=str(source))


def passed_audit(directory: Path) -> bool:
    """Whether an audit was left in a run directory, and was passed."""
    try:
        audit = json.loads((directory / "audit.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(audit, dict) and audit.get("passed") is True


def _to_disk(folder: Path) -> None:
    """Have the disk say now that it is full, not after the title is given (over a network it waits that long)."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
