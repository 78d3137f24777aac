"""What the sections of a report share: tables of records, with plots by ticker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from forecast.evaluate.report.parts import MAX_ROWS, PROSE, Part, Table, Text, left_out, record_parts
from forecast.evaluate.report.plot import Plot, Role, Series

Record = Mapping[str, Any]
Columns = Mapping[str, tuple[str, Callable[[Any], str]]]  # head -> key of an entry, how its value is written
WHY = "undefined because"  # head of a column of reasons


def table_of(entries: Iterable[Record], columns: Columns, **look: Any) -> Table:
    """A row an entry. The column of reasons may break, and goes where everything is defined."""
    rows = [[write(entry.get(key)) for key, write in columns.values()] for entry in entries]
    header = list(columns)
    if WHY in header:
        place = header.index(WHY)
        if any(row[place] for row in rows):
            look["prose"] = [place]
        else:
            header, rows = (
                [head for head in header if head != WHY],
                [row[:place] + row[place + 1 :] for row in rows],
            )
    return Table(header, rows, **look)


def by_ticker(
    columns: Mapping[str, Sequence[Any]], heads: Columns, plots: Sequence[Plot], *, title: str
) -> list[Part]:
    """Plots and a table of columns, a row a ticker; its first rows where it is long."""
    known = {head: column for head, column in heads.items() if column[0] in columns}
    names = [key for key, _ in known.values()]
    rows = zip(*(columns[key][:MAX_ROWS] for key in names), strict=True)
    table = table_of((dict(zip(names, row, strict=True)) for row in rows), known, sortable=True)
    return [Text(title, "h3"), *plots, table, *left_out(len(columns["ticker"]))]


def rest(record: Record, *shown: str) -> list[Part]:
    """What is left of a record whose sentences and the keys named have been shown."""
    return record_parts(record, besides=[*shown, *PROSE])


def line(name: str, role: Role, values: Sequence[float | None]) -> Series:
    return Series(name=name, kind="line", role=role, values=values)


def reason_text(value: object) -> str:
    return str(value or "")
