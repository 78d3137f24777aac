"""Forecast move against the return that came, day by day and in groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.evaluate import chart
from forecast.evaluate.metrics import Tally

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from forecast.evaluate.days import Column, Days

MOST = 4000  # dots
GROUPS = 10  # of equally many days
FEWEST = 5  # days a group, for a mean with a standard error


def draw(days: Days) -> Figure:
    """Left: both axes alike, where the diagonal is a perfect forecast. Right: mean returns of groups."""
    import numpy as np

    if not len(days.dates):
        return chart.empty(f"{days.title}: no test rows")
    drawn = chart.figure(4.7, top=0.75)
    left, right = drawn.subplots(1, 2)
    known = days.naive != 0
    said = 100 * (days.forecast[known] / days.naive[known] - 1)
    came = 100 * (days.actual[known] / days.naive[known] - 1)
    drawn.suptitle(
        f"{days.title}: {_hits(days)}",
        x=0.85 / chart.WIDTH,
        ha="left",
        fontsize=11,
        fontweight="bold",
        parse_math=False,
    )
    if not said.size:
        chart.note(left, "the last prices are all 0:\nno return is defined")
        chart.note(right, "")
        return drawn
    _dots(left, said, came)
    _groups(right, said, came)
    if np.ptp(said) == 0:
        right.set_title("The forecast move is always the same", loc="left", fontsize=10.5, fontweight="bold")
    return drawn


def _hits(days: Days) -> str:
    import numpy as np

    tally = Tally(horizon=1)  # rows of one step do not overlap by step
    tally.add(days.actual, days.forecast, days.naive, np.full_like(days.actual, np.nan))
    result = tally.result("test")
    share, error = result["test_direction"], result["test_direction_se"]
    if share is None or error is None:
        return "the price never moved on test"
    return f"right sign on {100 * share:.1f} +/- {100 * error:.1f} % of test days"


def _dots(axes: Axes, said: Column, came: Column) -> None:
    import numpy as np

    edge = float(np.quantile(np.abs(np.concatenate([said, came])), 0.998)) * 1.05 or 1.0
    stride = max(-(-len(said) // MOST), 1)
    axes.axhline(0, color=chart.MUTED, linewidth=0.8)
    axes.axvline(0, color=chart.MUTED, linewidth=0.8)
    axes.plot(
        [-edge, edge],
        [-edge, edge],
        color=chart.NAIVE,
        linestyle="--",
        linewidth=1.2,
        label="perfect forecast",
    )
    axes.plot(
        said[::stride],
        came[::stride],
        "o",
        color=chart.MODEL,
        markersize=3.5,
        alpha=0.4,
        markeredgewidth=0,
        label="a day",
    )
    axes.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal")
    chart.dress(axes, title="Both axes alike", x="forecast move, %", y="return that came, %")
    chart.legend(axes)


def _groups(axes: Axes, said: Column, came: Column) -> None:
    import numpy as np

    count = max(min(GROUPS, len(said) // FEWEST), 1)
    parts = np.array_split(np.argsort(said, kind="stable"), count)
    x = np.array([said[part].mean() for part in parts])
    y = np.array([came[part].mean() for part in parts])
    # a group of one day has no spread to show
    error = np.array([came[part].std(ddof=1) / len(part) ** 0.5 if len(part) > 1 else 0.0 for part in parts])
    axes.axhline(0, color=chart.MUTED, linewidth=0.8)
    low, high = float(x.min()), float(x.max())
    if low <= 0 <= high:  # else the groups of a forecast that always says "up a little" would share one spot
        axes.axvline(0, color=chart.MUTED, linewidth=0.8)
    axes.errorbar(x, y, yerr=error, fmt="o", color=chart.MODEL, markersize=5, capsize=3, linewidth=1.2)
    axes.plot([low, high], [low, high], color=chart.NAIVE, linestyle="--", linewidth=1.2)
    axes.locator_params(axis="x", nbins=6)
    title = f"Mean of {f'{count} equal groups' if count > 1 else 'all days'}, +/- 1 s.e."
    chart.dress(axes, title=title, x="forecast move, % (own scale)", y="mean return that came, %")
