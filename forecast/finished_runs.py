"""Finished runs: one as an object, many as one DataFrame, and where a run came from."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from forecast import bundle
from forecast.config import data_request, origin
from forecast.config.identities import installed_version
from forecast.errors import UserError
from forecast.files import read_json

if TYPE_CHECKING:
    import pandas as pd

    from forecast.evaluate.verdict import Verdict

T = TypeVar("T")

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
    metrics, history, evaluation, facts, described = _read(directory)
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
            bar=described.get("bar", "day"),
        ),
        figures={path.stem: path for path in sorted((directory / "plots").glob("*.png"))},
        evaluation=evaluation,
    )


def draw_plots(directory: Path) -> list[Path]:
    """Draw the plots of a finished run that has none, from its own files; their paths."""
    from forecast.evaluate.report import write_plots

    metrics, history, evaluation, facts, health = _read(directory)
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


_FILES = ("metrics", "history", "evaluation", "scaler", "data")


def _read(directory: Path, names: Sequence[str] = _FILES) -> list[Any]:
    """The content of JSON files of a finished run."""
    return [read_json(directory / f"{name}.json") for name in names]


def strategy_name(config: Any) -> str:
    """The option of the group `data`, such as range_single; of a config without one its features and scope."""
    choices = (config.get("provenance") or origin(config)).get("choices") or {}
    data = config["data"]
    return str(choices.get("data") or f"{data['features']['_target_'].rpartition('.')[2]}_{data['scope']}")


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
        "versions": {"forecast": package_version()}
        | {name: found for name in _PACKAGES if (found := installed_version(name))},
    }


def package_version() -> str:
    """This package's version; `0+uninstalled` in a source tree that is not installed."""
    return installed_version("forecast") or "0+uninstalled"


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


def read_config(directory: Path) -> dict[str, Any]:
    """A run's config.yaml as plain values.

    Raises:
        OSError: there is none.
        ValueError: it is no mapping.
    """
    import yaml

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        content = yaml.load((directory / "config.yaml").read_text("utf-8"), Loader=loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{directory / 'config.yaml'}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{directory / 'config.yaml'}: is no mapping")
    return content


def identity_of(directory: Path) -> str | None:
    """The identity that a run directory's config.yaml states; None where it states none."""
    try:
        return str(read_config(directory)["provenance"]["identity"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a run forecast, and on which prices that was evaluated in validation."""

    target: str  # the class, with what it was given
    tickers: tuple[str, ...]  # whose price is forecast
    horizon: int
    dates: tuple[str, str]  # first and last bar of validation
    # rows, RMSE and MAE of the naive forecast: they change with every price and row
    naive: tuple[float | None, ...]

    @classmethod
    def of(cls, directory: Path) -> Subject:
        """Read it from a run directory.

        Raises:
            OSError: it holds no finished run.
            ValueError: nor one of this version.
        """
        facts, data, metrics = _read(directory, ("scaler", "data", "metrics"))
        try:
            names = [str(ticker) for ticker in data["tickers"]]
            days = data["splits"]["val"]
            return cls(
                target=describe_target(read_config(directory).get("target") or {}),
                tickers=tuple(sorted(names)) if facts["scope"] == "panel" else tuple(names[:1]),
                horizon=int(facts.get("horizon", facts["output_size"])),
                dates=(str(days["first_day"]), str(days["last_day"])),
                naive=tuple(metrics.get(f"val_{name}") for name in ("rows", "naive_rmse", "naive_mae")),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{directory}: is not a run directory of this version ({error})") from error


def describe_target(node: Mapping[str, Any]) -> str:
    """`Volatility span=5`: a `target` node in a line; of a run of before there were others, `Close`."""
    name = str(node.get("_target_", "Close")).rpartition(".")[2]
    return " ".join([name, *(f"{key}={value}" for key, value in sorted(node.items()) if key != "_target_")])


def best_first(
    runs: Iterable[T], *, mode: str, figure: Callable[[T], float], then: Callable[[T], Any]
) -> list[T]:
    """Runs, or what stands for them, ranked by a figure.

    Args:
        runs: in any order.
        mode: `min` or `max`: whether less of it is better, or more.
        figure: of a run.
        then: of equals, the one for which this is smallest leads.
    """
    sign = 1.0 if mode == "min" else -1.0
    return sorted(runs, key=lambda run: (sign * figure(run), then(run)))


SCALE_FREE = "val_theil_u"
# In the price's unit: their size says nothing across tickers and dates.
_IN_PRICES = ("rmse", "mae", "mse", "winkler")


def in_prices(metric: str) -> bool:
    """Whether a metric is in the price's unit, such as val_rmse."""
    return metric.rpartition("_")[2] in _IN_PRICES


def differences(subjects: Sequence[Subject]) -> list[str]:
    """In what respect runs forecast different things: `tickers`, `horizon`, `dates`, `data`; empty if in none."""
    if not subjects:
        return []
    first = subjects[0]
    names = ("tickers", "horizon", "dates")
    found = [name for name in names if len({getattr(subject, name) for subject in subjects}) > 1]
    if not found and any(not _same_naive(first.naive, other.naive) for other in subjects[1:]):
        found.append("data")
    return found


def incomparable(metric: str, subjects: Sequence[Subject]) -> str | None:
    """Why runs cannot be ranked by a metric, in one line with a way out; None if they can."""
    if len(targets := sorted({subject.target for subject in subjects})) > 1:
        return (
            f"objective.metric={metric}: does not rank runs of different targets ({', '.join(targets)}); name one, "
            "such as target=close"
        )
    found = differences(subjects) if in_prices(metric) else []
    if not found:
        return None
    return (
        f"objective.metric={metric}: is in the price's unit, and these runs differ in {', '.join(found)}, so it "
        f"does not rank them; use objective.metric={SCALE_FREE}"
    )


def _same_naive(one: Sequence[float | None], other: Sequence[float | None]) -> bool:
    """The same but for the order of a sum."""
    return all(
        a == b if a is None or b is None else math.isclose(a, b, rel_tol=1e-9)
        for a, b in zip(one, other, strict=True)
    )


def _row(directory: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf

    saved: Any = OmegaConf.to_container(OmegaConf.load(directory / "config.yaml"))
    origin: Mapping[str, Any] = saved.get("provenance") or {}
    overrides = (str(item).lstrip("+~").partition("=") for item in origin.get("overrides") or ())
    return {
        **(origin.get("choices") or {}),
        **{key: value for key, _, value in overrides if key not in (origin.get("choices") or {})},
        "seed": saved.get("seed"),
        "identity": origin.get("identity"),
        "data_fingerprint": origin.get("data_fingerprint"),
        **read_json(directory / "metrics.json"),
    }
