"""What a run forecast on test, and how far off it was: one ticker's rows of step 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.evaluate.page.plot import MOST, Plot, Series

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Column = NDArray[np.float64]

WINDOW = 60  # days of the rolling RMSE: a quarter
HELD_WINDOW = 125  # days of the rolling coverage: half a year
GROUPS = 10  # of equally many days
FEWEST = 5  # days a group, for a mean with a standard error
TODAY = "tomorrow = today"


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
        *_over_time(rows, name, left_out),
        _sizes(rows, name),
        _moves(shown, name, left_out),
    ]
    if "lower" in rows.columns:
        made.insert(1, _held(rows, name, levels[0] if levels else None, left_out))
    return [*made, _steps(test, ticker)] if horizon > 1 else made


def days_of(rows: pd.DataFrame) -> Column:
    """Dates as days since 1970-01-01."""
    import numpy as np

    days: Column = rows["date"].to_numpy(dtype="datetime64[D]").astype(np.int64).astype(np.float64)
    return days


def column(rows: pd.DataFrame, name: str) -> Column:
    """Prices."""
    prices: Column = rows[name].to_numpy(dtype="float64")
    return prices


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
        marks=_fold_marks(rows),
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
        marks=_fold_marks(rows.tail(MOST)),
        note=note,
    )


def _fold_marks(rows: pd.DataFrame) -> list[tuple[float, str]]:
    if "fold" not in rows.columns or rows["fold"].nunique() < 2:
        return []
    first = rows.drop_duplicates("fold")
    return [
        (float(day), f"fold {int(fold)}") for day, fold in zip(days_of(first), first["fold"], strict=True)
    ]


def _over_time(rows: pd.DataFrame, name: str, note: str) -> list[Plot]:
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
            marks=_fold_marks(rows.tail(MOST)),
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


def _sizes(rows: pd.DataFrame, name: str) -> Plot:
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


def _moves(rows: pd.DataFrame, name: str, note: str) -> Plot:
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
