"""Which runs may be ranked together: those that were judged on the same prices, unless the metric has no unit."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCALE_FREE = "val_theil_u"
# In the price's unit: their size says nothing across tickers and dates.
_IN_PRICES = ("rmse", "mae", "mse", "winkler")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a run forecast, and on which prices that was judged in validation."""

    tickers: tuple[str, ...]  # whose price is forecast
    horizon: int
    dates: tuple[str, str]  # first and last day of validation
    naive: tuple[
        float | None, ...
    ]  # rows, RMSE, MAE of "tomorrow = today": they change with every price and row

    @classmethod
    def of(cls, directory: Path) -> Subject:
        """Read it from a run directory.

        Raises:
            OSError: it holds no finished run.
            ValueError: nor one of this version.
        """
        facts, data, metrics = (
            _json(directory / name) for name in ("scaler.json", "data.json", "metrics.json")
        )
        try:
            named = [str(ticker) for ticker in data["tickers"]]
            days = data["splits"]["val"]
            return cls(
                tickers=tuple(sorted(named)) if facts["scope"] == "panel" else tuple(named[:1]),
                horizon=int(facts.get("horizon", facts["output_size"])),
                dates=(str(days["first_day"]), str(days["last_day"])),
                naive=tuple(metrics.get(f"val_{name}") for name in ("rows", "naive_rmse", "naive_mae")),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{directory}: is not a run directory of this version ({error})") from error


def in_prices(metric: str) -> bool:
    """Whether a metric is in the price's unit, such as val_rmse."""
    return metric.rpartition("_")[2] in _IN_PRICES


def differences(subjects: Sequence[Subject]) -> list[str]:
    """In what respect runs forecast different things: `tickers`, `horizon`, `dates`, `data`; empty if in none."""
    if not subjects:
        return []
    first = subjects[0]
    names = ("tickers", "horizon", "dates")
    found = [name for name in names if len({getattr(subject, name) for subject in subjects}) > 1]
    if not found and any(not _alike(first.naive, other.naive) for other in subjects[1:]):
        found.append("data")
    return found


def incomparable(metric: str, subjects: Sequence[Subject]) -> str | None:
    """Why runs cannot be ranked by a metric, in one line with a way out; None if they can."""
    found = differences(subjects) if in_prices(metric) else []
    if not found:
        return None
    return (
        f"objective.metric={metric}: is in the price's unit, and these runs differ in {', '.join(found)}, so it "
        f"does not rank them; use objective.metric={SCALE_FREE}"
    )


def _alike(one: Sequence[float | None], other: Sequence[float | None]) -> bool:
    """The same but for the order of a sum."""
    return all(
        a == b if a is None or b is None else math.isclose(a, b, rel_tol=1e-9)
        for a, b in zip(one, other, strict=True)
    )


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))
