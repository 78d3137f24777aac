"""Rows of the forecast table as columns of a plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Column = NDArray[np.float64]

TODAY = "tomorrow = today"


def days_of(rows: pd.DataFrame) -> Column:
    """Dates as days since 1970-01-01."""
    import numpy as np

    days: Column = rows["date"].to_numpy(dtype="datetime64[D]").astype(np.int64).astype(np.float64)
    return days


def column(rows: pd.DataFrame, name: str) -> Column:
    """Prices."""
    prices: Column = rows[name].to_numpy(dtype="float64")
    return prices


def fold_marks(rows: pd.DataFrame) -> list[tuple[float, str]]:
    """The first day of each fold, where there are several."""
    if "fold" not in rows.columns or rows["fold"].nunique() < 2:
        return []
    first = rows.drop_duplicates("fold")
    return [
        (float(day), f"fold {int(fold)}") for day, fold in zip(days_of(first), first["fold"], strict=True)
    ]
