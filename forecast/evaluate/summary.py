"""What a part of an evaluation found, and how its figures are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

Mode = Literal["min", "max"]
Function = TypeVar("Function", bound=Callable[..., float | None])
# Loss -> the metric of its mean, in words, and whether the mean's root is taken.
LOSS_WORDS = {
    "squared": ("rmse", "RMSE", True),
    "absolute": ("mae", "MAE", False),
    "log": ("rmse_log", "RMSE of logs", True),
    "qlike": ("qlike", "QLIKE", False),
    "log_loss": ("log_loss", "log loss", False),
}
SPLITS = ("val", "test")  # train has no figures: a model is not judged on what it has seen
Figures = dict[str, float | None]


def metric(*, mode: Mode | None) -> Callable[[Function], Function]:
    """Declare the direction of a metric.

    Args:
        mode: `min` where less is better, `max` where more is, None of a figure that is neither.
    """

    def declare(function: Function) -> Function:
        function.mode = mode  # type: ignore[attr-defined]
        return function

    return declare


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What one part of an evaluation found.

    Args:
        record: for evaluation.json; numbers are finite, what is undefined is None and has its reason beside it; its
            `lines` are short sentences for the terminal and the report.
        metrics: for metrics.json, named `<split>_<figure>`.
    """

    record: dict[str, Any]
    metrics: Figures

    @property
    def lines(self) -> list[str]:
        """The sentences of the record."""
        return list(self.record["lines"])


def figure(value: float) -> float | None:
    """A finite number as it is, anything else as None."""
    return float(value) if math.isfinite(value) else None


def column(values: Iterable[float]) -> list[float | None]:
    """Six significant digits each, which keeps a record of thousands of tickers small."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]


def prefixed(split: str, figures: Mapping[str, float | None]) -> Figures:
    """Names as metrics.json has them."""
    return {f"{split}_{name}": value for name, value in figures.items()}


def p_text(p: float) -> str:
    """A p-value as papers print it."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def ratio_text(ratio: float | None) -> str:
    """Three decimals, and as many more as it takes to see on which side of 1 the ratio lies."""
    if ratio is None:
        return "-"
    decimals = 3
    while ratio != 1 and decimals < 6 and float(f"{ratio:.{decimals}f}") == 1:
        decimals += 1
    return f"{ratio:.{decimals}f}"


def align(rows: Sequence[Sequence[str]], *, words: Collection[int]) -> str:
    """Columns under each other: those of words to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            text.ljust(width) if place in words else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(map(str.rstrip, lines))


def number(value: object) -> float | None:
    """A finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
