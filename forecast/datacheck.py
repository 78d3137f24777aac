"""What `trainer=none` prints: shapes and ranges of the data a run would see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.data.record import record as data_record

if TYPE_CHECKING:
    from forecast.data.market import MarketData

_SHOWN = 20


def describe(data: MarketData) -> str:
    """Rows, dates, windows and column ranges of prepared data, and the faults that were found, as text.

    Args:
        data: prepared.
    """
    import torch

    record = data_record(data)
    windows = data.windows_["train"]
    lines = [
        f"{_some(record['tickers'])}: {record['rows']:,} rows of {len(record['columns'])} columns, "
        f"{record['first_day']} to {record['last_day']}, fingerprint {record['fingerprint']}",
        f"window: ({data.seq_len}, {len(data.layout.relations)}) -> {data.horizon} step(s) of the Close",
        "",
        f"{'split':8}{'first day':>12}{'last day':>12}{'windows':>12}",
    ]
    for split, part in record["splits"].items():
        lines.append(f"{split:8}{part['first_day']:>12}{part['last_day']:>12}{part['windows']:>12,}")
    network_sees = data.normaliser_.inputs(
        torch.from_numpy(windows.take(windows.spread(10_000)).windows)
    )  # (B, L, F)
    low, high = network_sees.amin(dim=(0, 1)), network_sees.amax(dim=(0, 1))
    lines += ["", f"{'column':20}{'min':>14}{'max':>14}{'the network sees (train)':>30}"]
    for number, name in enumerate(record["columns"][:_SHOWN]):
        column = data.panel_.values[:, number]
        seen = f"{low[number]:.4g} to {high[number]:.4g}" if number < len(low) else "-"
        lines.append(f"{name:20}{column.min():>14,.6g}{column.max():>14,.6g}{seen:>30}")
    if len(record["columns"]) > _SHOWN:
        lines.append(f"... and {len(record['columns']) - _SHOWN} columns more")
    if record["without_windows"]:
        lines += ["", f"too short for a window: {_some(record['without_windows'])}"]
    lines += ["", f"faults: {len(record['faults']) or 'none'}"]
    for fault in record["faults"][:_SHOWN]:
        lines.append(
            f"  {fault['ticker']} {fault['date'] or ''} {fault['kind']}: {fault['detail']} ({fault['action']})"
        )
    if len(record["faults"]) > _SHOWN:
        lines.append(f"  ... and {len(record['faults']) - _SHOWN} more")
    return "\n".join(lines)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5:,} more"
