"""How far off the forecasts of one ticker were: over time, by size, and by the move they said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.evaluate.page.columns import TODAY, column, days_of, fold_marks
from forecast.evaluate.page.plot import MOST, Plot, Series

if TYPE_CHECKING:
    import pandas as pd

WINDOW = 60  # days of the rolling RMSE: a quarter
GROUPS = 10  # of equally many days
FEWEST = 5  # days a group, for a mean with a standard error


def over_time(rows: pd.DataFrame, name: str, note: str) -> list[Plot]:
    """Rolling RMSE beside naive's, and the squared errors saved against it so far."""
    import numpy as np

    days, actual = days_of(rows), column(rows, "actual")
    errors, naive = actual - column(rows, "forecast"), actual - column(rows, "naive")
    window = min(WINDOW, len(rows))
    rolling = []
    for values in (errors, naive):
        sums = np.concatenate([[0.0], np.cumsum(values**2)])
        # clipped: a difference of running sums may end a hair below zero
        rmse = np.sqrt(np.clip(sums[window:] - sums[:-window], 0.0, None) / window)
        rolling.append(np.concatenate([np.full(window - 1, np.nan), rmse])[-MOST:])
    saved = np.cumsum(naive**2 - errors**2)[-MOST:]
    return [
        Plot(
            title=f"{name}: RMSE of the last {window:,} days",
            x=days[-MOST:],
            x_kind="date",
            y_label="price units",
            series=[
                Series(name=TODAY, kind="line", role="naive", values=rolling[1]),
                Series(name="model", kind="line", role="model", values=rolling[0]),
            ],
            marks=fold_marks(rows.tail(MOST)),
            note=note,
        ),
        Plot(
            title=f"{name}: squared errors saved against {TODAY}, summed; rising where the model is better",
            x=days[-MOST:],
            x_kind="date",
            y_label="price units squared",
            y_zero=True,
            series=[Series(name="saved", kind="line", role="model", values=saved)],
            levels=[(0.0, "no better", "naive")],
            note=note,
        ),
    ]


def sizes(rows: pd.DataFrame, name: str) -> Plot:
    """How many errors there are of each size."""
    import numpy as np

    actual = column(rows, "actual")
    errors, naive = actual - column(rows, "forecast"), actual - column(rows, "naive")
    # A few crashes would squeeze everything into one bar: the outermost thousandths are left out.
    edge = float(np.quantile(np.abs(np.concatenate([errors, naive])), 0.995)) or 1e-9
    edges = np.linspace(-edge, edge, min(61, max(11, int(len(errors) ** 0.5) * 2 + 1)))
    counts = [np.histogram(values, bins=edges)[0].astype(np.float64) for values in (errors, naive)]
    outside = int((np.abs(errors) > edge).sum())
    return Plot(
        title=f"{name}: errors on test",
        x=(edges[1:] + edges[:-1]) / 2,
        x_label="actual - forecast, price units",
        y_label="days",
        y_zero=True,
        series=[
            Series(name="model", kind="bars", role="model", values=counts[0]),
            Series(name=TODAY, kind="bars", role="naive", values=counts[1]),
        ],
        note=f"{outside:,} larger errors of the model lie outside." if outside else "",
    )


def moves(rows: pd.DataFrame, name: str, note: str) -> Plot:
    """The move forecast against the return that came, day by day and in groups."""
    import numpy as np

    rows = rows[rows["naive"] != 0]
    naive = column(rows, "naive")
    said, came = 100 * (column(rows, "forecast") / naive - 1), 100 * (column(rows, "actual") / naive - 1)
    parts = np.array_split(np.argsort(said, kind="stable"), max(min(GROUPS, len(said) // FEWEST), 1))
    parts = [part for part in parts if len(part) > 1]
    centre = np.array([said[part].mean() for part in parts])
    mean = np.array([came[part].mean() for part in parts])
    error = np.array([came[part].std(ddof=1) / len(part) ** 0.5 for part in parts])
    dates = [str(day) for day in rows["date"].to_numpy(dtype="datetime64[D]")]
    x = np.concatenate([said, centre])
    order = np.argsort(x, kind="stable")
    no_day, no_group = np.full(len(parts), np.nan), np.full(len(said), np.nan)
    notes = [*dates, *(f"mean of {len(part):,} days, ± one standard error" for part in parts)]
    return Plot(
        title=f"{name}: the moves forecast against the returns that came",
        x=x[order],
        x_label="move forecast, %",
        y_label="return that came, %",
        series=[
            Series(name="a day", kind="dots", role="model", values=np.concatenate([came, no_day])[order]),
            Series(
                name=f"mean of {len(parts)} equal groups",
                kind="dots",
                role="naive",
                values=np.concatenate([no_group, mean])[order],
                lower=np.concatenate([no_group, mean - error])[order],
                upper=np.concatenate([no_group, mean + error])[order],
            ),
        ],
        levels=[(0.0, "no move", "faint")],
        diagonal=True,
        notes=[notes[place] for place in order],
        nearest=True,
        note=" ".join(
            ["The dashed line is a perfect forecast; each axis has its own scale.", *([note] if note else [])]
        ),
    )
