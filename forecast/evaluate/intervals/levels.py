"""The levels of a run's intervals: which there may be, and how many residuals they need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from annotated_types import Gt, Lt, MinLen

from forecast.errors import UserError

Levels = Annotated[list[Annotated[float, Gt(0), Lt(1)]], MinLen(1)]


def check_levels(levels: Sequence[float], *, key: str, residuals: int) -> None:
    """Refuse levels that name no interval, name one twice, or ask for more than the residuals can tell.

    Args:
        levels: shares of outcomes.
        key: of the config, that says how many residuals there are.
        residuals: that number.

    Raises:
        UserError: in one line.
    """
    shown = f"intervals.levels={[float(level) for level in levels]}"
    if not levels:
        raise UserError(f"{shown}: must have at least 1 item")
    if not all(0 < level < 1 for level in levels):
        raise UserError(f"{shown}: each must be > 0 and < 1, a share of outcomes such as 0.9")
    names = [f"{100 * level:g}" for level in levels]
    if len(set(names)) != len(names):
        raise UserError(f"{shown}: names a level twice")
    if list(levels) != sorted(levels, reverse=True):
        raise UserError(f"{shown}: must stand largest first: {sorted(map(float, levels), reverse=True)}")
    # The largest of n residuals holds n / (n + 1) of new outcomes, and nothing holds more.
    needed = math.ceil(round(levels[0] / (1 - levels[0]), 6))
    if residuals < needed:
        raise UserError(
            f"{key}={residuals}: intervals.levels={levels[0]} needs at least {needed:,} residuals"
        )
