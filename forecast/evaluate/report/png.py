"""Draws descriptions of plots with matplotlib, through its objects so that no global state is touched."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.evaluate.report.plot import Number, Picture, Plot, Role, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Column = NDArray[np.float64]

WIDTH, DPI = 9.0, 110  # inches, dots an inch: 990 pixels
# inches: axes of a row of one plot, of several, of none; between rows
ROW, SIDE_BY_SIDE, EMPTY, GAP = 1.9, 3.4, 1.6, 0.8
# inches beside the axes; above them without and with a title over all
LEFT, RIGHT, BOTTOM, BARE, TITLED = 0.85, 0.2, 0.5, 0.4, 0.75
DOTTED = 40  # points up to which a line shows them, as on the page
INK, QUIET, RULE = "#1b1f24", "#6b7280", "#e5e7eb"
# distinct for the colour-blind too; the same as in assets/page.css
COLOURS: dict[Role, str] = {
    "actual": INK,
    "model": "#0072b2",
    "naive": "#d55e00",
    "other": "#00795a",
    "faint": QUIET,
    "stopped": QUIET,
}


def png(picture: Picture) -> bytes:
    """The picture as a PNG, 990 pixels wide."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure(picture)).print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def figure(picture: Picture) -> Figure:
    """Rows of plots under the title; without plots, the title alone in the middle."""
    from matplotlib.figure import Figure

    heights = [SIDE_BY_SIDE if len(row) > 1 else ROW for row in picture.rows]
    top = TITLED if picture.rows and picture.title else BARE
    inner = sum(heights) + GAP * max(len(heights) - 1, 0) if heights else EMPTY
    height = top + inner + BOTTOM
    drawn = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
    if not picture.rows:
        _sentence(drawn.add_subplot(), picture.title)
        return drawn
    left, right = LEFT / WIDTH, 1 - RIGHT / WIDTH
    if picture.title:
        bold: dict[str, Any] = {"ha": "left", "fontsize": 11, "fontweight": "bold", "parse_math": False}
        drawn.suptitle(_printable(picture.title), x=left, **bold)
    # Fixed margins: matplotlib's own layouts draw everything twice to find them.
    margins = {"left": left, "right": right, "bottom": BOTTOM / height, "top": 1 - top / height}
    between = GAP / (sum(heights) / len(heights))  # as a share of their mean height
    grid = drawn.add_gridspec(len(heights), 1, height_ratios=heights, hspace=between, **margins)
    for place, row in enumerate(picture.rows):
        cells = grid[place].subgridspec(1, len(row), wspace=0.28)
        for column, plot in enumerate(row):
            _draw(drawn.add_subplot(cells[0, column]), plot)
    return drawn


def _draw(axes: Axes, plot: Plot) -> None:
    x = _array(plot.positions)
    _dress(axes, plot)
    if not len(x):
        _sentence(axes, "nothing to draw")
        return
    if plot.y_log:
        axes.set_yscale("log")
    for series in plot.series:
        _series(axes, x, series)
    for height, name, role in plot.levels:
        width = 0.8 if role == "faint" else 1.3
        label = "" if role == "faint" else _printable(name)
        axes.axhline(
            height, color=COLOURS[role], linestyle="--" if label else "-", linewidth=width, label=label
        )
    for at, text in plot.marks:
        _mark(axes, plot, x, at, text)
    if plot.diagonal:
        _diagonal(axes, plot, x)
    if plot.y_zero:
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, 0.0), max(high, 0.0))
    _ticks(axes, plot, x)
    _legend(axes, plot)


def _series(axes: Axes, x: Column, series: Series) -> None:
    values, lower, upper = (
        None if column is None else _array(column) for column in (series.values, series.lower, series.upper)
    )
    look: dict[str, Any] = {"color": COLOURS[series.role], "label": _printable(series.name)}
    if values is None:
        if lower is not None and upper is not None:
            axes.fill_between(x, lower, upper, alpha=0.18, linewidth=0, **look)
        return
    known = np.isfinite(values)
    if series.kind == "bars":
        half = (x[1] - x[0]) / 2 if len(x) > 1 else 0.5
        look |= {"linewidth": 1.5} if series.role == "naive" else {"fill": True, "alpha": 0.35}
        axes.stairs(values, np.append(x - half, x[-1] + half), **look)
    elif series.kind == "dots" and lower is not None and upper is not None:
        ends = np.stack([values - lower, upper - values])[:, known]
        axes.errorbar(
            x[known], values[known], yerr=ends, fmt="o", markersize=5, capsize=3, linewidth=1.2, **look
        )
    elif series.kind == "dots":
        axes.plot(x[known], values[known], "o", markersize=3.5, alpha=0.4, markeredgewidth=0, **look)
    else:
        look["marker"] = "o" if known.sum() <= DOTTED else ""
        if series.role == "naive":  # dashes on top: a copy of the last price would hide a line
            look |= {"linestyle": (0, (3, 2)), "zorder": 3.0}
        axes.plot(x, values, markersize=3, linewidth=1.3, **look)


def _mark(axes: Axes, plot: Plot, x: Column, at: float, text: str) -> None:
    axes.axvline(at, color=QUIET, linewidth=0.8, linestyle=":")
    right = 2 * at > float(x[0] + x[-1])
    axes.annotate(
        _printable(text),
        (at, 1.0 if plot.x_kind == "date" else 0.5),
        xycoords=("data", "axes fraction"),
        xytext=(-3 if right else 3, -3),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        fontsize=8.5,
        color=QUIET,
        parse_math=False,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0},  # over the curve
    )


def _diagonal(axes: Axes, plot: Plot, x: Column) -> None:
    columns = [_array(series.values) for series in plot.series if series.values is not None]
    known = x[np.isfinite(columns).any(axis=0)] if columns else x
    if not len(known):
        return
    ends = (float(known.min()), float(known.max()))
    if plot.square:
        edge = float(np.nanquantile(np.abs(np.concatenate([known, *columns])), 0.998)) * 1.05 or 1.0
        ends = (-edge, edge)
        axes.set(xlim=ends, ylim=ends, aspect="equal")
        axes.axvline(0, color=QUIET, linewidth=0.8)
    look: dict[str, Any] = {"color": COLOURS["naive"], "linestyle": "--", "linewidth": 1.2}
    axes.plot(ends, ends, label=_printable(plot.diagonal), **look)


def _array(column: Iterable[Number]) -> Column:
    return np.array([np.nan if value is None else value for value in column], dtype=np.float64)


def _dress(axes: Axes, plot: Plot) -> None:
    """Titles, labels and grid; a `$` in a ticker stays a `$`."""
    title = _printable(plot.title)
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", color=INK, y=1.0, parse_math=False)
    axes.set_xlabel(plot.x_label, fontsize=9, color=QUIET)
    axes.set_ylabel(plot.y_label, fontsize=9, color=QUIET)
    axes.grid(visible=True, color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5, colors=QUIET, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#9ca3af")


def _ticks(axes: Axes, plot: Plot, x: Column) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator

    if plot.x_kind == "date":
        locator = AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        axes.xaxis.get_offset_text().set(fontsize=8.5, color=QUIET)
        space = max(0.01 * (x[-1] - x[0]), 1e-3)
        axes.set_xlim(x[0] - space, x[-1] + space)  # also where the first values are unknown
    elif plot.names is not None:
        axes.set_xticks(x, [_printable(name) for name in plot.names])
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=plot.whole, nbins=8 if plot.whole else 6))
    if len(x) == 1 and plot.whole:
        axes.set_xlim(x[0] - 1, x[0] + 1)


def _legend(axes: Axes, plot: Plot) -> None:
    """Names of the lines, to the right of the title, where they hide no data."""
    names = axes.get_legend_handles_labels()[1]
    if not plot.legend or len(names) < 2:
        return
    legend = axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=len(names),
        fontsize=8.5,
        labelcolor=QUIET,
        frameon=False,
        borderaxespad=0.15,
        handlelength=1.6,
        columnspacing=1.2,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _sentence(axes: Axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(
        0.5, 0.5, _printable(text), ha="center", va="center", fontsize=11, color=QUIET, parse_math=False
    )


def _printable(text: str) -> str:
    """In letters that every chart font has."""
    return "".join(letter if letter.isprintable() and letter <= "ÿ" else "?" for letter in text)
