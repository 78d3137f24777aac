"""Fit a forecaster to each fold: one after the other here, or several at once on Ray, to the same bits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from forecast.config import build

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from forecast.data.market import MarketData
    from forecast.evaluate.folds import Fold
    from forecast.model.forecaster import Forecaster
    from forecast.model.trainer import Fit, Trainer

OnEpoch = Callable[[int, dict[str, float]], None]


def make_trainer(config: DictConfig) -> Trainer:
    """The `trainer` node, told the objective and the seed."""
    trainer: Trainer = build(
        config.trainer, metric=config.objective.metric, mode=config.objective.mode, seed=config.seed
    )
    return trainer


def fit(config: DictConfig, data: MarketData, on_epoch: OnEpoch) -> tuple[Forecaster, Fit]:
    """Fit to divided data from the seed's initial weights, whatever was fitted before.

    Args:
        config: of the run.
        data: split.
        on_epoch: called with the number and metrics of each epoch.
    """
    from forecast.evaluate.metrics import Tally
    from forecast.model.forecaster import Forecaster

    trainer = make_trainer(config)
    with trainer.pinned():
        forecaster = Forecaster(
            network=build(config.model, **trainer.sizes(data.facts)),
            normaliser=data.normaliser_,
            quantile_levels=trainer.quantile_levels,
        )
        return forecaster, trainer.fit(
            forecaster, data, score=partial(Tally, horizon=data.horizon), on_epoch=on_epoch
        )


def fit_each(
    config: DictConfig, data: MarketData, folds: list[Fold], *, parallel: int, on_epoch: OnEpoch
) -> Iterator[tuple[Fold, MarketData, Forecaster, Fit]]:
    """The folds in order, each with its data and the forecaster that speaks for it.

    Args:
        config: of the run.
        data: loaded, and split as the first fold says.
        folds: oldest test days first; one that is not fitted anew goes on with the scalers and weights before it.
        parallel: folds fitted at once; above 1, on Ray.
        on_epoch: called with the number of epochs so far and their metrics, in order of folds.
    """
    told = 0

    def tell(_: int, metrics: dict[str, float]) -> None:
        nonlocal told
        on_epoch(told, metrics)
        told += 1

    anew = [fold for fold in folds if fold.refit]
    elsewhere = _on_ray(config, data, anew, parallel, tell) if parallel > 1 and len(anew) > 1 else None
    for fold in folds:
        here = data if fold.stretches == data.stretches_ else data.divided(fold.stretches)
        if fold.refit:
            forecaster, went = fit(config, here, tell) if elsewhere is None else next(elsewhere)
        yield fold, here, forecaster, went


def _on_ray(
    config: DictConfig, data: MarketData, folds: list[Fold], parallel: int, tell: OnEpoch
) -> Iterator[tuple[Forecaster, Fit]]:
    """Fits made by Ray workers, at most `parallel` at once, in order of folds."""
    import ray

    with _started(num_cpus=parallel):
        shared = ray.put((config, data))
        task: Any = ray.remote(num_cpus=1, max_retries=2)(_fit_there)
        waiting = [task.remote(shared, fold) for fold in folds[:parallel]]
        for number in range(len(folds)):
            forecaster, went = ray.get(waiting[number])
            if len(waiting) < len(folds):
                waiting.append(task.remote(shared, folds[len(waiting)]))
            for epoch, metrics in enumerate(went.history):
                tell(epoch, metrics)
            yield forecaster, went


@contextmanager
def _started(*, num_cpus: int) -> Iterator[None]:
    """Ray, unless this process is part of it already."""
    import ray

    if ray.is_initialized():
        yield
        return
    ray.init(num_cpus=num_cpus, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def _fit_there(shared: tuple[DictConfig, MarketData], fold: Fold) -> tuple[Forecaster, Fit]:
    config, data = shared
    return fit(config, data.divided(fold.stretches), lambda *_: None)
