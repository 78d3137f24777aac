"""All champions that are kept, as a table."""

from __future__ import annotations

from pathlib import Path

from forecast import bundle
from forecast.champion.place import Champion
from forecast.champion.promoting import told_of
from forecast.champion.shelf import Shelf
from forecast.errors import UserError


def listing(champion: Champion) -> str:
    """A line each, the oldest first; `*` marks the champion, `-` those that were rolled back.

    Raises:
        UserError: there is none.
    """
    shelf = Shelf(Path(champion.directory))
    current, line = shelf.current, shelf.line
    if not shelf.kept:
        raise UserError(f"champion.directory={champion.directory}: there is no champion yet")
    lines = []
    for folder in shelf.kept:
        mark = "*" if folder == current else (" " if folder.name in line else "-")
        try:
            bundle.verify(folder)
        except UserError as error:
            lines.append(f"{mark} {error}")
            continue
        told = told_of(folder)
        value = told["metric_value"]
        shown = "undefined" if value is None else f"{value:.6g}"
        lines.append(
            f"{mark} {folder}  {told['exported_at']}  {told['strategy']}  {told['metric']} {shown}, "
            f"of {told['candidates']:,}; {told['label']}"
        )
    return "\n".join(lines)
