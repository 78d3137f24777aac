"""A window in units of itself: reversible instance normalisation (RevIN, Kim et al. 2022,
https://openreview.net/forum?id=cGDAkQo1C0p), without its learnt part.

Sums run over the bars one after the other: a library's reduction may round otherwise in another batch, and a window's
forecast must not depend on what is forecast beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor

# A Close that moved less than a basis point is no measure of moves to come.
_LEAST_SHARE = 1e-4


def standardised(windows: Tensor) -> Tensor:
    """Each feature of each window less its mean, in units of its standard deviation; 0 where it is constant.

    Args:
        windows: (batch, lookback, features).

    Returns:
        (batch, lookback, features), each value at most sqrt(lookback - 1) from 0.
    """
    _, away, spread = _spread(windows)
    return away / torch.where(spread == 0.0, 1.0, spread)


def move_unit(closes: Tensor) -> tuple[Tensor, Tensor]:
    """What a window's own Closes say of the size of moves.

    Args:
        closes: (batch, lookback), of the target.

    Returns:
        (batch, 1) their mean less the last of them, (batch, 1) their standard deviation, at least a basis point of the
        last; 1 where that is 0.
    """
    middle, _, spread = _spread(closes)
    least = torch.maximum(spread, _LEAST_SHARE * closes[:, -1:].abs())
    return middle, torch.where(least == 0.0, 1.0, least)


def _spread(windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Along dimension 1: mean less the last value, distances from the mean, standard deviation."""
    length = windows.shape[1]
    away = windows - windows[:, -1:]  # exactly 0 where nothing moved
    middle = _sum(away) / length
    away = away - middle
    return middle, away, torch.sqrt(_sum(away * away) / length)


def _sum(windows: Tensor) -> Tensor:
    """Over dimension 1, which stays, with length 1."""
    total = windows[:, :1].clone()
    for bar in range(1, windows.shape[1]):
        total += windows[:, bar : bar + 1]
    return total
