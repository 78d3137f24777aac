"""The valid name a misspelt one most likely meant."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, names: Iterable[str], *, at_least: float = 0.6) -> str | None:
    """The most similar of `names`, or None when none is `at_least` that similar (1 = the same)."""
    import difflib

    close = difflib.get_close_matches(name, list(names), n=1, cutoff=at_least)
    return close[0] if close else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`did you mean X?` for the most similar name, or the names to choose from."""
    known = list(names)
    near = nearest(name, known)
    return f"did you mean {near}?" if near else f"known: {', '.join(known) or 'none'}"
