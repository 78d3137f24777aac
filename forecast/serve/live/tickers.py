"""What can be a ticker at all, before any source is asked."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TICKER = re.compile(r"[A-Za-z0-9^][A-Za-z0-9.\-=^&_]{0,31}")


def is_ticker(text: str, known: Sequence[str]) -> bool:
    """Whether a source may be asked for it.

    Args:
        text: as it came, percent signs decoded.
        known: names that a source was asked for already, and so may be again, whatever their letters.
    """
    return text in known or bool(_TICKER.fullmatch(text) and any(letter.isalnum() for letter in text))
