"""How a file of bars is written: what sniffing yields, the reader follows, `trainer=none` prints and a run saves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from forecast.errors import UserError

Rows = Literal["days", "moments"]
Order = Literal["oldest first", "newest first", "unsorted"]

SPACE, SPACES = r"\s+", r"\s{2,}"  # columns aligned by blanks; by two or more, where names hold one
# What the user may say of a file, by the names of FileLayout.
KEYS = (
    "columns",
    "dates",
    "decimal",
    "thousands",
    "timezone",
    "clock",
    "separator",
    "encoding",
    "skip",
    "header",
)
_OF_TEXT = ("separator", "skip", "header", "footer", "comment")


class FileError(UserError):
    """What is wrong in a file, without its name, which `named` puts before it.

    Args:
        message: what it is, and the way out.
        place: where it stands, such as ", line 7".
    """

    def __init__(self, message: str, *, place: str = "") -> None:
        super().__init__(message)
        self.place = place


@contextmanager
def named(file: object) -> Iterator[None]:
    """Put the name of the file that is read before what is wrong in it."""
    try:
        yield
    except FileError as error:
        raise UserError(f"{file}{error.place}: {error}") from None


@dataclass(frozen=True, kw_only=True)
class FileLayout:
    """How a file is written.

    Args:
        encoding: of a text file; None = parquet, of which the next five say nothing.
        separator: between fields; SPACE or SPACES where blanks align them.
        skip: lines before the header.
        header: lines of the header; 0 = there is none.
        footer: lines at the end that are no rows, blank ones aside.
        comment: what lines begin with that are no rows; None = there are none.
        columns: our names -> the file's; `none` = there is no such column and 0 stands for it.
        tickers_in: `column` or `header`: where a file of several tickers names them; None = it is of one.
        dates: how they are written: ymd, dmy, mdy, epoch_s, ..., or a format of strptime.
        decimal: sign of numbers that are text.
        thousands: sign between their groups of digits.
        rows: `days`: a row is a day, week or month, named by a date; `moments`: a time of day on a date.
        timezone: the market's, in which days are counted; None = dates count as they are written.
        clock: in which times without a zone are written; None = in `timezone`.
        order: of the rows.
    """

    encoding: str | None = None
    separator: str = ","
    skip: int = 0
    header: int = 1
    footer: int = 0
    comment: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    tickers_in: Literal["column", "header"] | None = None
    dates: str = "ymd"
    decimal: str = "."
    thousands: str | None = None
    rows: Rows = "days"
    timezone: str | None = None
    clock: str | None = None
    order: Order = "oldest first"

    def is_row(self, line: str) -> bool:
        """Whether a line holds something and is no comment."""
        text = line.lstrip()
        return bool(text) and not (self.comment and text.startswith(self.comment))

    def to_json(self) -> dict[str, Any]:
        """As plain values, without what does not apply."""
        left_out = () if self.encoding else _OF_TEXT
        return {
            name: value for name, value in asdict(self).items() if value is not None and name not in left_out
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FileLayout:
        """What `to_json` wrote, or some of it.

        Raises:
            UserError: a key it does not know.
        """
        known = [one.name for one in fields(cls)]
        if unknown := [name for name in values if name not in known]:
            raise UserError(
                f"source.layouts: {unknown[0]} is no part of a layout; known are tickers, {', '.join(known)}"
            )
        columns = {str(ours): str(name) for ours, name in values.get("columns", {}).items()}
        return cls(**{**values, "columns": columns})

    def text(self) -> str:
        """In words, for a person: only what a file of plain commas, ISO days and points does not have."""
        said = []
        if self.encoding is None:
            said.append("parquet")
        else:
            names = {"\t": "tab", SPACE: "blanks", SPACES: "blanks"}
            said.append(f"separator {names.get(self.separator, repr(self.separator))}, {self.encoding}")
            for count, where in ((self.skip, "before the header"), (self.footer, "after the rows")):
                if count:
                    said.append(f"{count} line{'s' * (count > 1)} {where}")
            if self.comment:
                said.append(f"comments {self.comment}")
            if self.header != 1:
                said.append(f"header of {self.header} lines" if self.header else "no header")
        said.append(f"dates {self.dates}" + ("" if self.rows == "days" else " with times"))
        if self.timezone is not None:
            said.append(f"zone {self.timezone}")
        if self.clock is not None:
            said.append(f"written in {self.clock}")
        if self.decimal != "." or self.thousands is not None:
            groups = f", thousands {self.thousands!r}" if self.thousands else ""
            said.append(f"decimal {self.decimal!r}{groups}")
        if self.tickers_in is not None:
            said.append(f"tickers in its {self.tickers_in}")
        said.append(self.order)
        renamed = [f"{ours} = {name or 'the nameless column'}" for ours, name in self.columns.items()]
        return "; ".join(said) + "; " + ", ".join(renamed)
