"""Rows of forecasts whose residuals one can choose, and ways to cut and spoil them."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from forecast.evaluate.rows import Rows


def rows_of(residuals, *, first_day=0, close=100.0, gaps=()):
    """Rows of (tickers, days, steps) residuals, shares of a last Close that never moves; forecast = naive.

    Args:
        residuals: signed, as shares of the last Close.
        first_day: number of the first origin.
        close: of all tickers, or one a ticker.
        gaps: positions of origins before which ten days are missing.
    """
    tickers, days, steps = residuals.shape
    calendar = first_day + np.arange(days + steps)
    for gap in gaps:
        calendar[gap:] += 10
    origin = np.tile(np.repeat(calendar[:days], steps), tickers)
    step = np.tile(np.arange(1, steps + 1), tickers * days)
    ahead = (np.arange(days)[:, None] + np.arange(1, steps + 1)).ravel()
    closes = np.repeat(np.broadcast_to(np.asarray(close, float), (tickers,)), days * steps)
    return Rows(
        series=np.repeat(np.arange(tickers), days * steps),
        days=np.tile(calendar[ahead], tickers).astype(np.int32),
        step=step.astype(np.int32),
        origin=origin.astype(np.int32),
        actual=closes * (1 + residuals.ravel()),
        forecast=closes.copy(),
        naive=closes,
    )


def some(rows, where):
    """A part of the rows: a slice, a mask or numbers."""
    return Rows(*(getattr(rows, field.name)[where] for field in fields(Rows)))


def spoilt(rows, *, after):
    """The same rows with other outcomes on days later than `after`."""
    return replace(rows, actual=np.where(rows.days > after, rows.actual * 3 + 7, rows.actual))


def begun(intervals, rows, *, names=None, quantiles=None, quantile_levels=None):
    """Intervals calibrated on validation rows."""
    count = int(rows.series.max()) + 1
    names = [f"T{number}" for number in range(count)] if names is None else names
    intervals.begin(names=names, horizon=int(rows.step.max()), quantile_levels=quantile_levels)
    intervals.calibrate(rows, quantiles)
    return intervals


def share_inside(rows, bounds):
    """Of outcomes, level by level."""
    return ((bounds[:, 0] <= rows.actual) & (rows.actual <= bounds[:, 1])).mean(axis=1)
