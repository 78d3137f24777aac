"""A run directory that was read, proved and made ready to answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.errors import UserError

if TYPE_CHECKING:
    from forecast.bundle.reference import Reference
    from forecast.model.predictor import Predictor


@dataclass(frozen=True, kw_only=True)
class Served:
    """A model that answers.

    Args:
        directory: real folder of the run.
        version: names the model in answers: its folder, and a digest of its manifest.
        predictor: of the run.
        config: the run's config.yaml without what it tells Hydra and what made it a champion, plain values.
        metadata: how it became the champion; None where it did not.
        metrics: of the run.
        loaded_at: UTC.
        reference: what its network was shown in training; None for a run that did not keep it.
    """

    directory: Path
    version: str
    predictor: Predictor
    config: dict[str, Any]
    metadata: dict[str, Any] | None
    metrics: dict[str, float | None]
    loaded_at: datetime
    reference: Reference | None = None


def load_served(directory: Path, *, allow: Sequence[str] = (), device: str = "cpu") -> Served:
    """Read a run directory, and prove that it answers as it did when it was made.

    Args:
        directory: of a finished run, or a link to one.
        allow: modules or classes of plug-ins that its config may name, besides this package's own.
        device: that computes. Another than the processor sums in another order: there forecasts are held to six
            digits of the recorded ones, not to the last bit.

    Raises:
        UserError: not whole, altered, of another version, a target that is not allowed, or other forecasts than
            the run recorded; in one line.
    """
    try:
        return _proven(directory, allow, device)
    except UserError as error:
        told = "; ".join(str(error).splitlines())
        raise UserError(told if str(directory) in told else f"{directory}: {told}") from error
    except Exception as error:
        # There is no end to what a folder that somebody put together can make its readers stumble over.
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{directory}: cannot be served ({told[:500]})") from error


def _proven(directory: Path, allow: Sequence[str], device: str) -> Served:
    import torch
    from omegaconf import DictConfig, OmegaConf

    from forecast import bundle
    from forecast.bundle.reference import read_reference
    from forecast.config.reading import resolved
    from forecast.serve.device import move
    from forecast.serve.quick import quicken
    from forecast.serve.targets import check_built, check_plain, check_targets

    folder = directory.resolve()
    bundle.verify(folder)
    saved = OmegaConf.load(folder / "config.yaml")
    if not isinstance(saved, DictConfig):
        raise UserError(f"{directory / 'config.yaml'}: is damaged (holds no mapping)")
    check_plain(OmegaConf.to_container(saved, resolve=False), where=str(directory))
    config = resolved(saved)
    provenance = OmegaConf.to_container(saved.get("provenance", {}), resolve=False)
    check_targets(config, where=str(directory), also=allow)
    built = {"model": config.get("model"), "data": {"features": config.get("data", {}).get("features")}}
    check_built(built, where=str(directory), also=allow)
    threads = int(config.get("trainer", {}).get("threads", 1))
    torch.set_num_threads(threads)  # sums in another order differ in the last bits
    predictor = bundle.load(folder)
    bundle.replay(folder, predictor)
    if device == "cpu":
        quicken(folder, predictor.forecaster)
    else:
        move(folder, predictor.forecaster, device)
    manifest = (folder / bundle.MANIFEST).read_bytes()
    return Served(
        directory=folder,
        version=f"{folder.name}@{hashlib.sha256(manifest).hexdigest()[:8]}",
        predictor=predictor,
        config={**config, "provenance": provenance},
        metadata=_json(folder / "metadata.json"),
        metrics=_json(folder / "metrics.json") or {},
        loaded_at=datetime.now(UTC),
        reference=read_reference(folder),
    )


def _json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    told = json.loads(path.read_text("utf-8"))
    if not isinstance(told, dict):
        raise UserError(f"{path}: is damaged (holds no mapping)")
    return told
