"""The parts a page is made of, as plain descriptions; templates/parts.html.j2 writes them as HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeGuard

from forecast.evaluate.report.plot import ParallelPlot, Plot
from forecast.evaluate.summary import number

MAX_ROWS = 500  # of a table; a panel may have ten thousand tickers
LONG = 30  # rows of a sortable table, beyond which it scrolls by itself
MAX_ENTRIES = 100  # of a list or mapping
PROSE = ("lines", "notes", "note", "warnings", "label")  # keys whose texts are sentences for the reader


@dataclass(frozen=True)
class Text:
    """A paragraph, heading or block of text.

    Args:
        content: plain text.
        tag: of HTML.
        style: a class of page.css.
    """

    kind: ClassVar[str] = "text"
    content: str
    tag: str = "p"
    style: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of plain texts.

    Args:
        header: a cell a column.
        rows: each as long as the header.
        labels: how many of the leftmost columns head their rows.
        sortable: whether a click on a head sorts; a long one scrolls by itself.
        best: the row that is marked.
        prose: columns of running text, which may break.
    """

    kind: ClassVar[str] = "table"
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    labels: int = field(default=1, kw_only=True)
    sortable: bool = field(default=False, kw_only=True)
    best: int | None = field(default=None, kw_only=True)
    prose: Sequence[int] = field(default=(), kw_only=True)

    @property
    def scrolls(self) -> bool:
        """Whether it scrolls by itself, and so must be reached by keys."""
        return self.sortable and len(self.rows) >= LONG


@dataclass(frozen=True)
class Terms:
    """Names and what stands behind each; `more` of them are left out."""

    kind: ClassVar[str] = "terms"
    pairs: Sequence[tuple[str, Part]]
    more: int = 0


@dataclass(frozen=True)
class Items:
    """A list; `more` of them are left out."""

    kind: ClassVar[str] = "items"
    parts: Sequence[Part]
    more: int = 0


@dataclass(frozen=True)
class Group:
    """Parts together, folded where there is a title.

    Args:
        parts: in order.
        title: of the fold.
        style: a class of page.css.
    """

    kind: ClassVar[str] = "group"
    parts: Sequence[Part]
    title: str = ""
    style: str = ""


def facts(value: object) -> Group:
    """A box that shows any JSON value."""
    return Group([tree(value)], style="plain")


Part = Text | Table | Terms | Items | Group | Plot | ParallelPlot


def plain(value: object) -> str:
    """A scalar as a reader wants it: `-` for what is undefined, six digits of a fraction."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def scaled(value: object, by: float = 100) -> float | None:
    """A multiple, by default a share in percent; None for what is no number."""
    known = number(value)
    return None if known is None else by * known


def percent_text(share: object) -> str:
    """A share in percent with one decimal."""
    known = scaled(share)
    return "-" if known is None else f"{known:.1f}"


def digits_text(value: object, digits: int = 3, by: float = 1) -> str:
    """A number with a few significant digits; three say all there is to a p-value."""
    known = scaled(value, by)
    return "-" if known is None else f"{known:.{digits}g}"


def words_of(key: str) -> str:
    """A key as a reader has it."""
    return key.replace("_", " ")


def left_out(count: int) -> list[Part]:
    """A note below a table: so many rows are left out."""
    if count <= MAX_ROWS:
        return []
    return [Text(f"{MAX_ROWS:,} of {count:,}; evaluation.json has all of them.", style="more")]


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


def record_parts(record: object, *, besides: Sequence[str] = ()) -> list[Part]:
    """Any record: sentences first, then single figures, then a heading and a table for each part.

    Args:
        record: whatever JSON can hold; a mapping of lists of equal length is a table, a column a key.
        besides: keys that are shown elsewhere.
    """
    if not isinstance(record, Mapping):
        return [facts(record)] if record else []
    parts: list[Part] = [Text(sentence) for sentence in sentences(record, besides=besides)]
    rest = {str(k): v for k, v in record.items() if k not in (*PROSE, *besides) and not _empty(v)}
    if is_columns(rest):
        return [*parts, *_columns(rest)]
    single = {key: value for key, value in rest.items() if not _nested(value)}
    if single:
        parts.append(facts({words_of(key): value for key, value in single.items()}))
    for key, value in rest.items():
        if key in single:
            continue
        parts.append(Text(words_of(key).capitalize(), "h3"))
        alike = isinstance(value, Mapping) and len(value) > 1 and all(map(_flat, value.values()))
        parts += record_parts(value) if isinstance(value, Mapping) and not alike else [facts(value)]
    return parts


def is_columns(value: object) -> TypeGuard[Mapping[str, Sequence[Any]]]:
    """Whether a mapping is a table turned on its side: at least two lists, of one length, of plain values."""
    if not isinstance(value, Mapping) or len(value) < 2:
        return False
    columns = list(value.values())
    if not all(isinstance(column, list | tuple) and column for column in columns):
        return False
    return len(set(map(len, columns))) == 1 and not any(
        _nested(item) for column in columns for item in column
    )


def _columns(columns: Mapping[str, Sequence[object]]) -> list[Part]:
    """A table that sorts; its first rows where it is long."""
    count = len(next(iter(columns.values())))
    columns = {name: column for name, column in columns.items() if any(value is not None for value in column)}
    shown = zip(*(column[:MAX_ROWS] for column in columns.values()), strict=True)
    rows = [[plain(value) for value in row] for row in shown]
    return [Table([words_of(name) for name in columns], rows, sortable=len(rows) > 1), *left_out(count)]


def tree(value: object) -> Part:
    """Whatever JSON can hold: mappings as terms, mappings of mappings and lists of them as tables."""
    if isinstance(value, Mapping):
        shown = dict(list(value.items())[:MAX_ENTRIES])
        more = len(value) - len(shown)
        if len(shown) > 1 and all(map(_flat, shown.values())):
            return Group([_alike([{"": key, **item} for key, item in shown.items()], labels=1), *_more(more)])
        return (
            Terms([(str(key), tree(item)) for key, item in shown.items()], more)
            if shown
            else Text("none", "")
        )
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        shown_items = value[:MAX_ENTRIES]
        more = len(value) - len(shown_items)
        if not shown_items:
            return Text("none", "")
        if all(map(_flat, shown_items)):
            return Group([_alike(shown_items, labels=0), *_more(more)])
        if any(map(_nested, shown_items)):
            return Items([tree(item) for item in shown_items], more)
        return Group([Text(", ".join(map(plain, shown_items)), ""), *_more(more)])
    return Text(plain(value), "")


def _alike(rows: Sequence[Mapping[str, object]], *, labels: int) -> Table:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[plain(row.get(key, "")) for key in columns] for row in rows]
    return Table([str(key) for key in columns], cells, labels=labels)


def _more(count: int) -> list[Part]:
    return [Text(f"and {count:,} more", style="more")] if count else []


def _flat(item: object) -> bool:
    return isinstance(item, Mapping) and not any(map(_nested, item.values()))


def _nested(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _empty(value: object) -> bool:
    return value is None or (isinstance(value, Mapping | list | tuple | str) and not value)
