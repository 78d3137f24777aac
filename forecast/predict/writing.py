"""A table of forecasts on the screen and in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from forecast.errors import UserError
from forecast.files import replacing
from forecast.model.intervals import columns

if TYPE_CHECKING:
    import pandas as pd

    from forecast.predict.future import Future

_SHOWN = 40  # rows on the screen


def check_output(path: Path) -> None:
    """Refuse a file that could not be written once the forecasts are there.

    Raises:
        UserError: neither .csv nor .parquet, or its folder does not exist.
    """
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise UserError(f"output={path}: must end in .csv or .parquet")
    if not path.parent.is_dir():
        raise UserError(f"output={path}: {path.parent} is no folder; make it first")
    if path.is_dir():
        raise UserError(f"output={path}: is a folder; name a file")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write all rows; the file is replaced as a whole, or not at all.

    Raises:
        UserError: it cannot be written.
    """
    try:
        with replacing(path) as scratch:
            if path.suffix.lower() == ".csv":
                table.to_csv(scratch, index=False, date_format="%Y-%m-%d")
            else:
                table.to_parquet(scratch, index=False)
    except OSError as error:
        raise UserError(f"output={path}: cannot be written ({error.strerror or error})") from error


def text_of(future: Future, *, output: Path | None) -> str:
    """The table with what must be known to read it.

    Args:
        future: the forecasts.
        output: where all rows were written; None = nowhere.
    """
    table = future.table
    bounds = [name for name in columns(future.levels) if name in table] if future.levels else []
    stepped = len(table) and table["step"].max() > 1
    head = [
        "ticker",
        "last bar",
        "date",
        *(["step"] if stepped else []),
        "forecast",
        "naive",
        "move %",
        *bounds,
    ]
    rows = [head]
    for row in table.head(_SHOWN).to_dict("records"):
        move = f"{100 * (row['forecast'] / row['naive'] - 1):+.2f}" if row["naive"] else "-"
        mark = "*" if row["days_behind"] else ""
        rows.append(
            [
                f"{row['ticker']}{mark}",
                f"{row['origin']:%Y-%m-%d}",
                f"{row['date']:%Y-%m-%d}",
                *([str(row["step"])] if stepped else []),
                *(f"{row[name]:.6g}" for name in ("forecast", "naive")),
                move,
                *("-" if row[name] != row[name] else f"{row[name]:.6g}" for name in bounds),
            ]
        )
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    lines = [
        "  ".join(
            word.ljust(width) if place == 0 else word.rjust(width)
            for place, (word, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    if len(table) > _SHOWN:
        where = f"all of them are in {output}" if output else "output=FILE.csv writes all of them"
        lines.append(f"... and {len(table) - _SHOWN:,} rows more; {where}")
    return "\n".join([*lines, "", *_told(future, output)])


def _told(future: Future, output: Path | None) -> list[str]:
    told = ['naive: "tomorrow = today", the last Close; move: forecast against it']
    if future.levels:
        pairs = zip(columns(future.levels)[::2], columns(future.levels)[1::2], future.levels, strict=True)
        told.append("; ".join(f"{low} to {high}: {100 * level:g} % interval" for low, high, level in pairs))
    behind = future.table[future.table["days_behind"] > 0]
    if len(behind):
        number = behind["ticker"].nunique()
        told.append(
            f"* last bar older than that of others, by up to {behind['days_behind'].max()} days "
            f"({number} ticker{'s' * (number != 1)})"
        )
    told += future.notes
    reasons = list(future.refused.values())
    told += [f"left out: {reason}" for reason in reasons[:5]]
    if len(reasons) > 5:
        told.append(f"left out: {len(reasons) - 5:,} more")
    if output is not None:
        told.append(f"written to {output}")
    return told
