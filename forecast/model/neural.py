"""A network as a forecaster: raw windows in, values in the target's unit out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from forecast.model.forecaster import (
    LEAST_CHANCE,
    Forecast,
    Forecaster,
    OnEpoch,
    Score,
    TrainingResult,
    scored,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.normaliser import WindowNormaliser
    from forecast.data.windows import WindowBatch
    from forecast.model.shrinkage import LinearMap

# Windows answered at once: enough to keep the arithmetic busy; on a processor few enough to stay in its cache (an LSTM
# of 128 units answers 512 at a time a fifth quicker than 2,048).
_CHUNK, _CHUNK_ON_GPU = 512, 2048
# Names of what a network starts from among its saved weights, and here.
_START = {"start.coefficients": "_start_coefficients", "start.intercept": "_start_intercept"}
# Before the names of a reference's arrays, among the weights.
_REFERENCE = "reference."


class Training(Protocol):
    """How a network is fitted: the `trainer` node of a config, whose settings Trainer describes."""

    metric: str
    mode: Literal["min", "max"]
    learning_rate: float
    weight_decay: float
    decay: Literal["decoupled", "l2"]
    gradient_clip: float | None
    lr_schedule: Literal["constant", "cosine", "plateau"]

    @property
    def quantile_levels(self) -> tuple[float, ...] | None:
        """What the network is to answer with; None: the forecast alone."""
        ...

    def pinned(self) -> AbstractContextManager[None]:
        """Seeds, threads and algorithms fixed."""
        ...

    def fit(
        self, forecaster: NetworkForecaster, data: MarketData, *, score: Score, on_epoch: OnEpoch
    ) -> TrainingResult:
        """Train in place."""
        ...

    def is_better(self, one: Mapping[str, float], other: Mapping[str, float]) -> bool:
        """Whether the metrics of one epoch are better than those of another, in the objective."""
        ...


class NetworkForecaster(nn.Module):
    """A network between the two halves of a normaliser; its answers may be added to those of a linear map.

    Args:
        make_network: draws first weights: (batch, lookback, features) -> (batch, horizon) in normalised units; with
            quantile levels (batch, horizon * levels), a step's levels side by side.
        lookback: bars a window holds.
        trainer: fits it; None of one that is only restored.
        score: metrics of an epoch; only fitting needs it.
        network: one that `make_network` has made already; fitting makes another, after the seed is set.
        quantile_levels: ascending, 0.5 among them; None stands for the trainer's.
    """

    normaliser: WindowNormaliser | None
    _start_coefficients: Tensor | None
    _start_intercept: Tensor | None

    def __init__(
        self,
        *,
        make_network: Callable[[], nn.Module],
        lookback: int,
        trainer: Training | None = None,
        score: Score | None = None,
        network: nn.Module | None = None,
        quantile_levels: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        self.make_network = make_network
        self.lookback = lookback
        self.trainer = trainer
        self.score = score
        own = None if trainer is None else trainer.quantile_levels
        self.quantile_levels = own if quantile_levels is None else quantile_levels
        self.network = make_network() if network is None else network
        self.normaliser = None
        for name in _START:
            self.register_buffer(_START[name], None, persistent=False)

    def fit(self, data: MarketData, *, on_epoch: OnEpoch | None = None) -> TrainingResult:
        """See Forecaster: from the first weights of the trainer's seed, whatever was fitted before."""
        assert self.trainer is not None, "needs a trainer"
        assert self.score is not None, "needs a score"
        on_epoch = on_epoch or (lambda _epoch, _metrics: None)
        with self.trainer.pinned():
            self.network = self.make_network()
            self.normaliser = data.normaliser_
            if self.reference is None:
                return self.trainer.fit(self, data, score=self.score, on_epoch=on_epoch)
            self.reference.fit(data)
            return self._fit_around(data, self.trainer, self.score, on_epoch)

    @property
    def reference(self) -> Forecaster | None:
        """What the network's answers are added to, see AroundReference; None of other networks."""
        # getattr asks torch's registers first, and takes a microsecond
        return vars(self.network).get("reference")

    @property
    def history(self) -> int | None:
        """See Forecaster."""
        if self.reference is None:
            return self.lookback
        further = self.reference.history
        return None if further is None else max(self.lookback, further)

    def forecast(self, batch: WindowBatch) -> Forecast:
        """See Forecaster."""
        return self.forecast_windows(batch.windows, self.offset(batch))

    @torch.inference_mode()
    def forecast_windows(self, windows: NDArray[np.float32], offset: Tensor | None = None) -> Forecast:
        """Forecast without gradients, in evaluation mode.

        Args:
            windows: (batch, lookback, columns) raw panel rows.
            offset: what `offset` gives of them.
        """
        fitted = self.fitted
        raw = torch.from_numpy(windows).to(fitted.device)
        few = raw.is_cpu and len(raw) <= _CHUNK
        inputs = fitted.inputs(raw) if few else None
        answers = self.answers(raw, inputs)
        if offset is not None:
            answers = answers + offset
        if self.quantile_levels is None:
            return Forecast(self._to_values(raw, answers), None, None if inputs is None else inputs.numpy())
        quantiles = self._to_values(raw, self._by_level(answers))  # (B, h, Q)
        return Forecast(quantiles[..., self.quantile_levels.index(0.5)], quantiles)

    def forward(self, windows: Tensor) -> Tensor:
        """Raw windows (batch, lookback, columns) to the network's answers in normalised units, (batch, outputs)."""
        return self._from_inputs(self.fitted.inputs(windows))

    def _from_inputs(self, inputs: Tensor) -> Tensor:
        answers: Tensor = self.network(inputs)
        start = self.start(inputs)
        return answers if start is None else answers + start

    def start_from(self, start: LinearMap | None) -> None:
        """Take what the network's answers are added to; None = nothing."""
        self._start_coefficients = self._start_intercept = None
        if start is not None:
            device = self.fitted.device
            self._start_coefficients = torch.from_numpy(start.coefficients).float().to(device)
            self._start_intercept = torch.from_numpy(start.intercept).float().to(device)

    def start(self, inputs: Tensor) -> Tensor | None:
        """What the network's answers are added to: (batch, lookback, features) -> (batch, outputs); None = nothing."""
        coefficients, intercept = self._start_coefficients, self._start_intercept
        if coefficients is None or intercept is None:
            return None
        answers = torch.addmm(intercept, inputs.flatten(1), coefficients)
        return (
            answers
            if self.quantile_levels is None
            else answers.repeat_interleave(len(self.quantile_levels), 1)
        )

    def answers(self, windows: Tensor, inputs: Tensor | None = None) -> Tensor:
        """What `forward` gives in evaluation mode, in chunks that suit the device, or at once from inputs."""
        training = self.training or self.network.training
        if training:  # to tell every part takes its time
            self.eval()
        try:
            if inputs is not None:
                return self._from_inputs(inputs)
            size = _CHUNK if windows.is_cpu else _CHUNK_ON_GPU
            if windows.shape[0] <= size:
                return self(windows)  # type: ignore[no-any-return]
            return torch.cat([self(chunk) for chunk in windows.split(size)])
        finally:
            if training:
                self.train()

    def offset(self, batch: WindowBatch) -> Tensor | None:
        """What the network's answers are added to: the reference's forecasts as answers, in double precision.

        Returns:
            (batch, outputs) in normalised units, every level of a step alike; None without a reference.
        """
        if self.reference is None:
            return None
        values = torch.from_numpy(self.reference.forecast(batch).values)  # (B, h)
        normaliser = self.fitted
        if normaliser.target_relation == "probability":
            answers = torch.logit(values.to(normaliser.device), eps=LEAST_CHANCE)
        else:
            future = values.new_zeros(*values.shape, batch.panel.values.shape[1])
            future[..., batch.layout.target] = values
            windows = torch.from_numpy(batch.windows).to(normaliser.device)
            answers = normaliser.targets(windows, future.to(normaliser.device))
        if self.quantile_levels is not None:
            answers = answers.repeat_interleave(len(self.quantile_levels), dim=1)
        return answers

    def _fit_around(
        self, data: MarketData, trainer: Training, score: Score, on_epoch: OnEpoch
    ) -> TrainingResult:
        """Train, with the untrained network, which is the reference, as the first of the epochs to choose from."""
        first = {name: value.clone() for name, value in self.network.state_dict().items()}
        untrained = scored(self, data, score)
        on_epoch(0, untrained)
        result = trainer.fit(
            self, data, score=score, on_epoch=lambda epoch, metrics: on_epoch(epoch + 1, metrics)
        )
        history = [{"epoch": 0, **untrained}]
        history += [{**epoch, "epoch": number} for number, epoch in enumerate(result.history, start=1)]
        best = result.best_epoch + 1
        if not trainer.is_better(history[best], untrained):
            self.network.load_state_dict(first)
            best = 0
        return TrainingResult(history=history, best_epoch=best, seconds=result.seconds)

    def central(self, answers: Tensor) -> Tensor:
        """The answer that is the forecast: (batch, outputs) -> (batch, horizon)."""
        if self.quantile_levels is None:
            return answers
        return self._by_level(answers)[..., self.quantile_levels.index(0.5)]

    @property
    def fitted(self) -> WindowNormaliser:
        """The normaliser, of a forecaster that was fitted or restored."""
        normaliser = self.normaliser
        assert normaliser is not None, "not fitted"
        return normaliser

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See Forecaster: the weights; sizes and normaliser."""
        weights = {
            name: value.detach().cpu().contiguous().numpy()
            for name, value in self.network.state_dict().items()
        }
        for name, attribute in _START.items():
            value = getattr(self, attribute)
            if value is not None:
                weights[name] = value.cpu().contiguous().numpy()
        reference: dict[str, Any] = {}
        if self.reference is not None:
            arrays, facts = self.reference.state()
            weights |= {_REFERENCE + name: value for name, value in arrays.items()}
            reference = {"reference": facts}
        return weights, {
            **reference,
            "quantile_levels": None if self.quantile_levels is None else list(self.quantile_levels),
            "normaliser": self.fitted.to_json(),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """See Forecaster."""
        from forecast.data.normaliser import WindowNormaliser

        if self.reference is not None:
            of_reference = {
                name.removeprefix(_REFERENCE): value
                for name, value in arrays.items()
                if name.startswith(_REFERENCE)
            }
            arrays = {name: value for name, value in arrays.items() if not name.startswith(_REFERENCE)}
            self.reference.restore(of_reference, {**facts, **facts["reference"]})
        weights = {name: torch.from_numpy(value) for name, value in arrays.items()}
        for name, attribute in _START.items():  # which earlier versions had not
            setattr(self, attribute, weights.pop(name, None))
        self.network.load_state_dict(weights, strict=True)
        levels = facts.get("quantile_levels")
        self.quantile_levels = None if levels is None else tuple(levels)
        self.normaliser = WindowNormaliser.from_json(facts["normaliser"])
        self.eval()

    def _by_level(self, answers: Tensor) -> Tensor:
        """(batch, horizon * levels) -> (batch, horizon, levels), ascending: quantiles that crossed change places.

        Source: Chernozhukov, Fernandez-Val and Galichon (2010), https://doi.org/10.3982/ECTA7880.
        """
        assert self.quantile_levels is not None
        return answers.reshape(len(answers), -1, len(self.quantile_levels)).sort(dim=-1).values

    def _to_values(self, windows: Tensor, answers: Tensor) -> NDArray[np.float64]:
        values: NDArray[np.float64] = self.fitted.values(windows, answers).cpu().numpy()
        return values
