"""Errors of the model beside those of "tomorrow = today": how large, when, and who gains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.evaluate import chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from forecast.evaluate.days import Column, Days

WINDOW = 60  # days of the rolling RMSE: a quarter
MOST = 3000  # points a line


def draw(days: Days) -> Figure:
    """Distribution, rolling RMSE and the running gain in squared error."""
    if not len(days.dates):
        return chart.empty(f"{days.title}: no test rows")
    drawn = chart.figure(7.6, between=0.45)
    grid = drawn.add_gridspec(3, 1, height_ratios=(1.1, 1, 1))
    spread, rolling = drawn.add_subplot(grid[0]), drawn.add_subplot(grid[1])
    running = drawn.add_subplot(grid[2], sharex=rolling)
    errors, naive_errors = days.actual - days.forecast, days.actual - days.naive
    _spread(spread, errors, naive_errors, days.title)
    _rolling(rolling, days, errors, naive_errors)
    _running(running, days, naive_errors**2 - errors**2)
    return drawn


def _spread(axes: Axes, errors: Column, naive_errors: Column, title: str) -> None:
    import numpy as np

    # A few crashes would squeeze everything into one bar: the outermost thousandths are left to the sides.
    edge = float(np.quantile(np.abs(np.concatenate([errors, naive_errors])), 0.995))
    edge = edge or 1e-9 * (1.0 + float(np.abs(errors).max()))
    bins = np.linspace(-edge, edge, min(61, max(11, int(len(errors) ** 0.5) * 2 + 1))).tolist()
    axes.hist(errors, bins=bins, color=chart.MODEL, alpha=0.35, label="model")
    axes.hist(
        naive_errors, bins=bins, histtype="step", color=chart.NAIVE, linewidth=1.5, label="tomorrow = today"
    )
    axes.axvline(0, color=chart.MUTED, linewidth=0.8)
    chart.dress(axes, title=f"{title}: errors on test", x="actual - forecast, price units", y="days")
    chart.legend(axes)


def _rolling(axes: Axes, days: Days, errors: Column, naive_errors: Column) -> None:
    import numpy as np

    window = min(WINDOW, len(errors))
    rows = _sample(len(errors) - window + 1)
    for column, label, colour, style in (
        (errors, "model", chart.MODEL, "-"),
        (naive_errors, "tomorrow = today", chart.NAIVE, "--"),
    ):
        sums = np.concatenate([[0.0], np.cumsum(column**2)])
        # clipped: a difference of running sums may end a hair below zero
        rmse = np.sqrt(np.clip(sums[window:] - sums[:-window], 0.0, None) / window)
        dots = "o" if len(rmse) == 1 else ""
        axes.plot(
            days.dates[window - 1 :][rows],
            rmse[rows],
            marker=dots,
            linestyle=style,
            color=colour,
            label=label,
        )
    chart.dress(axes, title=f"RMSE of the last {chart.count(window)}", y="price units")
    axes.tick_params(labelbottom=False)
    chart.legend(axes)


def _running(axes: Axes, days: Days, gain: Column) -> None:
    import numpy as np

    total = np.cumsum(gain)
    rows = _sample(len(total))
    x, y = days.dates[rows], total[rows]
    axes.fill_between(x, y, 0, where=(y >= 0), color=chart.MODEL, alpha=0.25, interpolate=True, linewidth=0)
    axes.fill_between(x, y, 0, where=(y < 0), color=chart.NAIVE, alpha=0.25, interpolate=True, linewidth=0)
    axes.plot(x, y, marker="o" if len(y) == 1 else "", linestyle="-", color=chart.ACTUAL, linewidth=1.1)
    axes.axhline(0, color=chart.MUTED, linewidth=0.8)
    chart.calendar(axes)
    axes.margins(x=0.01)
    title = "Squared errors saved against tomorrow = today, summed: rising where the model is better"
    chart.dress(axes, title=title, y="price units squared")


def _sample(count: int) -> slice:
    return slice((count - 1) % max(-(-count // MOST), 1), None, max(-(-count // MOST), 1))
