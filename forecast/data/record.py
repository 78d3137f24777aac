"""What a run's record says of its data, as JSON and in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from forecast.data.bars import DescribedSource
from forecast.data.timing import Bars

if TYPE_CHECKING:
    from forecast.data.market import MarketData


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
    return {
        ticker: Bars.from_json(found["bars"])
        for found in record.get("calendars", ())
        for ticker in found["tickers"]
    }


def _without_windows(data: MarketData) -> list[str]:
    """Series that are too short for a single window, so that nobody takes them for forecast."""
    seen = {series for windows in data.windows_.values() for series, _, _ in windows.runs()}
    return [name for number, name in enumerate(data.panel_.names) if number not in seen]


_SHOWN = 20  # columns and faults that `describe` names


def describe(data: MarketData) -> str:
    """Rows, dates, windows, the range of each column, what files were understood to be, and faults, as text."""
    import torch

    said = record(data)
    windows = data.windows_["train"]
    width = 20 if data.bars.intraday else 12
    lines = [
        f"{_some(said['tickers'])}: {said['rows']:,} rows of {len(said['columns'])} columns, "
        f"{said['first_day']} to {said['last_day']}, fingerprint {said['fingerprint']}",
        *(f"{data.bars.label}s of {found['why']}: {_some(found['tickers'])}" for found in said["calendars"]),
        f"window: ({data.seq_len}, {len(data.layout.relations)}) -> {data.horizon} step(s) of the {data.target.column}",
        "",
        f"{'split':8}{'first ' + data.bars.label:>{width}}{'last ' + data.bars.label:>{width}}{'windows':>12}",
    ]
    for split, part in said["splits"].items():
        lines.append(
            f"{split:8}{part['first_day']:>{width}}{part['last_day']:>{width}}{part['windows']:>12,}"
        )
    network_sees = data.normaliser_.inputs(
        torch.from_numpy(windows.take(windows.spread(10_000)).windows)
    )  # (B, L, F)
    low, high = network_sees.amin(dim=(0, 1)), network_sees.amax(dim=(0, 1))
    lines += ["", f"{'column':20}{'min':>14}{'max':>14}{'the network sees (train)':>30}"]
    for number, name in enumerate(said["columns"][:_SHOWN]):
        column = data.panel_.values[:, number]
        seen = f"{low[number]:.4g} to {high[number]:.4g}" if number < len(low) else "-"
        lines.append(f"{name:20}{column.min():>14,.6g}{column.max():>14,.6g}{seen:>30}")
    if len(said["columns"]) > _SHOWN:
        lines.append(f"... and {len(said['columns']) - _SHOWN} columns more")
    read = [line for source in described_sources(data).values() for line in source.describe()]
    lines += ["", "files:", *(f"  {line}" for line in read)] if read else []
    lines += [f"covariate {name}: {note}" for name, note in said.get("covariates", {}).items()]
    if said["without_windows"]:
        lines += ["", f"too short for a window: {_some(said['without_windows'])}"]
    lines += ["", f"faults: {len(said['faults']) or 'none'}"]
    for fault in said["faults"][:_SHOWN]:
        lines.append(
            f"  {fault['ticker']} {fault['date'] or ''} {fault['kind']}: {fault['detail']} ({fault['action']})"
        )
    if len(said["faults"]) > _SHOWN:
        lines.append(f"  ... and {len(said['faults']) - _SHOWN} more")
    return "\n".join(lines)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5:,} more"
