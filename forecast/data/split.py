"""Train, validation and test as stretches of one calendar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPLITS = ("train", "val", "test")
Stretches = dict[str, tuple[int, int]]  # split -> (first day, last day), both inclusive, since 1970-01-01


def split_calendar(
    calendar: NDArray[np.int32], *, train_ratio: float, val_ratio: float, embargo: int
) -> Stretches:
    """Cut a calendar by ratio into three stretches with an embargo between them.

    The embargo is taken from the end of the earlier stretch, so validation and test begin where the ratios say
    and no evaluation row is lost to it. Source: Lopez de Prado (2018), Advances in Financial Machine Learning, 7.4.

    Args:
        calendar: ascending, distinct days since 1970-01-01: the union of all tickers' days.
        train_ratio: share of the days, oldest first.
        val_ratio: share of the days that follows.
        embargo: days left out before validation and before test.

    Returns:
        split -> (first day, last day), both inclusive.

    Raises:
        UserError: a stretch would be empty.
    """
    # 0.7 + 0.15 of 100 days is 85 days, though the sum of the floats is a hair below 0.85.
    test_start = round((train_ratio + val_ratio) * len(calendar), 6)
    borders = [0, int(round(train_ratio * len(calendar), 6)), int(test_start), len(calendar)]
    stretches = {}
    for number, name in enumerate(SPLITS):
        first, stop = borders[number], borders[number + 1]
        if name != "test":
            stop -= embargo
        if stop <= first:
            raise UserError(
                f"{len(calendar)} days leave no {name} day after data.train_ratio={train_ratio}, "
                f"data.val_ratio={val_ratio} and an embargo of {embargo}: ask for a longer data.period "
                "or a shorter data.embargo or data.horizon"
            )
        stretches[name] = (int(calendar[first]), int(calendar[stop - 1]))
    return stretches
