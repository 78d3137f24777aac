"""From the `model` and `trainer` nodes of a config to a forecaster, fitted or restored."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from forecast.config.building import build, locate, signature
from forecast.errors import UserError
from forecast.model.forecaster import (
    Forecaster,
    OnEpoch,
    Score,
    TrainingResult,
    measure_errors,
    restore_errors,
    scored,
)

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from forecast.data.covariates import Covariates
    from forecast.data.market import MarketData
    from forecast.model.trainer import Trainer

# What a constructor may ask for beside its own keys: features a step, steps a window, steps (times quantiles) ahead.
_SIZES = ("input_size", "lookback", "output_size")


def make_trainer(config: DictConfig) -> Trainer:
    """The `trainer` node, with the objective and the seed."""
    trainer: Trainer = build(
        config.trainer, metric=config.objective.metric, mode=config.objective.mode, seed=config.seed
    )
    return trainer


def build_covariates(config: DictConfig, *, lead: int, horizon: int) -> Covariates:
    """The `data.covariates` nodes, to put beside bars that were not fetched by a MarketData.

    Args:
        config: of a run.
        lead: of its target.
        horizon: of its model.
    """
    from forecast.data.covariates import Covariates

    nodes = config.data.get("covariates") or {}
    if isinstance(nodes, Mapping):
        return Covariates({name: build(node) for name, node in nodes.items()}, lead=lead, horizon=horizon)
    return Covariates([build(node) for node in nodes], lead=lead, horizon=horizon)


def build_forecaster(
    config: DictConfig, sizes: Mapping[str, int], *, score: Score, trainer: Trainer | None = None
) -> Forecaster:
    """The `model` node as a forecaster that can be fitted.

    A torch module is wrapped with the `trainer` node's settings; anything with `fit` and `forecast` is used as it is.

    Args:
        config: of the run.
        sizes: `MarketData.facts`; their output_size is the horizon.
        score: metrics of the validation rows of an epoch, which the objective must be one of.
        trainer: where it is built already.

    Raises:
        UserError: the model is neither, or cannot be trained on windows of these sizes; no epoch reports the
            objective.
    """
    trainer = trainer or make_trainer(config)
    score.check_objective(trainer.metric, trainer.mode)
    sizes = {**sizes, "output_size": sizes["output_size"] * len(trainer.quantile_levels or (0.5,))}
    with trainer.pinned():
        return _to_fit(config.model, sizes, trainer, score)


def _to_fit(node: Mapping[str, Any], sizes: Mapping[str, int], trainer: Trainer, score: Score) -> Forecaster:
    """A node of a model as a forecaster that can be fitted; an Average builds its members in the same way."""
    from torch import nn

    from forecast.model.network import check_network
    from forecast.model.neural import NetworkForecaster

    name = f"model._target_={node['_target_']}"
    make = partial(_to_fit, sizes=sizes, trainer=trainer, score=score)
    model = _construct(node, sizes, make)
    if is_forecaster(model):
        if trainer.quantile_levels is not None:
            raise UserError(f"trainer.loss=quantile: {name} is not trained with a loss; leave it out")
        return model  # type: ignore[no-any-return]
    if not isinstance(model, nn.Module):
        raise UserError(
            f"{name}: gives a {type(model).__name__}, must give a torch module or a forecaster: "
            "fit(data) and forecast(batch)"
        )
    forecaster = NetworkForecaster(
        network=model,
        make_network=partial(_construct, node, sizes),
        lookback=sizes["lookback"],
        trainer=trainer,
        score=score,
    )
    check_network(forecaster.network, **sizes, name=name)
    return forecaster


def restore_forecaster(config: DictConfig, arrays: Mapping[str, Any], facts: Mapping[str, Any]) -> Forecaster:
    """The `model` node of a finished run as it was fitted.

    Args:
        config: of the run.
        arrays: of `Forecaster.state`.
        facts: likewise, with input_size, lookback, output_size and horizon.
    """
    model = _to_restore(config.model, {name: facts[name] for name in _SIZES})
    model.restore(arrays, facts)
    restore_errors(model, facts)
    return model


def _to_restore(node: Mapping[str, Any], sizes: Mapping[str, int]) -> Forecaster:
    """A node of a model as a forecaster that is not fitted yet."""
    from forecast.model.neural import NetworkForecaster

    model = _construct(node, sizes, partial(_to_restore, sizes=sizes))
    if is_forecaster(model):
        return model  # type: ignore[no-any-return]
    return NetworkForecaster(make_network=lambda: model, lookback=sizes["lookback"])


def is_forecaster(model: object) -> bool:
    """Whether it fits and forecasts by itself."""
    return all(callable(getattr(model, method, None)) for method in ("fit", "forecast", "state", "restore"))


def train(
    forecaster: Forecaster, data: MarketData, *, score: Score, on_epoch: OnEpoch | None = None
) -> TrainingResult:
    """Fit; of a forecaster without epochs the one fit counts as an epoch.

    Args:
        forecaster: fitted in place.
        data: prepared.
        score: metrics of validation rows.
        on_epoch: takes the number and metrics of each epoch.
    """
    began = time.monotonic()
    result = forecaster.fit(data, on_epoch=on_epoch)
    measure_errors(forecaster, data)
    if result is not None:
        return result
    seconds = time.monotonic() - began
    epoch = scored(forecaster, data, score)
    if on_epoch is not None:
        on_epoch(0, epoch)
    return TrainingResult(history=[{"epoch": 0, **epoch}], best_epoch=0, seconds=seconds)


def _construct(
    node: Mapping[str, Any],
    sizes: Mapping[str, int],
    make: Callable[[Mapping[str, Any]], Forecaster] | None = None,
) -> Any:
    """What a node of a model describes, given those sizes that its constructor asks for.

    Args:
        node: with `_target_`.
        sizes: what is known of the data.
        make: builds the members of an average.
    """
    known = signature(locate(node["_target_"]))
    if known is None or known.takes_any_key:
        return build(node, **sizes)
    given = {**sizes, "make": make}
    return build(node, **{name: given[name] for name in given if name in known.parameters})
