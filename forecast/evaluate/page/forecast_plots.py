"""What a run forecast on test, and how far off it was: one ticker's rows of step 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.evaluate.page.columns import TODAY, column, days_of, fold_marks
from forecast.evaluate.page.error_plots import moves, over_time, sizes
from forecast.evaluate.page.plot import MOST, Plot, Series

if TYPE_CHECKING:
    import pandas as pd

HELD_WINDOW = 125  # days of the rolling coverage: half a year


def forecast_plots(forecasts: pd.DataFrame, *, levels: list[float]) -> list[Plot]:
    """Forecasts, how the intervals held, errors over time and by size, moves; of several steps the error of each.

    Args:
        forecasts: of one ticker: ticker, date, split, step, actual, forecast, naive, and where intervals are on
            lower, upper, lower_50 ... and of a walk-forward fold.
        levels: nominal coverage of the intervals, that of `lower` and `upper` first; may be empty.
    """
    test = forecasts[forecasts["split"] == "test"]
    rows = test[test["step"] == 1].sort_values("date", kind="stable")
    if not len(rows):
        return []
    shown = rows.tail(MOST)
    left_out = f"The newest {len(shown):,} of {len(rows):,} test days." if len(rows) > len(shown) else ""
    horizon = int(test["step"].max())
    ticker = str(rows["ticker"].iloc[0])
    name = ticker + (f", step 1 of {horizon}" if horizon > 1 else "")
    made = [
        _forecast(shown, name, levels, left_out),
        *over_time(rows, name, left_out),
        sizes(rows, name),
        moves(shown, name, left_out),
    ]
    if "lower" in rows.columns:
        made.insert(1, _held(rows, name, levels[0] if levels else None, left_out))
    return [*made, _steps(test, ticker)] if horizon > 1 else made


def _forecast(rows: pd.DataFrame, name: str, levels: list[float], note: str) -> Plot:
    bands = []
    endings = [column[5:] for column in rows.columns if column.startswith("lower")]
    for place, ending in enumerate(endings):
        level = f"{100 * levels[place]:g} % " if place < len(levels) else ""
        band = Series(
            name=f"{level}interval",
            kind="band",
            role="model",
            lower=column(rows, f"lower{ending}"),
            upper=column(rows, f"upper{ending}"),
        )
        bands.append(band)
    lines = [
        Series(name="actual", kind="line", role="actual", values=column(rows, "actual")),
        Series(name=TODAY, kind="line", role="naive", values=column(rows, "naive")),
        Series(name="model", kind="line", role="model", values=column(rows, "forecast")),
    ]
    return Plot(
        title=f"{name}: forecast and actual on test",
        x=days_of(rows),
        x_kind="date",
        y_label="price",
        series=[*bands, *lines],
        marks=fold_marks(rows),
        note=note,
    )


def _held(rows: pd.DataFrame, name: str, level: float | None, note: str) -> Plot:
    import numpy as np
    import pandas as pd

    lower, upper, actual = (column(rows, key) for key in ("lower", "upper", "actual"))
    inside = np.where(np.isnan(lower) | np.isnan(upper), np.nan, (lower <= actual) & (actual <= upper))
    window = min(HELD_WINDOW, len(rows))
    share = pd.Series(inside).rolling(window).mean().to_numpy()
    return Plot(
        title=f"{name}: share of the last {window:,} days inside the interval",
        x=days_of(rows)[-MOST:],
        x_kind="date",
        y_label="held, %",
        series=[Series(name="held", kind="line", role="model", values=100 * share[-MOST:])],
        levels=[] if level is None else [(100 * level, "promised", "naive")],
        marks=fold_marks(rows.tail(MOST)),
        note=note,
    )


def _steps(test: pd.DataFrame, name: str) -> Plot:
    import numpy as np

    squares = {
        kind: ((test["actual"] - test[kind]) ** 2).groupby(test["step"]).mean()
        for kind in ("forecast", "naive")
    }
    return Plot(
        title=f"{name}: RMSE on test by step",
        x=squares["naive"].index.to_numpy(dtype=np.float64),
        x_label="days ahead",
        whole=True,
        y_label="price units",
        series=[
            Series(name=TODAY, kind="line", role="naive", values=np.sqrt(squares["naive"].to_numpy())),
            Series(name="model", kind="line", role="model", values=np.sqrt(squares["forecast"].to_numpy())),
        ],
    )
