"""The description of a plot: what the page's script and the PNG renderer draw."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from forecast.evaluate.summary import number

MAX_POINTS = 2500  # a line: ten years of days
MAX_TICKERS = 1000  # dots of a plot by ticker
MAX_NAMES = 20  # tickers up to which each is named below its dot
DIGITS = 7  # of the largest value: no more can be seen
DATE_DIGITS = 10  # of days since 1970: seconds

Role = Literal["actual", "model", "naive", "other", "faint", "stopped"]
Number = float | None


@dataclass(frozen=True, kw_only=True)
class Words:
    """How a report names what was forecast.

    Args:
        target: the quantity on a y axis.
        unit: of its errors.
        bar: what one row of the data is.
        naive: the forecast that everything is compared with.
        relative: whether moves are shares of the last value, as returns are; otherwise they are in the unit.
    """

    target: str = "price"
    unit: str = "price units"
    bar: str = "day"
    naive: str = "tomorrow = today"
    relative: bool = True

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Words:
        """Those of a run's record, which may name target, unit, bar and naive."""
        known = {key: value for key in WORDS if isinstance(value := record.get(key), str) and value}
        usual = {"target": "close", "unit": "price"}
        known = {key: value for key, value in known.items() if usual.get(key) != value}
        return cls(**known, relative="unit" not in known)

    def bars(self, count: int) -> str:
        """So many bars, such as `1 day` or `1,250 days`."""
        return f"{count:,} {self.bar}{'' if count == 1 else 's'}"


WORDS = ("target", "unit", "bar", "naive")


@dataclass(frozen=True, kw_only=True)
class Series:
    """One curve, set of dots or bars, or band of a plot.

    Args:
        name: as the legend has it.
        kind: a line with gaps where a value is None, dots, bars from 0, or a band between lower and upper.
        role: what it stands for, which is its colour and dash.
        values: one an x value; None for a band.
        lower, upper: ends of the band, or of a whisker on each value.
    """

    name: str
    kind: Literal["line", "dots", "bars", "band"]
    role: Role
    values: Iterable[Number] | None = None
    lower: Iterable[Number] | None = None
    upper: Iterable[Number] | None = None

    def spec(self) -> dict[str, Any]:
        """What the script reads."""
        columns = {"values": self.values, "lower": self.lower, "upper": self.upper}
        numbers = {name: rounded(column) for name, column in columns.items() if column is not None}
        return {"name": self.name, "kind": self.kind, "role": self.role, **numbers}


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One chart.

    Args:
        title: above it.
        x: ascending; of a date, days since 1970-01-01; None with `names`.
        series: drawn in this order.
        x_kind: how x is read.
        names: the categories along x.
        x_label, y_label: units.
        y_log: logarithmic; what is not above 0 is left out.
        y_zero: whether 0 must be in sight.
        levels: (height, name, role) of horizontal lines.
        marks: (x, text) of vertical lines.
        diagonal: name of the line y = x; "" = none.
        notes: what to call each point besides its x.
        whole: x are whole numbers, as epochs are.
        nearest: hover reads the nearest point instead of all series at one x.
        legend: whether the series are named above the plot, where a click hides them.
        square: whether both axes of the PNG have one scale, without the outermost points.
        note: a sentence below, such as what was left out.
    """

    kind: ClassVar[str] = "chart"

    title: str
    series: Sequence[Series]
    x: Iterable[Number] | None = None
    x_kind: Literal["number", "date", "category"] = "number"
    names: Sequence[str] | None = None
    x_label: str = ""
    y_label: str = ""
    y_log: bool = False
    y_zero: bool = False
    levels: Sequence[tuple[float, str, Role]] = ()
    marks: Sequence[tuple[float, str]] = ()
    diagonal: str = ""
    notes: Sequence[str] | None = None
    whole: bool = False
    nearest: bool = False
    legend: bool = True
    square: bool = False
    note: str = ""

    @property
    def positions(self) -> list[Number]:
        """Where the values stand along x; of categories, 0, 1 ..."""
        if self.names is not None:
            return [float(place) for place in range(len(self.names))]
        return rounded(() if self.x is None else self.x, DATE_DIGITS if self.x_kind == "date" else DIGITS)

    def spec(self) -> dict[str, Any]:
        """What the script reads; {} where there is nothing to draw."""
        x: dict[str, Any] = {"kind": self.x_kind, "label": self.x_label, "whole": self.whole}
        x["values"] = self.positions
        if not x["values"]:
            return {}
        if self.x_kind == "date":  # ticks of hours only where there are any
            x["whole"] = all(value is not None and value.is_integer() for value in x["values"])
        if self.names is not None:
            x |= {"kind": "category", "names": list(self.names)}
        spec = {
            "x": x,
            "y": {"label": self.y_label, "log": self.y_log, "zero": self.y_zero},
            "series": [series.spec() for series in self.series],
            "levels": [{"at": at, "name": name, "role": role} for at, name, role in self.levels],
            "marks": [{"at": at, "text": words} for at, words in self.marks],
            "diagonal": bool(self.diagonal),
            "hover": "nearest" if self.nearest else "x",
            "legend": self.legend,
        }
        return spec if self.notes is None else spec | {"notes": list(self.notes)}


@dataclass(frozen=True, kw_only=True)
class ParallelPlot:
    """Parallel coordinates: a line a job across the axes.

    Args:
        title: above it.
        axes: each with name, short, values (one a job), log, and of texts `names`, whose places are the values.
        names: of the jobs, best first.
        best: the place of the best; None = none.
        note: a sentence below.
    """

    kind: ClassVar[str] = "parallel"

    title: str
    axes: Sequence[Mapping[str, Any]]
    names: Sequence[str]
    best: int | None
    note: str = ""

    def spec(self) -> dict[str, Any]:
        """What the script reads."""
        order = list(range(len(self.names)))
        return {"axes": list(self.axes), "names": list(self.names), "order": order, "best": self.best}


@dataclass(frozen=True)
class Picture:
    """The plots of one PNG file.

    Args:
        rows: of plots beside each other.
        title: above all of them; without plots, why there are none.
    """

    rows: Sequence[Sequence[Plot]]
    title: str = ""


def ticker_plot(
    title: str,
    names: Sequence[str],
    values: Sequence[object],
    *,
    y_label: str,
    level: tuple[float, str],
    whiskers: tuple[Sequence[object], Sequence[object]] | None = None,
) -> list[Plot]:
    """Dots in order of their height, evenly spaced ones of very many; none where fewer than two have a value.

    Args:
        title: of the plot.
        names: of the tickers.
        values: one a ticker.
        y_label: their unit.
        level: a height to compare with, and its name.
        whiskers: lower and upper ends, one a ticker.
    """
    known = sorted((value, place) for place, value in enumerate(map(number, values)) if value is not None)
    if len(known) < 2:
        return []
    # The first and the last stay: they are what one looks for.
    count = min(len(known), MAX_TICKERS)
    places = [known[round(n * (len(known) - 1) / (count - 1))][1] for n in range(count)]

    def taken(column: Sequence[object]) -> list[Number]:
        return [number(column[place]) for place in places]

    ends = {} if whiskers is None else {"lower": taken(whiskers[0]), "upper": taken(whiskers[1])}
    few = count <= MAX_NAMES
    shown = [names[place] for place in places]
    plot = Plot(
        title=title,
        x=[float(n) for n in range(1, count + 1)],
        names=shown if few else None,
        x_label="" if few else "tickers, smallest first",
        whole=True,
        y_label=y_label,
        series=[Series(name=y_label, kind="dots", role="model", values=taken(values), **ends)],
        levels=[(*level, "naive")],
        notes=None if few else shown,
        nearest=True,
        legend=False,
        note=f"{count:,} of {len(known):,} tickers, evenly spaced." if count < len(known) else "",
    )
    return [plot]


def rounded(column: Iterable[Number], digits: int = DIGITS) -> list[Number]:
    """Plain numbers with as many digits as the largest one shows, None for what is not finite."""
    values = np.array([np.nan if value is None else value for value in column], dtype=np.float64)
    known = np.isfinite(values)
    largest = float(np.abs(values[known]).max(initial=0.0))
    if largest:
        values = np.round(values, min(max(digits - 1 - math.floor(math.log10(largest)), 0), 300))
    plain = values.tolist()
    return plain if known.all() else [value if math.isfinite(value) else None for value in plain]
