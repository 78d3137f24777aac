"""How every plot looks, drawn through matplotlib's objects so that no global state is touched."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACTUAL, MODEL, NAIVE, MUTED = "#1b1f24", "#0072b2", "#d55e00", "#6b7280"  # told apart by the colour-blind too
WIDTH, DPI = 9.0, 110  # inches, dots an inch: 990 pixels


def figure(height: float, *, top: float = 0.4, between: float = 0.4) -> Figure:
    """An empty figure of the common width.

    Args:
        height: inches.
        top: inches above the highest chart, for titles.
        between: room between charts above each other, as a share of their height.
    """
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
    # Fixed margins: matplotlib's own layouts draw everything twice to find them.
    drawn.subplots_adjust(
        left=0.85 / WIDTH,
        right=1 - 0.2 / WIDTH,
        bottom=0.5 / height,
        top=1 - top / height,
        hspace=between,
        wspace=0.28,
    )
    return drawn


def dress(axes: Axes, *, title: str, x: str = "", y: str = "") -> None:
    """Titles, labels and grid; a `$` in a ticker stays a `$`."""
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", color=ACTUAL, y=1.0, parse_math=False)
    axes.set_xlabel(x, fontsize=9, color=MUTED)
    axes.set_ylabel(y, fontsize=9, color=MUTED)
    axes.grid(visible=True, color="#e5e7eb", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5, colors=MUTED, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#9ca3af")


def legend(axes: Axes) -> None:
    """Names of the lines, to the right of the title, where they hide no data."""
    names = len(axes.get_legend_handles_labels()[1])
    if names:
        axes.legend(
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=names,
            fontsize=8.5,
            labelcolor=MUTED,
            frameon=False,
            borderaxespad=0.15,
            handlelength=1.6,
            columnspacing=1.2,
        )


def calendar(axes: Axes) -> None:
    """Dates along the x axis, no more of them than fit."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.xaxis.get_offset_text().set(fontsize=8.5, color=MUTED)


def count(days: int) -> str:
    """How many days, in words that fit one too."""
    return f"{days:,} day{'' if days == 1 else 's'}"


def note(axes: Axes, text: str) -> None:
    """A sentence where there is nothing to draw."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=11, color=MUTED, parse_math=False)


def empty(text: str) -> Figure:
    """A figure that says why it shows nothing."""
    drawn = figure(2.5)
    note(drawn.add_subplot(), text)
    return drawn


def png(drawn: Figure) -> bytes:
    """The figure as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(drawn).print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()
