"""How long requests took, as counts in fixed buckets: they can be added up over processes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

# Preferred numbers: two neighbours lie about 10 % apart, so a percentile is off by 5 % at most.
_STEPS = (
    1.0, 1.1, 1.2, 1.3, 1.5, 1.6, 1.8, 2.0, 2.2, 2.5, 2.7, 3.0,
    3.3, 3.6, 3.9, 4.3, 4.7, 5.0, 5.6, 6.2, 6.8, 7.5, 8.2, 9.1,
)  # fmt: skip
# Upper ends in seconds, 10 us to 100 s; one more bucket takes what is longer.
EDGES = (*(float(f"{step}e{power}") for power in range(-5, 2) for step in _STEPS), 100.0)
BUCKETS = len(EDGES) + 1
# Those that a scraper is shown.
_COARSE = tuple(
    number for number, edge in enumerate(EDGES) if f"{edge:.1e}"[:3] in ("1.0", "2.5", "5.0") and edge >= 1e-4
)


def bucket(seconds: float) -> int:
    """Which bucket a duration belongs to."""
    return bisect_left(EDGES, seconds)


def percentile(counts: Sequence[int], share: float) -> float | None:
    """The duration that a share of requests did not exceed, in seconds; None without requests.

    Args:
        counts: (BUCKETS,) requests.
        share: 0 to 1.
    """
    total = sum(counts)
    if not total:
        return None
    wanted, below = share * total, 0
    for number, count in enumerate(counts):
        if count and below + count >= wanted:
            low = EDGES[number - 1] if number else 0.0
            high = EDGES[min(number, len(EDGES) - 1)]
            return low + (high - low) * max(0.0, wanted - below) / count
        below += count
    raise AssertionError(share)


def cumulative(counts: Sequence[int]) -> list[tuple[float, int]]:
    """Upper end in seconds, and how many requests took no longer, for some of the buckets.

    Args:
        counts: (BUCKETS,) requests.
    """
    so_far = list(accumulate(counts))
    return [(EDGES[number], so_far[number]) for number in _COARSE]
