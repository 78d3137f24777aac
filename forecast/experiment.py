"""The staircase for one run: source, data, model, training, forecasts, verdict, run directory."""

from __future__ import annotations

import logging
import math
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast import bundle
from forecast.config import build, data_request, identity, snapshot
from forecast.data.record import record
from forecast.errors import UserError
from forecast.files import write_whole
from forecast.provenance import package_version, provenance
from forecast.runlog import logged

if TYPE_CHECKING:
    import pandas as pd
    from omegaconf import DictConfig

    from forecast.data.market import MarketData
    from forecast.evaluate.verdict import Verdict
    from forecast.model.forecaster import Forecaster
    from forecast.model.trainer import Fit

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """What a finished run left."""

    directory: Path
    metrics: dict[str, float | None]
    history: list[dict[str, float]] = field(repr=False)
    verdict: Verdict = field(repr=False)
    figures: dict[str, Path] = field(repr=False)

    @cached_property
    def forecasts(self) -> pd.DataFrame:
        """The forecast table: ticker, date, split, step, actual, forecast, naive."""
        import pandas as pd

        return pd.read_parquet(self.directory / "forecasts.parquet")

    def _repr_html_(self) -> str:
        return (self.directory / "report.html").read_text(encoding="utf-8")


def run(config: DictConfig, directory: Path) -> Run:
    """Conduct one run.

    Args:
        config: composed and checked.
        directory: where the run is recorded; written to once nothing can be refused any more.

    Raises:
        UserError: the data or the model cannot be had as asked; nothing is left behind.
    """
    if config.trainer is None:
        raise UserError(
            "trainer=none: checks the data only, with python run.py trainer=none; choose a trainer to run"
        )
    began = time.monotonic()
    objective = config.objective
    trainer = build(config.trainer, metric=objective.metric, mode=objective.mode, seed=config.seed)
    with logged() as run_log, trainer.pinned():
        data = build(config.data, source=build(config.source))
        network = build(config.model, **data.facts)
        tracker = config.tracker and build(config.tracker)

        from forecast.evaluate.metrics import Tally
        from forecast.model.probing import check_network

        check_network(network, **data.facts, name=f"model._target_={config.model._target_}")
        score = partial(Tally, horizon=data.horizon)
        trainer.check_objective(score)
        data.prepare()
        same_data(config, data)
        name = identity(config, fingerprint=data.fingerprint_, version=package_version())
        origin = provenance(config, identity=name, fingerprint=data.fingerprint_)

        from forecast.model.forecaster import Forecaster

        bundle.begin(directory)
        run_log.into(directory / "run.log")
        config_text = snapshot(config, provenance=origin)
        write_whole(directory / "config.yaml", config_text)
        bundle.write_json(directory / "data.json", record(data))
        tags = {
            "strategy": origin["choices"].get("data") or f"{type(data.features).__name__}_{data.scope}",
            "tickers": ", ".join(data.tickers[:50]),
            "identity": name,
            "git_revision": origin["git_revision"] or "",
            "data_fingerprint": data.fingerprint_,
            "version": package_version(),
        }
        with tracked(tracker, directory, name, config, tags) as live:
            forecaster = Forecaster(network=network, normaliser=data.normaliser_)
            fit = trainer.fit(forecaster, data, score=score, on_epoch=live.log_epoch)
            finished = judge(
                directory,
                forecaster,
                data,
                fit,
                strategy=tags["strategy"],
                config_text=config_text,
                began=began,
            )
            bundle.finish(directory, version=package_version())
            live.finish(status="FINISHED", metrics=finished.metrics)
    return finished


def judge(
    directory: Path,
    forecaster: Forecaster,
    data: MarketData,
    fit: Fit,
    *,
    strategy: str,
    config_text: str,
    began: float,
) -> Run:
    """Forecast every window, hold it against "tomorrow = today", and write all of it down.

    Args:
        directory: of the run.
        forecaster: fitted.
        data: prepared.
        fit: how the training went.
        strategy: its name.
        config_text: the saved config.
        began: time.monotonic() at the start of the run.
    """
    from forecast.evaluate import plots, report
    from forecast.evaluate.forecasts import write_forecasts
    from forecast.evaluate.verdict import Verdict

    bundle.write_model(directory, forecaster, data)
    bundle.write_json(directory / "history.json", [_finite(epoch) for epoch in fit.history])
    best = fit.history[fit.best_epoch]
    metrics: dict[str, float | None] = {
        **write_forecasts(directory / "forecasts.parquet", forecaster, data),
        **_finite({"train_loss": best["train_loss"], "val_loss": best["val_loss"]}),
        "epochs": len(fit.history),
        "best_epoch": fit.best_epoch,
        "seconds": round(time.monotonic() - began, 3),
    }
    bundle.write_json(directory / "metrics.json", metrics)
    shown = data.panel_.names[0]
    verdict = Verdict(metrics=metrics, tickers=data.panel_.names, strategy=strategy, horizon=data.horizon)
    log.debug("%s", verdict.text)  # for run.log; whoever called shows it
    figures = plots.write(
        directory / "plots",
        forecasts=bundle.forecasts_of(directory, shown),
        history=fit.history,
        ticker=shown,
        metrics=metrics,
    )
    report.write(
        directory,
        verdict=verdict,
        metrics=metrics,
        plots=figures,
        health=record(data),
        config_text=config_text,
        reproduce=f"python run.py -cd {shlex.quote(str(directory))} -cn config",
    )
    return Run(
        directory=directory,
        metrics=metrics,
        history=fit.history,
        verdict=verdict,
        figures={path.stem: path for path in figures},
    )


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: what is undefined is null."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def check_data(config: DictConfig) -> str:
    """Fetch, check and window the data of a config; what came of it, as text.

    Raises:
        UserError: the data cannot be had as asked.
    """
    from forecast.datacheck import describe

    with logged():
        data = build(config.data, source=build(config.source))
        data.prepare()
        same_data(config, data)
        return describe(data)


def same_data(config: DictConfig, data: MarketData) -> None:
    """A saved config is replayed on the bars it was made with, or not silently.

    Raises:
        UserError: the same request gave other bars, and on_data_change is `error`.
    """
    saved = config.get("provenance")
    if saved is None or saved.data_request != data_request(config):
        return
    if saved.data_fingerprint == data.fingerprint_:
        return
    told = (
        f"the bars differ from those of the saved run (fingerprint {data.fingerprint_}, "
        f"saved {saved.data_fingerprint}): its metrics cannot come out again"
    )
    if config.on_data_change == "error":
        raise UserError(f"on_data_change=error: {told}; on_data_change=warn goes on")
    log.warning(told)


class _Untracked:
    """Stands where no tracker is."""

    def start(self, **_: Any) -> None:
        """Nothing to begin."""

    def log_epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """Nothing to tell."""

    def finish(self, **_: Any) -> None:
        """Nothing to end."""


@contextmanager
def tracked(
    tracker: Any, directory: Path, name: str, config: DictConfig, tags: dict[str, str]
) -> Iterator[Any]:
    """Record a run while it lasts; one that ends early is recorded as KILLED or FAILED."""
    from omegaconf import OmegaConf

    live = _Untracked() if tracker is None else tracker
    params = OmegaConf.to_container(config, resolve=True)
    live.start(directory=directory, name=name, params=params, tags=tags)
    try:
        yield live
    except KeyboardInterrupt:
        log.debug("interrupted")  # into the file alone: whoever started the run says it on the screen
        live.finish(status="KILLED", metrics={})
        raise
    except BaseException:
        log.debug("the run failed", exc_info=True)
        live.finish(status="FAILED", metrics={})
        raise
