"""The table of figures: val and test, the model's row above that of "tomorrow = today"."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from forecast.evaluate.metrics import SPLITS

Metrics = Mapping[str, float | None]

LONGEST = 20  # letters of a baseline's name
HEADER = ("", "", "RMSE", "MAE", "MAPE %", "MASE", "ratio", "skill %", "direction %", "R2 %")


def cells(
    metrics: Metrics, *, tickers: int, rival: tuple[str, Mapping[str, Metrics]] | None = None
) -> list[list[str]]:
    """Texts of the table, header first, two rows a split; `-`: undefined, "": says nothing of the naive row.

    Args:
        metrics: flat, as Tally.result names them.
        tickers: how many are forecast; the standard error counts those of one day as one observation.
        rival: name of a baseline and its figures by split, for a third row.
    """
    prices = {name: _price_format(metrics, name) for name in ("rmse", "mae")}
    rows = [list(HEADER)]
    for split in SPLITS:

        def figure(name: str, split: str = split) -> float | None:
            return metrics.get(f"{split}_{name}")

        rows.append([split, "model", *_judged(figure, prices, tickers=tickers)])
        naive = [_text(figure(f"naive_{name}"), prices[name]) for name in ("rmse", "mae")]
        rows.append(["", "naive", *naive, _text(figure("naive_mape"), "{:.3f}"), "", "", "", "", ""])
        if rival is not None and rival[1].get(split):
            own = rival[1][split]
            rows.append(["", rival[0][:LONGEST], *_judged(own.get, prices, tickers=tickers)])
    return rows


def align(rows: Sequence[Sequence[str]]) -> str:
    """Columns under each other, the two of labels to the left and the figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        texts = [
            text.ljust(width) if place < 2 else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(texts).rstrip())
    return "\n".join(lines)


def ratio_text(ratio: float | None) -> str:
    """Three decimals, and as many more as it takes to see on which side of 1 the ratio lies."""
    if ratio is None:
        return "-"
    decimals = 3
    while ratio != 1 and decimals < 6 and float(f"{ratio:.{decimals}f}") == 1:
        decimals += 1
    return f"{ratio:.{decimals}f}"


def direction_text(share: float | None, error: float | None, *, tickers: int) -> str:
    """Percent with its standard error, tickers of one day counted as one observation."""
    if share is None:
        return "-"
    if error is None:
        return f"{100 * share:.1f}"
    return f"{100 * share:.1f} +/- {100 * error * math.sqrt(max(tickers, 1)):.1f}"


def _judged(figure: Callable[[str], float | None], prices: Mapping[str, str], *, tickers: int) -> list[str]:
    ratio = figure("theil_u")
    return [
        *(_text(figure(name), prices[name]) for name in ("rmse", "mae")),
        _text(figure("mape"), "{:.3f}"),
        _text(figure("mase"), "{:.3f}"),
        ratio_text(ratio),
        _signed(None if ratio is None else 100 * (1 - ratio)),
        direction_text(figure("direction"), figure("direction_se"), tickers=tickers),
        _signed(_percent(figure("r2_oos"))),
    ]


def _price_format(metrics: Metrics, name: str) -> str:
    # One number of decimals a column, so that model and naive compare at a glance: 4 digits of the smallest.
    values = [metrics.get(f"{split}_{kind}{name}") for split in SPLITS for kind in ("", "naive_")]
    sizes = [abs(value) for value in values if value]
    if not sizes:
        return "{:.2f}"
    if min(sizes) < 1e-6 or max(sizes) >= 1e9:
        return "{:.3e}"
    return f"{{:.{max(2, 3 - math.floor(math.log10(min(sizes))))}f}}"


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _signed(value: float | None) -> str:
    # + 0.0 turns -0.0 into 0.0
    return "-" if value is None else f"{round(value, 2) + 0.0:+.2f}"
