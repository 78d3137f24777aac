"""The staircase for one run: source, data, model, training, forecasts, verdict, run directory."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast import bundle
from forecast.config import build, data_request, identity, snapshot
from forecast.data.record import record
from forecast.errors import UserError
from forecast.evaluate.folds import Holdout
from forecast.files import write_whole
from forecast.fold_fits import OnEpoch, fit_each, make_trainer
from forecast.outcome import Run, conclude, read_back
from forecast.provenance import package_version, provenance
from forecast.runlog import logged
from forecast.tracking import tracked

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from forecast.data.market import MarketData
    from forecast.evaluate.baselines import Fits

log = logging.getLogger(__name__)


def run(
    config: DictConfig,
    directory: Path,
    *,
    on_epoch: OnEpoch | None = None,
    earlier: Callable[[str], Path | None] = lambda _: None,
    tags: Callable[[Any], Mapping[str, str]] = lambda _: {},
    draw: bool = True,
    fits: Fits | None = None,
) -> Run:
    """Conduct one run.

    Args:
        config: composed and checked.
        directory: where the run is recorded; written to once nothing can be refused any more.
        on_epoch: told the number and metrics of each epoch, in a walk-forward those of all folds so far after
            each fold; what it raises ends the run.
        earlier: finds, by identity, the directory of a finished run, which is then read back and not run again.
        tags: what else the tracker, which it is given, is to note of the run.
        draw: the plots as PNG files too, which takes longer than all else beyond training.
        fits: the baselines, and may have fitted the same ones for a run before.

    Raises:
        UserError: the data or the model cannot be had as asked; nothing is left behind.
    """
    if config.trainer is None:
        raise UserError(
            "trainer=none: checks the data only, with python run.py trainer=none; choose a trainer to run"
        )
    began = time.monotonic()
    trainer = make_trainer(config)
    with logged() as run_log, trainer.pinned():
        data = build(config.data, source=build(config.source))
        sizes = trainer.sizes(data.facts)
        network = build(config.model, **sizes)
        evaluation = build(config.get("evaluation")) or Holdout()
        baselines, intervals = build(config.get("baselines")), build(config.get("intervals"))
        tracker = config.tracker and build(config.tracker)

        from forecast.evaluate.baselines import Fits
        from forecast.evaluate.judgement import Judgement
        from forecast.evaluate.metrics import Tally
        from forecast.model.probing import check_network

        check_network(network, **sizes, name=f"model._target_={config.model._target_}")
        trainer.check_objective(partial(Tally, horizon=data.horizon))
        data.load()
        same_data(config, data)
        folds = evaluation.folds(data)
        data.divide(folds[0].stretches)
        named: dict[str, Any] = {"fingerprint": data.fingerprint_, "version": package_version()}
        name = identity(config, **named)
        learnt = identity(config, **named, only=("data", "evaluation", "baselines"))
        origin = provenance(config, identity=name, fingerprint=data.fingerprint_)
        strategy = origin["choices"].get("data") or f"{type(data.features).__name__}_{data.scope}"
        if (found := earlier(name)) is not None:
            log.info("an identical run has finished before: %s", found)
            return read_back(found, data, strategy=strategy)

        bundle.begin(directory)
        run_log.into(directory / "run.log")
        config_text = snapshot(config, provenance=origin)
        write_whole(directory / "config.yaml", config_text)
        bundle.write_json(directory / "data.json", record(data))
        noted = {
            "strategy": strategy,
            "tickers": ", ".join(data.tickers[:50]),
            "identity": name,
            "git_revision": origin["git_revision"] or "",
            "data_fingerprint": data.fingerprint_,
            "version": package_version(),
            **tags(tracker),
        }
        walking = len(folds) > 1
        with tracked(tracker, directory, name, config, noted) as live:

            def tell(epoch: int, metrics: dict[str, float]) -> None:
                live.log_epoch(epoch, metrics)
                if on_epoch is not None and not walking:
                    on_epoch(epoch, metrics)

            fitted = fit_each(config, data, folds, parallel=evaluation.parallel, on_epoch=tell)
            with Judgement(
                directory,
                data,
                folded=walking,
                baselines=baselines,
                learn=partial((fits or Fits()).fit, identity=learnt),
                intervals=intervals,
                significance=evaluation.significance,
                economics=evaluation.economics,
            ) as judgement:
                for fold, here, forecaster, fit in fitted:
                    judgement.add(fold, forecaster, here, fit)
                    if on_epoch is not None and walking:
                        on_epoch(fold.number, judgement.so_far("val"))
            bundle.write_model(directory, forecaster, here, widths=judgement.widths)
            finished = conclude(
                directory,
                data,
                judgement,
                strategy=strategy,
                config_text=config_text,
                began=began,
                draw=draw,
            )
            bundle.finish(directory, version=package_version())
            live.finish(status="FINISHED", metrics=finished.metrics)
    return finished


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
