"""An interactive plot as HTML: its numbers as JSON, which the page's script draws."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from forecast.evaluate.markup import element, text

MOST = 2500  # points a line: ten years of days
DIGITS = 7  # of the largest value: no more can be seen

Role = Literal["actual", "model", "naive", "other", "faint", "stopped"]
Number = float | None


@dataclass(frozen=True, kw_only=True)
class Series:
    """What is drawn over the x values.

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

    def as_json(self) -> dict[str, Any]:
        """Without what is not set."""
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
        diagonal: whether y = x is drawn.
        notes: what to call each point besides its x.
        whole: x are whole numbers, as epochs are.
        nearest: hover reads the nearest point instead of all series at one x.
        legend: whether the series are named above the plot, where a click hides them.
        note: a sentence below, such as what was left out.
    """

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
    diagonal: bool = False
    notes: Sequence[str] | None = None
    whole: bool = False
    nearest: bool = False
    legend: bool = True
    note: str = field(default="")

    def html(self) -> str:
        """The figure."""
        x: dict[str, Any] = {"kind": self.x_kind, "label": self.x_label, "whole": self.whole}
        if self.names is not None:
            x |= {"kind": "category", "names": list(self.names), "values": list(range(len(self.names)))}
        else:
            x["values"] = rounded(() if self.x is None else self.x)
        if not x["values"]:
            return element(
                "figure", text("figcaption", self.title) + text("p", "nothing to draw", class_="note")
            )
        spec = {
            "x": x,
            "y": {"label": self.y_label, "log": self.y_log, "zero": self.y_zero},
            "series": [series.as_json() for series in self.series],
            "levels": [{"at": at, "name": name, "role": role} for at, name, role in self.levels],
            "marks": [{"at": at, "text": words} for at, words in self.marks],
            "diagonal": self.diagonal,
            "hover": "nearest" if self.nearest else "x",
            "legend": self.legend,
        }
        if self.notes is not None:
            spec["notes"] = list(self.notes)
        return figure("chart", self.title, spec, note=self.note)


def figure(kind: Literal["chart", "parallel"], title: str, spec: Mapping[str, object], *, note: str) -> str:
    """A figure whose numbers stand in it as JSON.

    Args:
        kind: which script draws it.
        title: its caption.
        spec: what that script reads.
        note: a sentence below; "" for none.
    """
    # No text in it can end the element: `<` is written as its number.
    numbers = json.dumps(spec, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    data = element("script", numbers, type="application/json")
    noted = text("p", note, class_="note") if note else ""
    return element("figure", text("figcaption", title) + data + noted, class_=kind)


def rounded(column: Iterable[Number]) -> list[Number]:
    """Plain numbers with as many digits as the largest one shows, None for what is not finite."""
    import numpy as np

    values = np.array([np.nan if value is None else value for value in column], dtype=np.float64)
    known = np.isfinite(values)
    largest = float(np.abs(values[known]).max(initial=0.0))
    if largest:
        values = np.round(values, min(max(DIGITS - 1 - math.floor(math.log10(largest)), 0), 300))
    plain = values.tolist()
    return plain if known.all() else [value if math.isfinite(value) else None for value in plain]
