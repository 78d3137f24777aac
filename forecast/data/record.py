"""What a run's record says of its data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from forecast.data.bars import DescribedSource

if TYPE_CHECKING:
    from forecast.data.market import MarketData
    from forecast.data.timing import Bars


def record(data: MarketData) -> dict[str, Any]:
    """Tickers, columns, dates, windows and every fault that was found, as plain JSON values."""
    panel = data.panel_
    return {
        "fingerprint": data.fingerprint_,
        "target": data.target.name,
        "unit": data.target.unit,
        "bar": data.bars.label,
        "interval": data.bars.interval,
        "calendars": calendars(data),
        "joined_by": "ending" if data.join_by_ending else "calendar",
        "calendar_warnings": data.warnings_,
        "tickers": data.tickers,
        "series": len(panel.names),
        "columns": data.layout.names,
        "rows": len(panel.values),
        "first_day": data.bars.text(panel.time_of(0)),
        "last_day": data.bars.text(panel.time_of(-1)),
        "splits": {
            split: {
                "first_day": data.bars.text(panel.time_of(first)),
                "last_day": data.bars.text(panel.time_of(last)),
                "windows": len(data.windows_[split]),
            }
            for split, (first, last) in data.split_ranges_.items()
        },
        "without_windows": _without_windows(data),
        **({"covariates": data.covariates.notes} if data.covariates.notes else {}),
        "faults": [asdict(fault) for fault in data.faults_],
        **({"layouts": data.source.layouts()} if isinstance(data.source, DescribedSource) else {}),
    }


def described_sources(data: MarketData) -> dict[str, DescribedSource]:
    """Sources that find out how their files are written, the covariates' own too, by the dotted key of their node."""
    nodes = {"source": data.source} | {
        f"data.covariates.{key}.source": getattr(node, "source", None)
        for key, node in data.covariates.by_key.items()
    }
    return {key: source for key, source in nodes.items() if isinstance(source, DescribedSource)}


def calendars(data: MarketData) -> list[dict[str, Any]]:
    """What the tickers' bars are, tickers of one market together, and how that is known."""
    found: dict[str, dict[str, Any]] = {}
    for ticker, bars in data.markets_.items():
        facts = {"why": data.why_[ticker], "bars": bars.to_json()}
        found.setdefault(json.dumps(facts), facts | {"tickers": []})["tickers"].append(ticker)
    return list(found.values())


def markets_of(record: Mapping[str, Any]) -> dict[str, Bars]:
    """Ticker -> what its bars are, of a record; of one that an earlier version wrote there is nothing."""
    from forecast.data.timing import Bars

    return {
        ticker: Bars.from_json(found["bars"])
        for found in record.get("calendars", ())
        for ticker in found["tickers"]
    }


def _without_windows(data: MarketData) -> list[str]:
    """Series that are too short for a single window, so that nobody takes them for forecast."""
    seen = {owner for windows in data.windows_.values() for owner, _, _ in windows.runs()}
    return [name for number, name in enumerate(data.panel_.names) if number not in seen]
