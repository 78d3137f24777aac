"""One run from top to bottom: config in, run directory out."""

from __future__ import annotations

import json
import logging
import math
import shlex
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast import bundle
from forecast.config import build, check as check_signatures, data_request, identity, origin, snapshot
from forecast.config.building import locate
from forecast.data.record import describe, described_sources, record as data_record
from forecast.data.target import Close
from forecast.errors import StoppedError, UserError
from forecast.evaluate.evaluation import Evaluator
from forecast.evaluate.folds import Fold, Holdout
from forecast.evaluate.metrics import Metrics
from forecast.files import write_json, write_whole
from forecast.finished_runs import Run, package_version, provenance, read_run, strategy_name
from forecast.model.baselines import BaselineCache
from forecast.model.building import build_forecaster, make_trainer, train
from forecast.runlog import logged

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from forecast.data.market import MarketData
    from forecast.model.forecaster import Forecaster, Score, TrainingResult

log = logging.getLogger(__name__)

_OBJECTIVE = ("objective", "target", "evaluation")  # keys that decide which objectives there are
OnEpoch = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, kw_only=True)
class RunHooks:
    """Callbacks and options of whoever starts a run; the defaults do nothing.

    Args:
        on_epoch: called with the number and metrics of each epoch, in a walk-forward those of all folds so far
            after each fold; what it raises ends the run.
        earlier: finds the directory of a finished run by its identity; that run is read back and not run again.
        tags: what else the tracker, which it is given, is to note of the run.
        baseline_cache: keeps the fitted baselines of earlier runs of this process.
        draw_plots: write the plots as PNG files too, which takes longer than all else beyond training.
    """

    on_epoch: OnEpoch = lambda _number, _metrics: None
    earlier: Callable[[str], Path | None] = lambda _identity: None
    tags: Callable[[Any], Mapping[str, str]] = lambda _tracker: {}
    baseline_cache: BaselineCache | None = None
    draw_plots: bool = True


def check(config: DictConfig, only: Collection[str] | None = None) -> None:
    """Refuse a config that cannot run, before anything is built or fetched.

    Args:
        only: see `forecast.config.check`.

    Raises:
        UserError: all faults at once, one a line, an objective that no epoch reports among them.
    """
    if "_target_" in config:
        raise UserError(f"-cn: names a config that builds {config._target_}, and no run; leave it out")
    faults: list[str] = []
    try:
        check_signatures(config, only)
    except UserError as error:
        faults = str(error).splitlines()
    if config.trainer is not None and not any(fault.startswith(_OBJECTIVE) for fault in faults):
        try:
            _check_objective(config)
        except UserError as error:
            faults.append(str(error))
    if faults:
        raise UserError("\n".join(faults))


def _check_objective(config: DictConfig) -> None:
    """Refuse an objective that no epoch of a checked config will report.

    An evaluation, which `run` builds, is built here only where it would be refused: one of the user's own may have
    metrics that no key names.
    """
    goal = config.objective.metric, config.objective.mode
    target: Any = Close if config.get("target") is None else locate(config.target["_target_"])
    if not isinstance(target, type):  # a function that makes one
        target = build(config.target)
    evaluation = config.get("evaluation") or {}
    own = {
        name: locate(node["_target_"]) if node.get("_partial_") else build(node)
        for name, node in (evaluation.get("metrics") or {}).items()
    }
    try:
        Metrics(own, names=target.metrics).check_objective(*goal)
    except UserError:
        built = build(evaluation) if evaluation else Holdout()
        Metrics(built.metrics, names=target.metrics).check_objective(*goal)


def run(config: DictConfig, directory: Path, hooks: RunHooks | None = None) -> Run:
    """Do one run.

    Args:
        config: composed and checked.
        directory: where the run is recorded; written to once nothing can be refused any more.
        hooks: of whoever starts it; None = none.

    Raises:
        UserError: the data or the model cannot be had as asked; nothing is left behind.
    """
    hooks = hooks or RunHooks()
    if config.trainer is None:
        raise UserError(
            "trainer=none: checks the data only, with python run.py trainer=none; choose a trainer to run"
        )
    began = time.monotonic()
    trainer = make_trainer(config)
    with logged() as run_log, trainer.pinned(), ExitStack() as stack:
        # Parts: whatever can be refused is refused before a bar is fetched.
        data = build(config.data, source=build(config.source), target=build(config.get("target")))
        evaluation = build(config.get("evaluation")) or Holdout()
        baselines = build(config.get("baselines"), target=data.target)
        intervals = build(config.get("intervals"))
        tracker = config.tracker and build(config.tracker)

        trainer.check_loss(data.target)
        metrics_of = Metrics(evaluation.metrics, names=data.target.metrics)
        metrics_of.check_objective(config.objective.metric, config.objective.mode)
        first = build_forecaster(config, data.facts, score=metrics_of, trainer=trainer)

        # Data.
        data.load()
        check_same_data(config, data)
        folds = evaluation.folds(data)
        data.split(folds[0].ranges)

        # Identity: a finished run of the same one is the result.
        named: dict[str, Any] = {"fingerprint": data.fingerprint_, "version": package_version()}
        name = identity(config, **named)
        if (found := hooks.earlier(name)) is not None:
            log.info("an identical run has finished before: %s", found)
            return read_run(found)

        # Directory.
        stack.enter_context(bundle.begin(directory))
        run_log.into(directory / "run.log")
        config_text = snapshot(
            config,
            provenance=provenance(config, identity=name, fingerprint=data.fingerprint_),
            found={key: {"layouts": source.layouts()} for key, source in described_sources(data).items()},
        )
        write_whole(directory / "config.yaml", config_text)
        described = data_record(data)
        write_json(directory / "data.json", described)
        walk_forward = len(folds) > 1
        with _tracked(tracker, directory, config, data, name=name, tags=hooks.tags(tracker)) as live:

            def on_epoch(epoch: int, metrics: dict[str, float]) -> None:
                live.log_epoch(epoch, metrics)
                if not walk_forward:
                    hooks.on_epoch(epoch, metrics)

            # Training and forecasts, fold by fold.
            training = identity(config, **named, only=("data", "target", "evaluation", "baselines"))
            with Evaluator(
                directory,
                data,
                folds=len(folds),
                metrics=metrics_of,
                fit_baselines=partial((hooks.baseline_cache or BaselineCache()).fit, identity=training),
                baselines=baselines,
                intervals=intervals,
                significance=evaluation.significance,
                trading_rule=_trading_rule(evaluation.economics, data) if data.target.trading_rule else None,
                risk=getattr(evaluation, "risk", None) if data.target.has_risk else None,
            ) as evaluator:
                fits = fit_each(
                    config, data, folds, first, metrics_of, parallel=evaluation.parallel, on_epoch=on_epoch
                )
                for fold, here, forecaster, fitted in fits:
                    evaluator.add(fold, forecaster, here, fitted)
                    if walk_forward:
                        hooks.on_epoch(fold.number, evaluator.so_far("val"))
            bundle.write_model(directory, forecaster, here, intervals=evaluator.interval_state)

            # Figures, verdict, report; the manifest last.
            finished = _write_results(
                directory,
                config,
                data,
                evaluator,
                began=began,
                described=described,
                config_text=config_text,
                draw_plots=hooks.draw_plots and config.get("plots", True),
            )
            bundle.finish(directory, version=package_version())
            # Markdown, as MLflow's pages read it: the verdict, then the table in fixed width.
            sentence = finished.verdict.sentence
            description = f"{sentence[:1].upper()}{sentence[1:]}\n\n```text\n{finished.verdict.text}\n```"
            live.finish(status="FINISHED", metrics=finished.metrics, description=description)
    return finished


def _write_results(
    directory: Path,
    config: DictConfig,
    data: MarketData,
    evaluator: Evaluator,
    *,
    began: float,
    described: dict[str, Any],
    config_text: str,
    draw_plots: bool,
) -> Run:
    """Write the results of a run: evaluation.json, history.json, metrics.json, plots and report.html.

    Args:
        directory: of the run.
        config: of the run.
        data: as it was split for the first fold.
        evaluator: with the forecasts of all folds.
        began: when, by the monotonic clock, in seconds.
        described: the content of data.json.
        config_text: the content of config.yaml.
        draw_plots: as PNG files too.
    """
    figures, record = evaluator.result()
    record |= {"unproved": list(data.covariates.unproved.values())} if data.covariates.unproved else {}
    write_json(directory / "evaluation.json", record)
    history = [_finite(epoch) for epoch in evaluator.history]
    write_json(directory / "history.json", history)
    metrics: dict[str, float | None] = {
        **figures,
        **_finite(evaluator.losses),
        "epochs": len(history),
        "best_epoch": evaluator.last_fit.best_epoch,
        "seconds": round(time.monotonic() - began, 3),
    }
    write_json(directory / "metrics.json", metrics)

    from forecast.evaluate import report
    from forecast.evaluate.verdict import Verdict

    verdict = Verdict(
        metrics=metrics,
        tickers=data.panel_.names,
        strategy=strategy_name(config),
        horizon=data.horizon,
        evaluation=record,
        bar=data.bars.label,
    )
    log.debug("%s", verdict.text)  # for run.log; whoever called shows it
    shown: dict[str, Any] = {
        "forecasts": evaluator.shown,
        "metrics": metrics,
        "evaluation": record,
        "health": described,
    }
    drawn: list[Path] = []
    if draw_plots:
        drawn = report.write_plots(directory / "plots", history=history, ticker=data.panel_.names[0], **shown)
    report.write(
        directory,
        verdict=verdict,
        config_text=config_text,
        reproduce=f"python run.py -cd {shlex.quote(str(directory))} -cn config",
        history=evaluator.history,
        **shown,
    )
    return Run(
        directory=directory,
        metrics=metrics,
        history=history,
        verdict=verdict,
        figures={path.stem: path for path in drawn},
        evaluation=record,
    )


def fit_each(
    config: DictConfig,
    data: MarketData,
    folds: list[Fold],
    forecaster: Forecaster,
    score: Score,
    *,
    parallel: int,
    on_epoch: OnEpoch,
) -> Iterator[tuple[Fold, MarketData, Forecaster, TrainingResult]]:
    """The folds in order, each with its data and its forecaster.

    Args:
        config: of the run.
        data: loaded, and split as the first fold says.
        folds: oldest test rows first; one that is not fitted anew goes on with the scalers and weights before it.
        forecaster: fitted again and again, from the seed's first weights, whatever was fitted before.
        score: metrics of the validation rows of an epoch.
        parallel: folds fitted at once; above 1, on Ray, with the same result.
        on_epoch: called with the number of epochs so far and their metrics, in order of folds.
    """
    epochs = 0

    def count(_: int, metrics: dict[str, float]) -> None:
        nonlocal epochs
        on_epoch(epochs, metrics)
        epochs += 1

    refitted = [fold for fold in folds if fold.refit]
    on_ray = parallel > 1 and len(refitted) > 1
    results = _fit_on_ray(config, data, refitted, score, parallel, count) if on_ray else None
    for fold in folds:
        here = data if fold.ranges == data.split_ranges_ else data.with_split(fold.ranges)
        if fold.refit and results is not None:
            forecaster, fitted = next(results)
        elif fold.refit:
            fitted = train(forecaster, here, score=score, on_epoch=count)
        yield fold, here, forecaster, fitted


def _fit_on_ray(
    config: DictConfig, data: MarketData, folds: list[Fold], score: Score, parallel: int, on_epoch: OnEpoch
) -> Iterator[tuple[Forecaster, TrainingResult]]:
    """Fits made by Ray workers, at most `parallel` at once, in order of folds."""
    import ray

    own = not ray.is_initialized()
    if own:
        # "local": a cluster that happens to run on this machine is none of ours.
        ray.init(
            "local",
            num_cpus=parallel,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    try:
        shared = ray.put((config, data, score))
        task: Any = ray.remote(num_cpus=1, max_retries=2)(_fit_remotely)
        pending = [task.remote(shared, fold) for fold in folds[:parallel]]
        for number in range(len(folds)):
            forecaster, fitted = ray.get(pending[number])
            if len(pending) < len(folds):
                pending.append(task.remote(shared, folds[len(pending)]))
            for epoch, metrics in enumerate(fitted.history):
                on_epoch(epoch, metrics)
            yield forecaster, fitted
    finally:
        if own:
            ray.shutdown()


def _fit_remotely(
    shared: tuple[DictConfig, MarketData, Score], fold: Fold
) -> tuple[Forecaster, TrainingResult]:
    config, data, score = shared
    forecaster = build_forecaster(config, data.facts, score=score)
    return forecaster, train(forecaster, data.with_split(fold.ranges), score=score)


def _trading_rule(rule: Any, data: MarketData) -> Any:
    """The config's, which may be a class of one's own, with the number of bars in a year of these bars."""
    of_bars = getattr(rule, "of_bars", None)
    return rule if of_bars is None else of_bars(data.bars)


class _NoTracker:
    """Stands where no tracker is."""

    def start(self, **_: Any) -> None: ...

    def log_epoch(self, epoch: int, metrics: dict[str, float]) -> None: ...

    def finish(self, **_: Any) -> None: ...


@contextmanager
def _tracked(
    tracker: Any,
    directory: Path,
    config: DictConfig,
    data: MarketData,
    *,
    name: str,
    tags: Mapping[str, str],
) -> Iterator[Any]:
    """Record a run while it lasts; one that ends early is recorded as KILLED or FAILED."""
    from omegaconf import OmegaConf

    from forecast.finished_runs import git_revision

    live, values = tracker or _NoTracker(), data.panel_.values
    live.start(
        directory=directory,
        name=_readable_name(config, data, identity=name),
        params=OmegaConf.to_container(config, resolve=True),
        dataset={
            "name": ", ".join(data.tickers[:5]) + (", ..." if len(data.tickers) > 5 else ""),
            "digest": data.fingerprint_,
            "source": json.dumps(data_request(config), default=str),
            "profile": json.dumps({"num_rows": len(values), "num_elements": values.size}),
        },
        tags={
            "strategy": strategy_name(config),
            "tickers": ", ".join(data.tickers[:50]),
            "identity": name,
            "git_revision": git_revision() or "",
            "data_fingerprint": data.fingerprint_,
            "version": package_version(),
            **tags,
        },
    )
    try:
        yield live
    except (KeyboardInterrupt, StoppedError) as error:
        # Into the file alone: whoever started the run says it on the screen.
        log.debug("interrupted" if isinstance(error, KeyboardInterrupt) else "stopped: others do better")
        live.finish(status="KILLED", metrics={})
        raise
    except BaseException as error:
        if not isinstance(error, UserError):  # refused only now, by what the model found in the training bars
            log.debug("the run failed", exc_info=True)
        live.finish(status="FAILED", metrics={})
        raise


def _readable_name(config: DictConfig, data: MarketData, *, identity: str) -> str:
    """How a tracker's list of runs calls it: `range_single lstm AAPL seed 0 1515c485`."""
    choices = origin(config).get("choices") or {}
    model = choices.get("model") or str(config.model._target_).rsplit(".", 1)[-1]
    tickers = data.tickers[0] if len(data.tickers) == 1 else f"{data.tickers[0]} +{len(data.tickers) - 1}"
    return f"{strategy_name(config)} {model} {tickers} seed {config.seed} {identity[:8]}"


def check_same_data(config: DictConfig, data: MarketData) -> None:
    """Refuse to replay a saved config on other bars than it was made with.

    Raises:
        UserError: the same request gave other bars, and on_data_change is `error`.
    """
    saved = config.get("provenance")
    if saved is None or saved.data_request != data_request(config):
        return
    if saved.data_fingerprint == data.fingerprint_:
        return
    message = (
        f"the bars differ from those of the saved run (fingerprint {data.fingerprint_}, "
        f"saved {saved.data_fingerprint}): its metrics cannot come out again"
    )
    if config.on_data_change == "error":
        raise UserError(f"on_data_change=error: {message}; on_data_change=warn goes on")
    log.warning(message)


def check_data(config: DictConfig) -> str:
    """Fetch, check and window the data of a config: rows, dates, windows, ranges and faults, as text.

    Raises:
        UserError: the data cannot be had as asked.
    """
    with logged():
        data = build(config.data, source=build(config.source), target=build(config.get("target")))
        data.prepare()
        check_same_data(config, data)
        return describe(data)


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: what is undefined is null."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
