"""What a run's record says of its data."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from forecast.data.bars import DescribedSource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forecast.data.market import MarketData


def record(data: MarketData) -> dict[str, Any]:
    """Tickers, columns, dates, windows and every fault that was found, as plain JSON values.

    Args:
        data: prepared.
    """
    panel = data.panel_
    return {
        "fingerprint": data.fingerprint_,
        "target": data.target.name,
        "unit": data.target.unit,
        "bar": data.bars.label,
        "tickers": data.tickers,
        "series": len(panel.names),
        "columns": data.layout.names,
        "rows": len(panel.values),
        "first_day": _date(panel.time_of(0)),
        "last_day": _date(panel.time_of(-1)),
        "splits": {
            split: {
                "first_day": _date(panel.time_of(first)),
                "last_day": _date(panel.time_of(last)),
                "windows": len(data.windows_[split]),
            }
            for split, (first, last) in data.split_ranges_.items()
        },
        "without_windows": _without_windows(data),
        **({"covariates": data.covariates.notes} if data.covariates.notes else {}),
        "faults": [asdict(fault) for fault in data.faults_],
        **({"layouts": data.source.layouts()} if isinstance(data.source, DescribedSource) else {}),
    }


def _date(time: NDArray[np.datetime64]) -> str:
    """YYYY-MM-DD."""
    return str(time)[:10]


def _without_windows(data: MarketData) -> list[str]:
    """Series that are too short for a single window, so that nobody takes them for forecast."""
    seen = {owner for windows in data.windows_.values() for owner, _, _ in windows.runs()}
    return [name for number, name in enumerate(data.panel_.names) if number not in seen]
