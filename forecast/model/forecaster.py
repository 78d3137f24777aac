"""Network and normaliser in one: raw windows in, prices out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forecast.data.normaliser import WindowNormaliser

# Matrix products of fewer rows take other code paths and differ in the last bit; padded to a multiple of this,
# a window's forecast is the same whatever stands beside it (measured: 32 rows and more agree bit for bit).
_BLOCK = 32
# Windows answered at once: enough to keep the arithmetic busy, few enough to stay in the cache.
_MOST = 2048


class Forecaster(nn.Module):
    """What is trained, evaluated, saved and served.

    Args:
        network: (batch, lookback, features) -> (batch, horizon), in normalised units.
        normaliser: the run's fitted normaliser.
    """

    def __init__(self, *, network: nn.Module, normaliser: WindowNormaliser) -> None:
        super().__init__()
        self.network = network
        self.normaliser = normaliser

    def forward(self, windows: Tensor) -> Tensor:
        """Raw windows to prices.

        Args:
            windows: (batch, lookback, columns) raw panel rows.

        Returns:
            (batch, horizon) float64, in the source's units.
        """
        return self.normaliser.prices(windows, self.answers(windows))

    def answers(self, windows: Tensor) -> Tensor:
        """The network's answers in normalised units, (batch, horizon), the same whatever the batch."""
        pieces = []
        for piece in windows.split(_MOST):
            missing = -len(piece) % _BLOCK
            padded = torch.cat((piece, piece[:1].expand(missing, -1, -1))) if missing else piece
            pieces.append(self.network(self.normaliser.inputs(padded))[: len(piece)])
        return torch.cat(pieces)

    @torch.inference_mode()
    def predict(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Forward without gradients, in evaluation mode, on numpy arrays.

        Args:
            windows: (batch, lookback, columns).

        Returns:
            (batch, horizon) prices.
        """
        training = self.training
        self.eval()
        try:
            device = next(self.parameters()).device
            prices: NDArray[np.float64] = self(torch.from_numpy(windows).to(device)).cpu().numpy()
            return prices
        finally:
            self.train(training)
