"""From the `model` and `trainer` nodes of a config to a forecaster, fitted or restored."""

from __future__ import annotations

import time
from collections.abc import Mapping
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
)

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from forecast.data.covariates import Covariates
    from forecast.data.market import MarketData
    from forecast.data.windows import WindowIndex
    from forecast.model.trainer import Trainer

# What a constructor may ask for beside its own keys: features a step, steps a window, steps (times quantiles) ahead.
_SIZES = ("input_size", "lookback", "output_size")
# Windows forecast at once, and at most, where a forecaster without epochs is scored.
_CHUNK, _MAX_SCORED = 8_192, 65_536


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


def build_forecaster(config: DictConfig, sizes: Mapping[str, int], *, score: Score) -> Forecaster:
    """The `model` node as a forecaster that can be fitted.

    A torch module is wrapped with the `trainer` node's settings; anything with `fit` and `forecast` is used as it is.

    Args:
        config: of the run.
        sizes: `MarketData.facts`; their output_size is the horizon.
        score: metrics of the validation rows of an epoch, which the objective must be one of.

    Raises:
        UserError: the model is neither, or cannot be trained on windows of these sizes; no epoch reports the
            objective.
    """
    from torch import nn

    from forecast.model.network import check_network
    from forecast.model.neural import NetworkForecaster

    trainer = make_trainer(config)
    trainer.check_objective(score.names)
    sizes = {**sizes, "output_size": sizes["output_size"] * len(trainer.quantile_levels or (0.5,))}
    with trainer.pinned():
        model = _construct(config.model, sizes)
        if is_forecaster(model):
            if trainer.quantile_levels is not None:
                raise UserError(
                    f"trainer.loss=quantile: model._target_={config.model._target_} is not trained with a loss; "
                    "leave it out"
                )
            return model  # type: ignore[no-any-return]
        name = f"model._target_={config.model._target_}"
        if not isinstance(model, nn.Module):
            raise UserError(
                f"{name}: gives a {type(model).__name__}, must give a torch module or a forecaster: "
                "fit(data) and forecast(batch)"
            )
        forecaster = NetworkForecaster(
            make_network=partial(_construct, config.model, sizes),
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
    from forecast.model.neural import NetworkForecaster

    sizes = {name: facts[name] for name in _SIZES}
    model = _construct(config.model, sizes)
    if not is_forecaster(model):
        network = model
        model = NetworkForecaster(make_network=lambda: network, lookback=facts["lookback"])
    model.restore(arrays, facts)
    restore_errors(model, facts)
    return model  # type: ignore[no-any-return]


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
    _, train_loss = _scored(forecaster, data, data.windows_["train"], score)
    metrics, val_loss = _scored(forecaster, data, data.windows_["val"], score)
    epoch = {"train_loss": train_loss, "val_loss": val_loss, **metrics}
    if on_epoch is not None:
        on_epoch(0, epoch)
    return TrainingResult(history=[{"epoch": 0, **epoch}], best_epoch=0, seconds=seconds)


def _construct(node: DictConfig, sizes: Mapping[str, int]) -> Any:
    """What a `model` node describes, given those sizes that its constructor asks for."""
    known = signature(locate(node._target_))
    wanted = (
        sizes
        if known is None or known.takes_any_key
        else {name: size for name, size in sizes.items() if name in known.parameters}
    )
    return build(node, **wanted)


def _scored(
    forecaster: Forecaster, data: MarketData, windows: WindowIndex, score: Score
) -> tuple[dict[str, float], float]:
    """Metrics, and the mean squared error in the units that networks are trained in, of windows evenly spread."""
    import numpy as np
    import torch

    index = windows.spread(_MAX_SCORED)
    rows, forecasts = [], []
    squares = 0.0
    for start in range(0, len(index), _CHUNK):
        batch = windows.take(index[start : start + _CHUNK])
        values = forecaster.forecast(batch).values  # (B, h)
        rows.append(batch.rows)
        forecasts.append(values)
        forecast_bars = batch.future.copy()  # as if the forecast had come
        forecast_bars[..., data.layout.target] = values
        raw = torch.from_numpy(batch.windows)
        targets, answers = (
            data.normaliser_.targets(raw, torch.from_numpy(future)).numpy().astype(np.float64)
            for future in (batch.future, forecast_bars)
        )
        squares += float(np.square(answers - targets).sum())
    found = score(data=data, rows=np.concatenate(rows), forecast=np.concatenate(forecasts))
    metrics = {name: value for name, value in found.items() if value is not None}
    return metrics, squares / (len(index) * data.horizon)
