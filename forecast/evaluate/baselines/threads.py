"""One thread for the arithmetic of other packages: sums in another order differ in the last bits."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any


def one_thread() -> Any:
    """A context in which every BLAS and OpenMP loaded so far uses one thread: import first, then enter."""
    return _libraries(len(sys.modules)).limit(limits=1)


@lru_cache(maxsize=1)
def _libraries(_: int) -> Any:
    """Those loaded so far; to look for them takes 10 ms, and only an import can bring more."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
