"""Which columns of bars a row of a request holds for a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from forecast.data.layout import rows
from forecast.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from forecast.model.inference import Predictor

DELIVERED = ("High", "Low", "Close", "Volume")


def row_columns(predictor: Predictor) -> tuple[str, ...]:
    """Of a ticker in a row of a request: High, Low, Close, Volume, and Open before them where the model looks at it."""
    try:
        rows(predictor.features, _made_up(DELIVERED), predictor.target)
    except KeyError:
        return ("Open", *DELIVERED)
    except UserError:
        pass  # it says what it lacks when it is asked
    return DELIVERED


def target_columns(predictor: Predictor) -> frozenset[str]:
    """Columns without which there are no values of what is forecast."""
    whole, needed = _made_up(("Open", *DELIVERED)), set()
    for column in whole.columns:
        try:
            predictor.target.values(whole.drop(columns=column))
        except KeyError:
            needed.add(str(column))
    return frozenset(needed)


def _made_up(columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    close = 100.0 + np.sin(np.arange(64))
    values = {"Open": close - 0.5, "High": close + 1, "Low": close - 1, "Close": close, "Volume": close + 1e6}
    dates = pd.date_range("2024-01-01", periods=len(close), freq="B", name="Date")
    return pd.DataFrame({name: values[name] for name in columns}, index=dates)
