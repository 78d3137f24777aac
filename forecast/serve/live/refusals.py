"""What went wrong between a question for a ticker and its bars, as an answer over HTTP."""

from __future__ import annotations

from fastapi import HTTPException

from forecast.errors import SourceError, UserError

# Seconds after which asking again makes sense; sources keep off a server that is down for minutes.
AGAIN_S = 60


def no_ticker(text: str) -> HTTPException:
    """It cannot be a ticker."""
    shown = text if len(text) <= 40 else f"{text[:40]}..."
    return HTTPException(
        400, f"{shown!r} is no ticker: up to 32 letters, digits and . - = ^ & _, as in AAPL, BRK-B, ^GSPC"
    )


def other_ticker(asked: str, *, target: str, beside: list[str]) -> HTTPException:
    """The model forecasts another ticker."""
    sees = f" (it only looks at {', '.join(beside)} beside it)" if beside else ""
    return HTTPException(
        409, f"{asked}: the model forecasts {target}{sees}; ask for that, or serve a panel model"
    )


def no_window(error: UserError | str) -> HTTPException:
    """The bars are there, but the model cannot look at them."""
    return HTTPException(409, line(error))


def from_source(error: UserError | OSError, *, asked: str, ticker: str, held: str | None) -> HTTPException:
    """The source did not deliver.

    Args:
        error: of the source.
        asked: the ticker that was asked for.
        ticker: the one whose bars are missing; another one where the model looks at several.
        held: what the source's cache holds of it.
    """
    told = line(error) if isinstance(error, UserError) else f"{ticker}: {type(error).__name__}: {line(error)}"
    kept = f"; the cache has {held}" if held else ""
    if isinstance(error, SourceError) and error.unknown and ticker == asked:
        return HTTPException(404, told)
    if isinstance(error, SourceError) and error.may_pass:
        return HTTPException(503, told + kept, headers={"Retry-After": str(AGAIN_S)})
    return HTTPException(502, told + kept)


def stale(ticker: str, reason: str, held: str | None) -> HTTPException:
    """The source answered from its cache, because it could not find out whether there are later bars."""
    return HTTPException(
        503,
        f"{ticker}: {line(reason)}; the cache has {held or 'older bars'}: ?stale=true forecasts from those",
        headers={"Retry-After": str(AGAIN_S)},
    )


def too_slow(ticker: str, patience_s: float, held: str | None) -> HTTPException:
    """The source takes its time; the question to it goes on."""
    kept = f"; the cache has {held}" if held else ""
    return HTTPException(
        503,
        f"{ticker}: the source has not answered within {patience_s:g} s{kept}; ask again",
        headers={"Retry-After": "5"},
    )


def crowded() -> HTTPException:
    """Others wait for the source already."""
    return HTTPException(503, "too many wait for the source already; ask again", headers={"Retry-After": "5"})


def line(error: object) -> str:
    """One line, whatever came."""
    return " ".join(str(error).split())
