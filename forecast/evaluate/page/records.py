"""Records of the evaluation as HTML, whatever figures they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeGuard

from forecast.evaluate.evidence import number
from forecast.evaluate.markup import element, grid, plain, text, tree

ROWS = 500  # of a table in a page; a panel may have ten thousand tickers
PROSE = ("lines", "notes", "note", "warnings", "label")  # keys whose texts are sentences for the reader


def record_html(record: object) -> list[str]:
    """Sentences first, then single figures, then a heading and a table for each part.

    Args:
        record: whatever JSON can hold; a mapping of lists of equal length is a table, a column a key.
    """
    if not isinstance(record, Mapping):
        return [element("div", tree(record), class_="plain")] if record else []
    found = [text("p", sentence) for sentence in sentences(record)]
    rest = {str(key): value for key, value in record.items() if key not in PROSE and not _empty(value)}
    if is_columns(rest):
        return [*found, *columns_html(rest)]
    single = {key: value for key, value in rest.items() if not isinstance(value, Mapping | list | tuple)}
    if single:
        found.append(
            element("div", tree({word(key): value for key, value in single.items()}), class_="plain")
        )
    for key, value in rest.items():
        if key in single:
            continue
        found.append(text("h3", word(key).capitalize()))
        if isinstance(value, Mapping) and not _alike(value):
            found.extend(record_html(value))
        else:
            found.append(element("div", tree(value), class_="plain"))
    return found


def sentences(record: object, *, besides: Sequence[str] = ()) -> list[str]:
    """What a record says in words, but for the keys that are named."""
    if not isinstance(record, Mapping):
        return []
    found: list[str] = []
    for key in (key for key in PROSE if key not in besides):
        value = record.get(key)
        if isinstance(value, str) and value:
            found.append(value)
        elif isinstance(value, list | tuple):
            found.extend(item for item in value if isinstance(item, str))
    return found


def columns_html(columns: Mapping[str, Sequence[object]]) -> list[str]:
    """A table that sorts, of columns of equal length; its first rows where it is long."""
    count = len(next(iter(columns.values())))
    columns = {name: column for name, column in columns.items() if any(value is not None for value in column)}
    heads = [word(name) for name in columns]
    rows = [
        [plain(value) for value in row]
        for row in zip(*(column[:ROWS] for column in columns.values()), strict=True)
    ]
    return [grid([heads, *rows], labels=1, sortable=len(rows) > 1), *cut(count)]


def reasoned(rows: Sequence[Sequence[str]], *, labels: int, sortable: bool = False) -> str:
    """A table whose last column says why something is undefined; without it where everything is defined."""
    last = len(rows[0]) - 1
    if any(row[last] for row in rows[1:]):
        return grid(rows, labels=labels, sortable=sortable, prose=[last])
    return grid([row[:last] for row in rows], labels=labels, sortable=sortable)


def percent(share: object) -> float | None:
    """A share in percent; None for what is no number."""
    known = number(share)
    return None if known is None else 100 * known


def percent_text(share: object) -> str:
    """A share in percent with one decimal."""
    known = percent(share)
    return "-" if known is None else f"{known:.1f}"


def p_cell(p: object) -> str:
    """A p-value; three digits say all there is to it."""
    known = number(p)
    return "-" if known is None else f"{known:.3g}"


def cut(count: int) -> list[str]:
    """What is said below a table that does not hold everything."""
    if count <= ROWS:
        return []
    return [text("p", f"{ROWS:,} of {count:,}; evaluation.json has all of them.", class_="more")]


def is_columns(value: object) -> TypeGuard[Mapping[str, Sequence[object]]]:
    """Whether a mapping is a table turned on its side: at least two lists, of one length, of plain values."""
    if not isinstance(value, Mapping) or len(value) < 2:
        return False
    columns = list(value.values())
    if not all(isinstance(column, list | tuple) and column for column in columns):
        return False
    if len({len(column) for column in columns}) != 1:
        return False
    return not any(isinstance(item, Mapping | list | tuple) for column in columns for item in column)


def word(key: str) -> str:
    """A key as a reader has it."""
    return key.replace("_", " ")


def _alike(value: Mapping[str, object]) -> bool:
    """Whether the parts of a mapping are flat mappings, and so the rows of one table."""
    parts = list(value.values())
    flat = [
        isinstance(part, Mapping)
        and not any(isinstance(item, Mapping | list | tuple) for item in part.values())
        for part in parts
    ]
    return len(parts) > 1 and all(flat)


def _empty(value: object) -> bool:
    return value is None or (isinstance(value, Mapping | list | tuple | str) and not value)
