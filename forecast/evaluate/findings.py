"""What a room of the evaluation hands on: a record, flat figures and lines for a person."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Figures in the three forms in which they are wanted.

    Args:
        record: for evaluation.json; numbers are finite, what is undefined is None and has its reason beside it.
        metrics: for metrics.json, named `<split>_<figure>`.
        lines: short sentences for the terminal and the report.
    """

    record: dict[str, Any]
    metrics: dict[str, float | None]
    lines: list[str]


def figure(value: float) -> float | None:
    """A finite number as it is, anything else as None."""
    return float(value) if math.isfinite(value) else None


def column(values: Iterable[float]) -> list[float | None]:
    """Six significant digits each, which keeps a record of thousands of tickers small."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]


def prefixed(split: str, figures: Mapping[str, float | None]) -> dict[str, float | None]:
    """Names as metrics.json has them."""
    return {f"{split}_{name}": value for name, value in figures.items()}


def p_text(p: float) -> str:
    """A p-value as papers print it."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
