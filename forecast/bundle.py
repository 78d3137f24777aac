"""The run directory: the record of a run and all that is needed to serve it, in one folder, without pickle.

`manifest.json` is written last and holds a checksum of every other file: a directory without it is no finished run,
and one whose files do not match it has been altered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.errors import UserError
from forecast.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

    from forecast.data.market import MarketData
    from forecast.model.forecaster import Forecaster
    from forecast.model.predictor import Predictor

MANIFEST = "manifest.json"
# What a run writes and seals; whatever else stands in the folder is somebody else's.
_SEALED = (
    "config.yaml",
    "data.json",
    "history.json",
    "metrics.json",
    "forecasts.parquet",
    "model.safetensors",
    "scaler.json",
    "report.html",
    "plots/errors.png",
    "plots/forecast_test.png",
    "plots/learning_curves.png",
    "plots/moves.png",
)
# Still written to after the run is finished, by the log and by the tracker.
_LIVING = ("run.log", "mlflow.json")
_FORMAT = 1


def write_json(path: Path, value: object) -> None:
    """Strict JSON (no NaN), replaced as a whole."""
    write_whole(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def begin(directory: Path) -> None:
    """Take a directory for a run; the files of an earlier run in it are gone.

    Raises:
        UserError: it cannot be written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name in (MANIFEST, *_SEALED, *_LIVING):  # the manifest first: half a run is no run
            (directory / name).unlink(missing_ok=True)
        write_whole(directory / "run.log", "")
    except OSError as error:
        raise UserError(
            f"hydra.run.dir={directory}: cannot be written to ({error.strerror}); name another folder"
        ) from error


def write_model(directory: Path, forecaster: Forecaster, data: MarketData) -> None:
    """Weights as safetensors; scaler and facts as JSON."""
    from safetensors.torch import save

    weights = {name: value.contiguous() for name, value in forecaster.network.state_dict().items()}
    write_whole(directory / "model.safetensors", save(weights))
    facts = {
        **data.facts,
        "tickers": data.tickers,
        "scope": data.scope,
        "columns": data.layout.names,
        "normaliser": forecaster.normaliser.to_json(),
    }
    write_json(directory / "scaler.json", facts)


def finish(directory: Path, *, version: str) -> None:
    """Seal the run: after this it is finished."""
    files = {name: _digest(directory / name) for name in _SEALED}
    write_json(directory / MANIFEST, {"format": _FORMAT, "version": version, "files": files})


def is_finished(directory: Path) -> bool:
    """Whether a run was sealed there."""
    return (directory / MANIFEST).is_file()


def verify(directory: Path) -> dict[str, Any]:
    """Check a run directory against its manifest.

    Raises:
        UserError: no finished run, a file missing or altered, or written by an incompatible version.
    """
    if not is_finished(directory):
        raise UserError(f"{directory}: no finished run here ({MANIFEST} is missing)")
    try:
        manifest: dict[str, Any] = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        form, written = manifest["format"], dict(manifest["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{directory / MANIFEST}: is damaged ({error})") from error
    if form != _FORMAT:
        raise UserError(f"{directory}: written in format {form}, this version reads {_FORMAT}")
    if unlisted := sorted(set(_SEALED) - set(written)):
        raise UserError(f"{directory / MANIFEST}: is damaged (does not list {', '.join(unlisted)})")
    for name, digest in written.items():
        path = directory / name
        if not path.resolve().is_relative_to(directory.resolve()) or path.is_symlink():
            raise UserError(f"{path}: leads out of the run directory")
        if not path.is_file():
            raise UserError(f"{path}: is missing")
        if _digest(path) != digest:
            raise UserError(f"{path}: was altered since the run wrote it")
    return manifest


def load(directory: str | Path) -> Predictor:
    """A predictor from a finished run directory.

    Args:
        directory: as a run printed it.

    Raises:
        UserError: see verify.
    """
    from omegaconf import OmegaConf
    from safetensors.torch import load_file

    from forecast.config import build
    from forecast.data.normaliser import WindowNormaliser
    from forecast.model.forecaster import Forecaster
    from forecast.model.predictor import Predictor

    directory = Path(directory)
    verify(directory)
    config = OmegaConf.load(directory / "config.yaml")
    _check_importable(directory, config)
    facts = json.loads((directory / "scaler.json").read_text(encoding="utf-8"))
    sizes = {key: facts[key] for key in ("input_size", "lookback", "output_size")}
    network = build(config.model, **sizes)
    network.load_state_dict(load_file(directory / "model.safetensors"), strict=True)
    forecaster = Forecaster(network=network, normaliser=WindowNormaliser.from_json(facts["normaliser"]))
    forecaster.eval()
    return Predictor(
        forecaster=forecaster,
        features=build(config.data.features),
        scope=facts["scope"],
        tickers=facts["tickers"],
        lookback=facts["lookback"],
        horizon=facts["output_size"],
        adjust=bool(config.source.get("adjust", False)),
    )


def _check_importable(directory: Path, config: Any) -> None:
    """What a run took from outside the package must be importable here too."""
    from forecast.config.targets import locate

    for target in [*_targets(config.model), *_targets(config.data.features)]:
        try:
            locate(target)
        except ImportError as error:
            raise UserError(
                f"{directory}: was made with {target}, which cannot be imported: {error}"
            ) from error


def _targets(node: Any) -> Iterator[str]:
    """Every `_target_` at or below a node."""
    from omegaconf import DictConfig, ListConfig

    if isinstance(node, DictConfig) and "_target_" in node:
        yield node._target_
    if isinstance(node, DictConfig | ListConfig):
        for item in node.values() if isinstance(node, DictConfig) else node:
            yield from _targets(item)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def forecasts_of(directory: Path, ticker: str) -> pd.DataFrame:
    """One ticker's rows of the forecast table, without reading the others' into memory."""
    import pandas as pd

    return pd.read_parquet(directory / "forecasts.parquet", filters=[("ticker", "==", ticker)])
