"""One thread for the arithmetic of other packages: sums in another order differ in the last bits."""

from __future__ import annotations

from typing import Any


def one_thread() -> Any:
    """A context in which every BLAS and OpenMP loaded so far uses one thread: import first, then enter."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)
