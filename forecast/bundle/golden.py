"""Golden windows: some of the test split with their forecasts, which a copy of the model must give again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from forecast.errors import UserError
from forecast.files import write_whole
from forecast.model.forecaster import error_variance

if TYPE_CHECKING:
    from forecast.data.market import MarketData
    from forecast.model.forecaster import Forecaster
    from forecast.model.inference import Predictor

FILE = "golden.safetensors"
# Relative to the value: another processor, a GPU or another torch sums in another order.
TOLERANCE = 1e-6
_MAX_WINDOWS, _MAX_BYTES = 4096, 8 * 2**20


@dataclass(frozen=True)
class Golden:
    """Windows of a run, and what it forecast from them."""

    windows: NDArray[np.float32]  # (B, bars, C) raw panel rows, as many as the forecaster looks at
    counts: NDArray[np.integer] | None  # (B,) how many of the bars, the newest, there are; None = all
    names: list[str]  # (B,) of their series
    times: NDArray[np.datetime64]  # (B, h) forecast
    forecast: NDArray[np.float64]  # (B, h)

    def some(self, count: int) -> Golden:
        """At most so many of them, evenly spread."""
        step = max(1, -(-len(self.windows) // count))
        return Golden(
            windows=self.windows[::step],
            counts=None if self.counts is None else self.counts[::step],
            names=self.names[::step],
            times=self.times[::step],
            forecast=self.forecast[::step],
        )


def write_golden(directory: Path, forecaster: Forecaster, data: MarketData) -> None:
    """Keep test windows, all of them or an even spread of up to 4,096 in 8 MB, and their forecasts."""
    from safetensors.numpy import save

    panel, tested = data.panel_, data.windows_["test"]
    history = forecaster.history
    # Of a forecaster that looks at all there is, each window is kept with everything before it.
    bars = int(np.diff(panel.first_rows).max()) if history is None else max(history, data.seq_len)
    most = _MAX_BYTES // (4 * bars * panel.values.shape[1])
    batch = tested.take(tested.spread(max(1, min(_MAX_WINDOWS, most))))
    known = batch.rows - panel.first_rows[batch.series] + 1  # (B,) bars of its series up to the origin
    bars = min(bars, int(known.max()))
    counts = np.minimum(known, bars)
    rows = batch.rows[:, None] + np.arange(1 - bars, 1)  # (B, bars)
    windows = panel.values[np.maximum(rows, 0)]
    windows[np.arange(bars) < (bars - counts)[:, None]] = 0.0  # another series' bars
    arrays: dict[str, NDArray[Any]] = {
        "windows": windows,
        "counts": counts,
        "series": batch.series,  # (B,) index into names
        "times": panel.time_of(batch.ahead).astype("datetime64[ns]").astype(np.int64),  # (B, h)
        "forecast": forecaster.forecast(batch).values,  # (B, h)
    }
    names = {"names": json.dumps(panel.names)}
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_whole(directory / FILE, save(contiguous, metadata=names))


def read_golden(directory: str | Path) -> Golden:
    """The golden windows of a finished run, of an earlier version too."""
    from safetensors import safe_open

    with safe_open(Path(directory) / FILE, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
        names = json.loads(file.metadata()["names"])
    counts = arrays.get("counts")
    times = (
        arrays["times"].astype("datetime64[ns]")
        if "times" in arrays
        else arrays["days"].astype("datetime64[D]").astype("datetime64[ns]")
    )
    return Golden(
        windows=arrays["windows"],
        counts=None if counts is None or (counts == arrays["windows"].shape[1]).all() else counts,
        names=[names[number] for number in arrays["series"]],
        times=times,
        forecast=np.asarray(arrays["forecast"], np.float64),
    )


def verify_golden(directory: str | Path, predictor: Predictor, *, most: int | None = None) -> int:
    """Forecast the golden windows of a run again.

    Args:
        most: windows that are enough, evenly spread; None = all of them, and the forecast table is looked at.

    Returns:
        how many windows gave what the run recorded, in the golden set and in its forecast table, within
        TOLERANCE.

    Raises:
        UserError: a forecast differs.
    """
    from forecast.model.standalone import batch_of

    directory = Path(directory)
    golden = read_golden(directory)
    if most is not None:
        golden = golden.some(most)
    batch = batch_of(
        golden.windows,
        names=golden.names,
        counts=golden.counts,
        lookback=predictor.lookback,
        horizon=predictor.horizon,
        layout=predictor.layout,
    )
    values = predictor.forecaster.forecast(batch).values
    # A value near 0, as a return is, is held against the largest.
    scale = 0.0 if predictor.target.positive else np.abs(golden.forecast).max(initial=0.0)
    wrong = np.zeros(len(values), bool)
    pairs = [(values, golden.forecast)]
    if most is None:
        variance = error_variance(predictor.forecaster)
        pairs.append((predictor.target.forecast_in_unit(values, variance), _recorded(directory, golden)))
    for found, expected in pairs:
        wrong |= ~np.isclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * scale).all(axis=1)
    if wrong.any():
        first = int(wrong.argmax())
        raise UserError(
            f"{directory}: the model does not give the forecasts it was recorded with: {int(wrong.sum())} of "
            f"{len(wrong)} windows differ by more than {TOLERANCE:g} of the value, the first for "
            f"{golden.names[first]} on {str(golden.times[first, 0])[:10]}; the weights or the versions of torch and "
            "this package are not those of the run"
        )
    return len(wrong)


def _recorded(directory: Path, golden: Golden) -> NDArray[np.float64]:
    """The same forecasts as the run's table has them, (B, h)."""
    import pandas as pd

    keys = ["ticker", "date", "step"]
    table = pd.read_parquet(directory / "forecasts.parquet", filters=[("split", "==", "test")])
    if "fold" in table:  # the model kept is the last one
        table = table[table["fold"] == table["fold"].max()]
    count, horizon = golden.times.shape
    wanted = pd.DataFrame(
        {
            "ticker": np.repeat(np.asarray(golden.names, dtype=object), horizon),
            "date": golden.times.ravel(),
            "step": np.tile(np.arange(1, horizon + 1, dtype=np.int32), count),
        }
    )
    found = wanted.merge(table[[*keys, "forecast"]], on=keys, how="left", validate="one_to_one")
    recorded: NDArray[np.float64] = found["forecast"].to_numpy(np.float64).reshape(count, horizon)
    return recorded
