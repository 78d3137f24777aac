"""The answer to a ticker that a source has not got."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from forecast.errors import SourceError

_SHOWN = 8


def missing_ticker(ticker: str, *, available: Sequence[str], origin: str) -> SourceError:
    """An error that names the nearest tickers, whatever their case, and the first of those available.

    Args:
        ticker: the name asked for.
        available: every name there is.
        origin: the source's config key and value, which opens the message.
    """
    folded = {name.casefold(): name for name in available}
    near = [folded[name] for name in difflib.get_close_matches(ticker.casefold(), folded, n=3)]
    shown = ", ".join(available[:_SHOWN])
    more = f" and {len(available) - _SHOWN} more" if len(available) > _SHOWN else ""
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    error = SourceError(f"{origin}: has no ticker {ticker!r}; {hint}it has {shown}{more}")
    error.unknown = True
    return error
