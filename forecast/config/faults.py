"""One broken rule of a config, and how its value is shown."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

_LONGEST_VALUE = 60


class Unset:
    """Stands for a value that could not be read: `???`, or an interpolation that leads nowhere."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


MISSING = Unset("???")
UNREADABLE = Unset("(unreadable)")


class Fault(NamedTuple):
    """One line of a refusal: `key=value: rule; hint`."""

    key: str
    value: Any
    rule: str
    hint: str = ""

    def __str__(self) -> str:
        named = self.key if self.value is MISSING else f"{self.key}={shown(self.value)}"
        told = f"{named}: {self.rule}" + (f"; {self.hint}" if self.hint else "")
        return " ".join(told.split())


def shown(value: object) -> str:
    """A config value on one line, as one would type it, cut where it is long."""
    if isinstance(value, str):
        text = value
    else:
        text = json.dumps(value, default=str).replace("NaN", "nan").replace("Infinity", "inf")
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."
