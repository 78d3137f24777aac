"""Pieces of HTML in which every text is escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TypeGuard

LONG = 30  # rows of a sortable table, beyond which it scrolls by itself
MOST = 100  # entries of a list or mapping that are shown; a panel may have ten thousand tickers


def element(name: str, content: str, **attributes: str) -> str:
    """A tag around content that is already HTML; attributes are escaped, and `class_` stands for `class`."""
    written = "".join(f' {key.rstrip("_")}="{escape(value)}"' for key, value in attributes.items())
    return f"<{name}{written}>{content}</{name}>"


def text(name: str, content: str, **attributes: str) -> str:
    """A tag around plain text."""
    return element(name, escape(content), **attributes)


def grid(
    rows: Sequence[Sequence[str]],
    *,
    labels: int,
    sortable: bool = False,
    best: int | None = None,
    prose: Sequence[int] = (),
) -> str:
    """A table of plain texts, header first.

    Args:
        rows: of equal length.
        labels: how many of the leftmost columns head their rows.
        sortable: whether a click on a head sorts, where the page has the script for it; a long one scrolls.
        best: the row, counted from 0 below the header, that is marked.
        prose: columns of running text, which may break.
    """
    head = "".join(text("th", cell, scope="col") for cell in rows[0])
    body = []
    for number, row in enumerate(rows[1:]):
        cells = [
            text("th", cell, scope="row")
            if n < labels
            else text("td", cell, **({"class_": "text"} if n in prose else {}))
            for n, cell in enumerate(row)
        ]
        marked = {"class_": "best"} if number == best else {}
        body.append(element("tr", "".join(cells), **marked))
    table = element("thead", element("tr", head)) + element("tbody", "".join(body))
    # a table wider than a phone scrolls by itself, not the page; what scrolls must be reached by keys
    long = sortable and len(rows) > LONG
    around = {"class_": "wide long", "tabindex": "0"} if long else {"class_": "wide"}
    return element("div", element("table", table, **({"class_": "sortable"} if sortable else {})), **around)


def tree(value: object) -> str:
    """Whatever JSON can hold: mappings as terms, mappings of mappings and lists of them as tables."""
    if isinstance(value, Mapping):
        return _terms(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return _items(value)
    return escape(plain(value))


def plain(value: object) -> str:
    """A scalar as a reader wants it: `-` for what is undefined, six digits of a fraction."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _terms(terms: Mapping[str, object]) -> str:
    shown = dict(list(terms.items())[:MOST])
    if not shown:
        return "none"
    rows = [{"": key, **item} for key, item in shown.items() if _flat(item)]
    if len(rows) == len(shown) > 1:
        return _table(rows, labels=1) + _more(len(terms))
    pairs = (text("dt", str(key)) + element("dd", tree(item)) for key, item in shown.items())
    return element("dl", "".join(pairs)) + _more(len(terms))


def _items(values: Sequence[object]) -> str:
    shown = values[:MOST]
    if not shown:
        return "none"
    rows = [item for item in shown if _flat(item)]
    if len(rows) == len(shown):
        return _table(rows, labels=0) + _more(len(values))
    if any(isinstance(item, Mapping | list | tuple) for item in shown):
        return element("ul", "".join(element("li", tree(item)) for item in shown)) + _more(len(values))
    return escape(", ".join(map(plain, shown))) + _more(len(values))


def _flat(item: object) -> TypeGuard[Mapping[str, object]]:
    if not isinstance(item, Mapping):
        return False
    return not any(isinstance(value, Mapping | list | tuple) for value in item.values())


def _table(rows: Sequence[Mapping[str, object]], *, labels: int) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return grid(
        [[str(key) for key in columns], *([plain(row.get(key, "")) for key in columns] for row in rows)],
        labels=labels,
    )


def _more(count: int) -> str:
    return text("p", f"and {count - MOST:,} more", class_="more") if count > MOST else ""
