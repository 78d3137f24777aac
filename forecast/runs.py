"""Finished runs: one as an object, many as one DataFrame, and where a run came from."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast import bundle
from forecast.config import data_request, origin
from forecast.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from forecast.evaluate.verdict import Verdict

# Packages whose version is part of a run's provenance.
_PACKAGES = ("torch", "pytorch-lightning", "numpy", "pandas", "hydra-core", "yfinance", "safetensors")


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        directory: of the run.
        metrics: flat, the content of metrics.json.
        history: one mapping an epoch.
        verdict: on the run, in words.
        figures: name -> PNG file of each plot.
        evaluation: the content of evaluation.json.
    """

    directory: Path
    metrics: dict[str, float | None]
    history: list[dict[str, float | None]] = field(repr=False)
    verdict: Verdict = field(repr=False)
    figures: dict[str, Path] = field(repr=False)
    evaluation: dict[str, Any] = field(repr=False)

    @cached_property
    def forecasts(self) -> pd.DataFrame:
        """The forecast table: ticker, date, split, step, actual, forecast, naive, and bounds of intervals."""
        import pandas as pd

        return pd.read_parquet(self.directory / "forecasts.parquet")

    def _repr_html_(self) -> str:
        """Verdict and plots, as a notebook shows them."""
        from forecast.evaluate.report import notebook_html

        return notebook_html(self.directory)


@dataclass(frozen=True)
class Runs:
    """All finished runs below a folder, the oldest directory name first."""

    folder: Path
    directories: list[Path] = field(repr=False)

    def __len__(self) -> int:
        return len(self.directories)

    def __iter__(self) -> Iterator[Run]:
        return (read_run(directory) for directory in self.directories)

    def to_frame(self) -> pd.DataFrame:
        """One row a run, its directory as index: what was chosen, every override, identity, and all metrics.

        Columns of choices are named as their group (`data`, `model`), overrides as their key (`model.hidden_size`).
        """
        import pandas as pd

        rows = {str(directory): _row(directory) for directory in self.directories}
        frame = pd.DataFrame.from_dict(rows, orient="index")
        frame.index.name = "directory"
        return frame

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html())


def runs(folder: str | Path) -> Runs:
    """The finished runs at or below a folder, such as `outputs` or the folder of a sweep.

    Args:
        folder: looked through with all folders in it.

    Raises:
        UserError: no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: is no folder; name one that runs were written to, such as outputs")
    found = {path.parent for path in folder.rglob(bundle.MANIFEST)}
    return Runs(folder, sorted(directory for directory in found if (directory / "metrics.json").is_file()))


def read_run(directory: str | Path) -> Run:
    """A finished run from its directory.

    Raises:
        UserError: no finished run there.
    """
    from omegaconf import OmegaConf

    from forecast.evaluate.verdict import Verdict

    directory = Path(directory)
    if not bundle.is_finished(directory):
        raise UserError(f"{directory}: no finished run here ({bundle.MANIFEST} is missing)")
    metrics, history, evaluation, facts, health = (
        json.loads((directory / f"{name}.json").read_text("utf-8"))
        for name in ("metrics", "history", "evaluation", "scaler", "data")
    )
    return Run(
        directory=directory,
        metrics=metrics,
        history=history,
        verdict=Verdict(
            metrics=metrics,
            tickers=facts["tickers"][: 1 if facts["scope"] == "multiple" else None],
            strategy=strategy_name(OmegaConf.load(directory / "config.yaml")),
            horizon=facts.get("horizon", facts["output_size"]),
            evaluation=evaluation,
        ),
        figures={path.stem: path for path in sorted((directory / "plots").glob("*.png"))},
        evaluation=evaluation,
    )


def draw_plots(directory: Path) -> list[Path]:
    """Draw the plots of a finished run that has none, from its own files; their paths.

    Args:
        directory: of the run.
    """
    from forecast.evaluate.report import write_plots

    metrics, history, evaluation, facts, health = (
        json.loads((directory / f"{name}.json").read_text("utf-8"))
        for name in ("metrics", "history", "evaluation", "scaler", "data")
    )
    ticker = facts["tickers"][0]
    return write_plots(
        directory / "plots",
        forecasts=bundle.forecasts_of(directory, ticker),
        history=history,
        ticker=ticker,
        metrics=metrics,
        evaluation=evaluation,
        health=health,
    )


def strategy_name(config: Any) -> str:
    """The option of the group `data`, such as range_single; of a config without one its features and scope."""
    choices = (config.get("provenance") or origin(config)).get("choices") or {}
    chosen = choices.get("data")
    return str(chosen or f"{config.data.features._target_.rsplit('.', 1)[-1]}_{config.data.scope}")


def provenance(config: Any, *, identity: str, fingerprint: str) -> dict[str, Any]:
    """What stands under `provenance` in a saved config: what was asked for, by which code, on which data.

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
    """This package's version; `0+uninstalled` in a source tree that is not installed."""
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


def _row(directory: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf

    saved: Any = OmegaConf.to_container(OmegaConf.load(directory / "config.yaml"))
    came: Mapping[str, Any] = saved.get("provenance") or {}
    overrides = (str(item).lstrip("+~").partition("=") for item in came.get("overrides") or ())
    return {
        **(came.get("choices") or {}),
        **{key: value for key, _, value in overrides if key not in (came.get("choices") or {})},
        "seed": saved.get("seed"),
        "identity": came.get("identity"),
        "data_fingerprint": came.get("data_fingerprint"),
        **json.loads((directory / "metrics.json").read_text("utf-8")),
    }


def _versions() -> dict[str, str]:
    return {name: found for name in _PACKAGES if (found := _version(name))}


@cache
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


class _CallableModule(types.ModuleType):
    """Python puts an imported submodule in place of the function `forecast.runs`; so the module answers as it does."""

    def __call__(self, folder: str | Path) -> Runs:
        return runs(folder)


sys.modules[__name__].__class__ = _CallableModule
