"""What a check found in one table of bars, and how it is told: as a refusal or as records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from forecast.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Dates = NDArray[np.datetime64]  # [N], datetime64[ns]
    Columns = NDArray[np.float64]  # [5, N], in the order of COLUMNS

Action = Literal["dropped", "kept", "sorted"]

# Of one kind and ticker; one more sums up the rest, so that the record of a bad panel stays short.
_MOST_RECORDS = 5


@dataclass(frozen=True)
class Finding:
    """The faults of one kind in one table.

    Args:
        days: the day of each fault, in the table's order.
        detail: what is wrong with the i-th of them.
        rest: positions of the bars that remain, in order, when the faults are removed; None = they cannot be.
    """

    days: Dates
    detail: Callable[[int], str]
    rest: NDArray[np.intp] | None = None


@dataclass(frozen=True)
class Fault:
    """One thing that was found and let pass: what it was and what was done."""

    ticker: str
    date: str | None  # YYYY-MM-DD; None where it sums up several days
    kind: str  # the key under data.health that decided
    detail: str
    action: Action


def refusal(ticker: str, findings: Mapping[str, Finding]) -> UserError:
    """One line: the first day of each kind, how many more there are, and the ways out."""
    told = []
    for finding in findings.values():
        more = f" ({len(finding.days) - 1} more)" if len(finding.days) > 1 else ""
        told.append(f"{day(finding.days[0])}: {finding.detail(0)}{more}")
    ways = [
        f"data.health.{kind}={'keep' if found.rest is None else 'drop'}" for kind, found in findings.items()
    ]
    return UserError(f"{ticker}: {'; '.join(told)}; mend the source, or set {', '.join(ways)}")


def records(ticker: str, kind: str, finding: Finding, *, action: Action) -> list[Fault]:
    """The first few faults one by one, the rest summed up."""
    first = [
        Fault(ticker, day(date), kind, finding.detail(i), action)
        for i, date in enumerate(finding.days[:_MOST_RECORDS])
    ]
    left = len(finding.days) - len(first)
    if left:
        last = day(finding.days[-1])
        first.append(Fault(ticker, None, kind, f"{left} more, the last on {last}", action))
    return first


def day(date: np.datetime64) -> str:
    """YYYY-MM-DD."""
    return str(date)[:10]
