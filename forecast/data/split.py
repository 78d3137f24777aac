"""Train, validation and test as ranges of one calendar."""

from __future__ import annotations

from forecast.errors import UserError

SPLITS = ("train", "val", "test")
SplitRanges = dict[
    str, tuple[int, int]
]  # split -> (first, last) position in the panel's calendar, both inclusive


def split_by_ratio(
    count: int, *, train_ratio: float, val_ratio: float, embargo: int, label: str = "day"
) -> SplitRanges:
    """Cut a calendar by ratio into three ranges with an embargo between them.

    The embargo is taken from the end of the earlier range, so validation and test begin where the ratios say
    and no evaluation row is lost to it. Source: Lopez de Prado (2018), Advances in Financial Machine Learning, 7.4.

    Args:
        count: times in the calendar.
        train_ratio: share of them, oldest first.
        val_ratio: share that follows.
        embargo: times left out before validation and before test.
        label: what a time is called in messages.

    Returns:
        split -> (first, last) position, both inclusive.

    Raises:
        UserError: a range would be empty.
    """
    # 0.7 + 0.15 of 100 days is 85 days, though the sum of the floats is a hair below 0.85.
    test_start = round((train_ratio + val_ratio) * count, 6)
    borders = [0, int(round(train_ratio * count, 6)), int(test_start), count]
    ranges = {}
    for number, name in enumerate(SPLITS):
        first, stop = borders[number], borders[number + 1]
        if name != "test":
            stop -= embargo
        if stop <= first:
            raise UserError(
                f"{count} {label}s leave no {name} {label} after data.train_ratio={train_ratio}, "
                f"data.val_ratio={val_ratio} and an embargo of {embargo}: ask for a longer data.period "
                "or a shorter data.embargo or data.horizon"
            )
        ranges[name] = (first, stop - 1)
    return ranges
