"""What is learnt from training days alone: the scalers, and the naive error that MASE is measured in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from forecast.data.normaliser import Anchor, WindowNormaliser
from forecast.data.scaler import TimeSeriesScaler

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.panel import Panel
    from forecast.data.series import Layout
    from forecast.data.target import Relation as TargetRelation
    from forecast.data.target import Target
    from forecast.data.windows import WindowIndex

# Enough windows for stable statistics; more would only cost time on a large panel.
_MOST_WINDOWS = 16_384


def fit_normaliser(
    train: WindowIndex,
    layout: Layout,
    *,
    anchor: Anchor,
    scaler: TimeSeriesScaler | None,
    rows: tuple[int, int],
    target_relation: TargetRelation = "ratio",
    instance_norm: bool = False,
) -> WindowNormaliser:
    """The run's normaliser, fitted.

    Args:
        train: windows of the training split.
        layout: columns of the panel.
        anchor: `last` fits on anchored windows (at most 16,384, evenly spaced), `none` on raw rows.
        scaler: unfitted; None = no scaling.
        rows: first and last position in the calendar of the training split.
        target_relation: see Target.relation.
        instance_norm: put each window in units of its own spread; with it both kinds are fitted on windows.
    """
    plan: dict[str, Any] = {
        "anchor": anchor,
        "instance_norm": instance_norm,
        "relations": layout.relations,
        "closes": layout.closes,
        "target": layout.target,
        "target_relation": target_relation,
    }
    unscaled = WindowNormaliser(**plan)
    if scaler is None:
        return unscaled
    if anchor == "none" and not instance_norm:
        panel = train.panel
        values = panel.values[(panel.times >= rows[0]) & (panel.times <= rows[1])]
        inputs, targets = values[:, : len(layout.relations)], values[:, [layout.target]]
        levels = None if target_relation == "probability" else TimeSeriesScaler().fit(targets)
        return WindowNormaliser(**plan, scaler=scaler.fit(inputs), target_scaler=levels)
    batch = train.take(train.spread(_MOST_WINDOWS))
    windows, future = torch.from_numpy(batch.windows), torch.from_numpy(batch.future)
    # Not centred: an answer of zero must mean "tomorrow = today", not the training years' drift.
    moves = None
    if target_relation != "probability":
        moves = TimeSeriesScaler(center=False).fit(unscaled.moves(windows, future).numpy())
    return WindowNormaliser(
        **plan, scaler=scaler.fit(unscaled.anchored(windows).numpy()), target_scaler=moves
    )


def naive_error(panel: Panel, *, rows: tuple[int, int], target: Target, column: int) -> NDArray[np.float64]:
    """Mean absolute error of the one-step naive forecast over each series' training rows, the scale of MASE.

    Args:
        panel: the run's bars.
        rows: first and last position in the calendar of the training split.
        target: what is forecast.
        column: of the panel that holds its values.

    Returns:
        (series,) in the target's unit; NaN where a series has no two training rows that follow one another.

    Source: Hyndman and Koehler (2006), Another look at measures of forecast accuracy.
    """
    total, count = np.zeros((2, len(panel.names)))
    for owner, (start, stop) in zip(panel.segment_series, panel.segments, strict=True):
        first, after = start + np.searchsorted(panel.times[start:stop], (rows[0], rows[1] + 1))
        values = panel.values[first:after, column].astype(np.float64)
        ahead = target.lead + 1
        errors = np.abs(target.in_unit(values[ahead:]) - target.naive(values[:-ahead, None]))
        total[owner] += errors.sum()
        count[owner] += len(errors)
    with np.errstate(invalid="ignore"):
        error: NDArray[np.float64] = total / count
    return error
