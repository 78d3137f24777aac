"""A finished run that may become the champion, as MLflow or its own directory describes it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.sweep.comparable import Subject
from forecast.sweep.earlier import identity_of, read_config
from forecast.track.fields import flatten
from forecast.track.record import Record
from forecast.track.sending import DIRECTORY_TAG, ID_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run

# Parts of a config that say nothing of what was computed.
_ASIDE = (
    "provenance.",
    "metadata.",
    "tracker",
    "champion",
    "cluster",
    "tuner",
    "source.cache_dir",
    "defaults",
    "hydra",
)
_CUTS = ("data.train_ratio", "data.val_ratio", "data.embargo", "evaluation.")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A finished run.

    Args:
        identity: same identity, same result.
        strategy: its name, such as range_single.
        tickers: of the run, joined by commas.
        fingerprint: of its bars.
        metrics: finite ones.
        params: its config, flat, values as text.
        started: ms since 1970.
        run_id: MLflow's; None where the run is known from its directory alone.
        experiment_name: the heading it stands under in MLflow.
        directory: where it was written, perhaps on another machine.
        directory_id: tells whether what stands there now is still this run.
    """

    identity: str
    strategy: str
    tickers: str
    fingerprint: str
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    started: int
    run_id: str | None
    experiment_name: str | None
    directory: Path
    directory_id: str | None

    @property
    def name(self) -> str:
        """What it is called on the screen."""
        return self.run_id[:8] if self.run_id else str(self.directory)

    def skill(self, split: str) -> float | None:
        """Percent by which its RMSE lies below that of "tomorrow = today", None where that is undefined."""
        ratio = self.metrics.get(f"{split}_theil_u")
        return None if ratio is None else 100 * (1 - ratio)

    @property
    def dates(self) -> tuple[str, str]:
        """The settings that decide which days are validated, as text."""
        first = self.params.get("data.start", "null")
        period = self.params.get("data.period", "") if first == "null" else first
        cuts = {key: value for key, value in self.params.items() if key.startswith(_CUTS)}
        return period, f"{self.params.get('data.end', 'null')} {sorted(cuts.items())}"

    @property
    def subject(self) -> Subject:
        """What it forecast, and how wrong "tomorrow = today" was there; days unknown."""
        named = self.tickers.split(", ")
        pooled = self.params.get("data.scope") == "panel"
        return Subject(
            tickers=tuple(sorted(named)) if pooled else tuple(named[:1]),
            horizon=int(self.params.get("data.horizon", 1)),
            dates=("", ""),
            naive=tuple(self.metrics.get(f"val_{name}") for name in ("rows", "naive_rmse", "naive_mae")),
        )


def from_mlflow(run: Run, experiment_name: str) -> Candidate | None:
    """A candidate from a run of an MLflow store; None for one that this package did not record."""
    tags = run.data.tags
    if "identity" not in tags or DIRECTORY_TAG not in tags:
        return None
    return Candidate(
        identity=tags["identity"],
        strategy=tags.get("strategy", ""),
        tickers=tags.get("tickers", ""),
        fingerprint=tags.get("data_fingerprint", ""),
        metrics=_finite(run.data.metrics),
        params=_task(run.data.params),
        started=run.info.start_time,
        run_id=run.info.run_id,
        experiment_name=experiment_name,
        directory=Path(tags[DIRECTORY_TAG]),
        directory_id=tags.get(ID_TAG),
    )


def from_directory(directory: Path) -> Candidate:
    """A candidate from a finished run directory, whether or not MLflow knows it.

    Args:
        directory: verified.
    """
    config = read_config(directory)
    facts = json.loads((directory / "scaler.json").read_text("utf-8"))
    provenance = config["provenance"]
    record = _record(directory)
    return Candidate(
        identity=str(provenance["identity"]),
        strategy=provenance.get("choices", {}).get("data") or _strategy_of(config),
        tickers=", ".join(facts["tickers"][:50]),
        fingerprint=str(provenance["data_fingerprint"]),
        metrics=_finite(json.loads((directory / "metrics.json").read_text("utf-8"))),
        params=_task(flatten(config)),
        started=record.start_time if record else int((directory / "metrics.json").stat().st_mtime * 1000),
        run_id=record.run_id if record else None,
        experiment_name=record.experiment_name if record else None,
        directory=directory,
        directory_id=record.run_directory_id if record else None,
    )


def is_of(directory: Path, candidate: Candidate) -> bool:
    """Whether what stands in a directory is the candidate's run, and not a later one that took the folder."""
    record = _record(directory)
    if record is not None and candidate.directory_id is not None:
        return record.run_directory_id == candidate.directory_id
    return identity_of(directory) == candidate.identity


def _record(directory: Path) -> Record | None:
    """What MLflow was told of the run; None where there is no such record."""
    try:
        return Record.load(directory)
    except (OSError, ValueError):
        return None


def _strategy_of(config: Mapping[str, Any]) -> str:
    features = str(config["data"]["features"]["_target_"]).rpartition(".")[2]
    return f"{features}_{config['data']['scope']}"


def _task(params: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in params.items() if not key.startswith(_ASIDE)}


def _finite(metrics: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(v) for name, v in metrics.items() if v is not None and math.isfinite(v)}
