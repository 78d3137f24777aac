"""Forecast against actual on test: the whole split, and the last months close up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.evaluate import chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from forecast.evaluate.days import Days

ZOOM = 120  # days: half a year, in which the lag of a copy can be seen by eye
MOST = 3000  # points a line: three for each pixel


def draw(days: Days) -> Figure:
    """Whole test split above, its newest days below."""
    if not len(days.dates):
        return chart.empty(f"{days.title}: no test rows")
    drawn = chart.figure(6.6, between=0.3)
    whole, close = drawn.subplots(2, 1)
    _lines(whole, days.thinned(MOST), width=1.1)
    chart.dress(whole, title=f"{days.title}: the test split, {chart.count(len(days.dates))}", y="price")
    newest = days.last(ZOOM)
    _lines(close, newest, width=1.5)
    chart.dress(close, title=f"Its last {chart.count(len(newest.dates))}", y="price")
    return drawn


def _lines(axes: Axes, days: Days, *, width: float) -> None:
    dots = "o" if len(days.dates) == 1 else ""
    for column, label, colour, style in (
        (days.actual, "actual", chart.ACTUAL, "-"),
        (days.forecast, "forecast", chart.MODEL, "-"),
        (days.naive, "tomorrow = today", chart.NAIVE, (0, (1, 2.5))),  # dots on top: a copy would hide a line
    ):
        axes.plot(
            days.dates, column, marker=dots, linestyle=style, linewidth=width, color=colour, label=label
        )
    chart.calendar(axes)
    axes.margins(x=0.01)
    chart.legend(axes)
