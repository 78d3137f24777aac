"""One model for each series of log prices: fitted once to its training days, then followed from bar to bar."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from forecast.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.windows import WindowBatch

    Column = NDArray[np.float64]

Model = TypeVar("Model")

# A model of daily prices that has seen fewer bars knows nothing.
_FEWEST = 30


@dataclass(frozen=True)
class Learnt(Generic[Model]):
    """The model of a series, and the panel row its history begins at; None: forecast as the last price."""

    first: int
    model: Model | None


def need_statsmodels(target: str) -> None:
    """Refuse a baseline before anything runs, where the package behind it is missing.

    Raises:
        UserError: with the command that installs it.
    """
    if importlib.util.find_spec("statsmodels") is None:
        raise UserError(
            f"baselines: {target} needs the package statsmodels; install it with pip install -e '.[stats]', "
            "or use baselines=default"
        )


def learn_each(data: MarketData, learn: Callable[[Column], Model], *, max_series: int) -> list[Learnt[Model]]:
    """A model of each series' training days.

    Args:
        data: prepared.
        learn: log prices, oldest first -> model.
        max_series: refuse more.

    Raises:
        ValueError: more series, or a price that has no logarithm.
    """
    import numpy as np

    from forecast.evaluate.baselines.history import closes, training_rows

    names = data.panel_.names
    if len(names) > max_series:
        raise ValueError(
            f"fits one series after the other, and {len(names):,} are more than max_series={max_series:,}"
        )
    found: list[Learnt[Model]] = []
    for name, (first, stop) in zip(names, training_rows(data), strict=True):
        known = closes(data, first, stop)
        if (known <= 0).any():
            raise ValueError(f"{name} has a price of {known.min():g}, which has no logarithm")
        model = learn(np.log(known)) if len(known) >= _FEWEST and np.ptp(known) > 0 else None
        found.append(Learnt(int(first), model))
    return found


def forecast_each(
    data: MarketData,
    batch: WindowBatch,
    learnt: list[Learnt[Model]],
    follow: Callable[[Model, Column, NDArray[np.int64], int], Column],
) -> Column:
    """Forecasts of a batch, each series followed once over its history up to the newest bar asked for.

    Args:
        data: the same bars.
        batch: windows; their rows say from which bars to forecast.
        learnt: of each series.
        follow: model, log prices, places of (n,) origins in them, horizon -> (n, horizon) log prices, each of
            which knows the prices up to its origin alone.

    Returns:
        (batch, horizon) prices.
    """
    import numpy as np

    from forecast.evaluate.baselines.history import by_series, closes, last_closes

    found = np.repeat(last_closes(data, batch.rows), data.horizon, axis=1)
    for owner, places in by_series(batch.series):
        first, model = learnt[owner].first, learnt[owner].model
        if model is None:
            continue
        rows = batch.rows[places]
        with np.errstate(
            divide="ignore", invalid="ignore"
        ):  # no finite forecast comes of it, which is reported
            known = np.log(closes(data, first, rows.max() + 1))
        found[places] = np.exp(follow(model, known, rows - first, data.horizon))
    return found
