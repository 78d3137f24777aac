"""Where a forecast stands in a ticker's history, told by its last closes: a name that needs no dates."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Five closes to the last digit hardly come again.
_MOST_CLOSES = 5
# Odd numbers for a multilinear hash (Lemire and Kaser 2014, https://arxiv.org/abs/1202.4961).
_FACTORS = np.random.default_rng(20_000_301).integers(0, 2**63, _MOST_CLOSES, dtype=np.uint64) * np.uint64(
    2
) + np.uint64(1)


def closes_told(lookback: int) -> int:
    """How many closes name a place, so that a later window that holds them shows what came; 0: none can.

    Args:
        lookback: of the model.
    """
    return min(_MOST_CLOSES, lookback // 2)


def places(closes: NDArray[np.floating], tickers: Sequence[str | None], told: int) -> NDArray[np.int64]:
    """Names of all days that have enough closes behind them.

    Args:
        closes: (windows, bars) oldest first.
        tickers: (windows,) whose they are.
        told: closes that name a place.

    Returns:
        (windows, bars - told + 1): of the bars `told - 1`, `told` and so on.
    """
    bits = np.ascontiguousarray(closes, dtype=np.float32).view(np.uint32).astype(np.uint64)
    seen = np.lib.stride_tricks.sliding_window_view(bits, told, axis=1)  # (B, bars - told + 1, told)
    owners = np.asarray([_number(ticker or "") for ticker in tickers], dtype=np.uint64)
    hashed = (seen * _FACTORS[:told]).sum(axis=2, dtype=np.uint64) + owners[:, None]
    named: NDArray[np.int64] = hashed.view(np.int64)
    return named


@lru_cache(maxsize=16_384)
def _number(ticker: str) -> int:
    return int.from_bytes(hashlib.blake2b(ticker.encode("utf-8", "replace"), digest_size=8).digest())
