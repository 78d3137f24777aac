"""Network and normaliser in one: raw windows in, prices out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forecast.data.normaliser import WindowNormaliser

# Matrix products of fewer rows take other code paths and differ in the last bit; padded to a multiple of this,
# a window's forecast is the same whatever stands beside it (measured: 32 rows and more agree bit for bit).
_BLOCK = 32
# Windows answered at once: enough to keep the arithmetic busy; on a processor few enough to stay in its cache (an LSTM
# of 128 units answers 512 at a time a fifth quicker than 2,048).
_MOST, _MOST_ON_GPU = 512, 2048


class Forecaster(nn.Module):
    """What is trained, evaluated, saved and served.

    Args:
        network: (batch, lookback, features) -> (batch, horizon), in normalised units; with `quantile_levels`
            (batch, horizon * levels), a step's levels side by side.
        normaliser: the run's fitted normaliser.
        quantile_levels: ascending, 0.5 among them, of a network that answers with quantiles; else None.

    `block` is the multiple that batches are padded to, so that a window's forecast does not depend on its neighbours.
    """

    def __init__(
        self,
        *,
        network: nn.Module,
        normaliser: WindowNormaliser,
        quantile_levels: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.normaliser = normaliser
        self.quantile_levels = quantile_levels
        self.block = _BLOCK

    def forward(self, windows: Tensor) -> Tensor:
        """Raw windows to prices; of a network that answers with quantiles the median.

        Args:
            windows: (batch, lookback, columns) raw panel rows.

        Returns:
            (batch, horizon) float64, in the source's units.
        """
        return self.normaliser.prices(windows, self.central(self.answers(windows)))

    def answers(self, windows: Tensor) -> Tensor:
        """The network's answers in normalised units, (batch, outputs), the same whatever the batch."""
        return self._seen(windows)[1]

    def _seen(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """What the network sees, (batch, lookback, features), and what it answers, (batch, outputs)."""
        count = windows.shape[0]
        most = _MOST if windows.is_cpu else _MOST_ON_GPU
        if count > most:
            pieces = [self._seen(piece) for piece in windows.split(most)]
            return torch.cat([inputs for inputs, _ in pieces]), torch.cat([answers for _, answers in pieces])
        missing = -count % self.block
        if not missing:
            inputs = self.normaliser.inputs(windows)
            return inputs, self.network(inputs)
        inputs = self.normaliser.inputs(torch.cat((windows, windows[:1].expand(missing, -1, -1))))
        return inputs[:count], self.network(inputs)[:count]

    def central(self, answers: Tensor) -> Tensor:
        """The answer that is the forecast: (batch, outputs) -> (batch, horizon)."""
        if self.quantile_levels is None:
            return answers
        return self._sorted(answers)[..., self.quantile_levels.index(0.5)]

    def _sorted(self, answers: Tensor) -> Tensor:
        """(batch, horizon * levels) -> (batch, horizon, levels), ascending: quantiles that crossed change places.

        Source: Chernozhukov, Fernandez-Val and Galichon (2010), https://doi.org/10.3982/ECTA7880.
        """
        assert self.quantile_levels is not None
        return answers.reshape(len(answers), -1, len(self.quantile_levels)).sort(dim=-1).values

    @torch.inference_mode()
    def predict(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Forward without gradients, in evaluation mode, on numpy arrays.

        Args:
            windows: (batch, lookback, columns).

        Returns:
            (batch, horizon) prices.
        """
        (prices,) = self._on_arrays(lambda raw: [self(raw)], windows)
        return prices

    @torch.inference_mode()
    def predict_seen(self, windows: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """What `predict` gives, and what the network saw to answer it.

        Args:
            windows: (batch, lookback, columns).

        Returns:
            (batch, horizon) prices, and (batch, lookback, features) normalised.
        """

        def both(raw: Tensor) -> list[Tensor]:
            inputs, answers = self._seen(raw)
            return [self.normaliser.prices(raw, self.central(answers)), inputs]

        prices, inputs = self._on_arrays(both, windows)
        return prices, inputs

    @torch.inference_mode()
    def quantiles(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """The prices below which the future lies with the probabilities `quantile_levels`.

        Args:
            windows: (batch, lookback, columns).

        Returns:
            (batch, horizon, levels) prices, ascending; at 0.5 exactly what `predict` gives.
        """
        (prices,) = self._on_arrays(
            lambda raw: [self.normaliser.prices(raw, self._sorted(self.answers(raw)))], windows
        )
        return prices

    def _on_arrays(
        self, compute: Callable[[Tensor], list[Tensor]], windows: NDArray[np.float32]
    ) -> list[NDArray[Any]]:
        training = self.training or self.network.training
        if training:  # to tell every part takes its time
            self.eval()
        try:
            device = self.normaliser.device
            return [found.cpu().numpy() for found in compute(torch.from_numpy(windows).to(device))]
        finally:
            if training:
                self.train()
