"""One figure of every ticker, smallest first."""

from __future__ import annotations

from collections.abc import Sequence

from forecast.evaluate.evidence import number
from forecast.evaluate.page.plot import Number, Plot, Role, Series

MOST = 1000  # tickers
NAMED = 20  # tickers up to which each is named below its dot


def ticker_plot(
    title: str,
    names: Sequence[str],
    values: Sequence[object],
    *,
    y_label: str,
    level: tuple[float, str],
    whiskers: tuple[Sequence[object], Sequence[object]] | None = None,
) -> Plot | None:
    """Dots in order of their height; evenly spaced ones of very many. None where fewer than two have a value.

    Args:
        title: of the plot.
        names: of the tickers.
        values: one a ticker.
        y_label: their unit.
        level: a height to compare with, and its name.
        whiskers: lower and upper ends, one a ticker.
    """
    known = [(value, place) for place, value in enumerate(map(number, values)) if value is not None]
    known.sort()
    if len(known) < 2:
        return None
    # The first and the last stay: they are what one looks for.
    count = min(len(known), MOST)
    places = [known[round(n * (len(known) - 1) / (count - 1))][1] for n in range(count)]

    def taken(column: Sequence[object]) -> list[Number]:
        return [number(column[place]) for place in places]

    role: Role = "model"
    ends = {} if whiskers is None else {"lower": taken(whiskers[0]), "upper": taken(whiskers[1])}
    few = count <= NAMED
    return Plot(
        title=title,
        x=[float(n) for n in range(1, count + 1)],
        names=[names[place] for place in places] if few else None,
        x_label="" if few else "tickers, smallest first",
        whole=True,
        y_label=y_label,
        series=[Series(name=y_label, kind="dots", role=role, values=taken(values), **ends)],
        levels=[(*level, "naive")],
        notes=None if few else [names[place] for place in places],
        nearest=True,
        legend=False,
        note=f"{count:,} of {len(known):,} tickers, evenly spaced." if count < len(known) else "",
    )
