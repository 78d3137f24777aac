"""What is learnt from training days alone: the scalers, and the naive error that MASE is measured in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from forecast.data.normaliser import Anchor, WindowNormaliser
from forecast.data.scaler import TimeSeriesScaler

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.series import Layout
    from forecast.data.windows import Windows

# Enough windows for stable statistics; more would only cost time on a large panel.
_MOST_WINDOWS = 16_384


def fit_normaliser(
    train: Windows,
    layout: Layout,
    *,
    anchor: Anchor,
    scaler: TimeSeriesScaler | None,
    days: tuple[int, int],
    instance_norm: bool = False,
) -> WindowNormaliser:
    """The run's normaliser, fitted.

    Args:
        train: windows of the training split.
        layout: columns of the panel.
        anchor: `last` fits on anchored windows (at most 16,384, evenly spaced), `none` on raw rows.
        scaler: unfitted; None = no scaling.
        days: first and last training day, days since 1970-01-01.
        instance_norm: put each window in units of its own spread; with it both kinds are fitted on windows.
    """
    plan: dict[str, Any] = {
        "anchor": anchor,
        "instance_norm": instance_norm,
        "relations": layout.relations,
        "closes": layout.closes,
        "target": layout.target,
    }
    unscaled = WindowNormaliser(**plan)
    if scaler is None:
        return unscaled
    if anchor == "none" and not instance_norm:
        panel = train.panel
        rows = panel.values[(panel.days >= days[0]) & (panel.days <= days[1])]
        inputs, targets = rows[:, : len(layout.relations)], rows[:, [layout.target]]
        return WindowNormaliser(
            **plan, scaler=scaler.fit(inputs), target_scaler=TimeSeriesScaler().fit(targets)
        )
    batch = train.take(train.spread(_MOST_WINDOWS))
    windows, future = torch.from_numpy(batch.windows), torch.from_numpy(batch.future)
    # Not centred: an answer of zero must mean "tomorrow = today", not the training years' drift.
    moves = TimeSeriesScaler(center=False).fit(unscaled.moves(windows, future).numpy())
    return WindowNormaliser(
        **plan, scaler=scaler.fit(unscaled.anchored(windows).numpy()), target_scaler=moves
    )


def naive_error(train: Windows, *, target: int) -> NDArray[np.float64]:
    """In-sample one-step naive mean absolute error of each series, the scale of MASE; NaN where untrained.

    Args:
        train: windows of the training split.
        target: panel column of the Close.

    Source: Hyndman and Koehler (2006), Another look at measures of forecast accuracy.
    """
    total, count = np.zeros((2, len(train.panel.names)))
    closes = train.panel.values[:, target]
    for owner, first, stop in train.runs():
        steps = np.abs(np.diff(closes[first : stop + 1].astype(np.float64)))
        total[owner] += steps.sum()
        count[owner] += len(steps)
    with np.errstate(invalid="ignore"):
        error: NDArray[np.float64] = total / count
    return error
