"""Windows kept beside a model with what it forecast from them: proof that a copy still answers as the run did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.bundle.loading import load
from forecast.errors import UserError
from forecast.files import write_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.model.forecaster import Forecaster
    from forecast.model.predictor import Predictor

FILE = "golden.safetensors"
_MOST_WINDOWS, _MOST_BYTES = 4096, 8 * 2**20


def write_golden(directory: Path, forecaster: Forecaster, data: MarketData) -> None:
    """Keep test windows, all of them or an even spread of up to 4,096 in 8 MB, and their forecasts.

    Args:
        directory: of the run.
        forecaster: fitted.
        data: split as it was fitted to.
    """
    import numpy as np
    from safetensors.numpy import save

    tested = data.windows_["test"]
    size = 4 * data.seq_len * data.panel_.values.shape[1]
    kept = tested.take(tested.spread(max(1, min(_MOST_WINDOWS, _MOST_BYTES // size))))
    ahead = kept.rows[:, None] + np.arange(1, data.horizon + 1)  # (B, h)
    arrays: dict[str, NDArray[Any]] = {
        "windows": np.ascontiguousarray(kept.windows),  # (B, L, C) raw panel rows
        "series": kept.series,  # (B,) index into names
        "days": np.ascontiguousarray(data.panel_.days[ahead]),  # (B, h) forecast, since 1970-01-01
        "forecast": forecaster.predict(kept.windows),  # (B, h) prices
    }
    names = {"names": json.dumps(data.panel_.names)}
    write_whole(directory / FILE, save(arrays, metadata=names))


def replay(directory: str | Path, predictor: Predictor | None = None) -> int:
    """Load a run directory and forecast its kept windows again.

    Args:
        directory: of a finished run.
        predictor: from that directory, where it is loaded already.

    Returns:
        how many windows gave exactly what the run recorded, in the kept set and in its forecast table.

    Raises:
        UserError: the directory does not verify, or an answer differs.
    """
    import numpy as np
    import torch
    from omegaconf import OmegaConf
    from safetensors import safe_open

    directory = Path(directory)
    if predictor is None:
        predictor = load(directory)
    with safe_open(directory / FILE, framework="numpy") as file:
        golden = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
        names = json.loads(file.metadata()["names"])
    config = OmegaConf.load(directory / "config.yaml")
    threads = torch.get_num_threads()
    # Sums in another order differ in the last bits.
    torch.set_num_threads(OmegaConf.select(config, "trainer.threads", default=1))
    try:
        answers = predictor.forecaster.predict(golden["windows"])
    finally:
        torch.set_num_threads(threads)
    wrong = (answers != golden["forecast"]).any(axis=1) | (
        answers != _recorded(directory, golden, names)
    ).any(1)
    if wrong.any():
        first = int(wrong.argmax())
        day = np.datetime64(int(golden["days"][first, 0]), "D")
        raise UserError(
            f"{directory}: the model does not give the forecasts it was recorded with: {int(wrong.sum())} of "
            f"{len(wrong)} windows differ, the first for {names[golden['series'][first]]} on {day}; the weights or "
            "the versions of torch and this package are not those of the run"
        )
    return len(wrong)


def kept(directory: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The kept windows, (windows, lookback, columns) raw panel rows, and their forecasts, (windows, horizon).

    Args:
        directory: of a finished run.
    """
    from safetensors import safe_open

    with safe_open(directory / FILE, framework="numpy") as file:
        return file.get_tensor("windows"), file.get_tensor("forecast")


def _recorded(
    directory: Path, golden: dict[str, NDArray[np.generic]], names: list[str]
) -> NDArray[np.float64]:
    """The same forecasts as the run's table has them, (B, h)."""
    import numpy as np
    import pandas as pd

    keys = ["ticker", "date", "step"]
    table = pd.read_parquet(directory / "forecasts.parquet", filters=[("split", "==", "test")])
    if "fold" in table:  # the model kept is the last one
        table = table[table["fold"] == table["fold"].max()]
    count, horizon = golden["days"].shape
    wanted = pd.DataFrame(
        {
            "ticker": np.repeat(np.asarray(names, dtype=object)[golden["series"]], horizon),
            "date": golden["days"].ravel().astype("datetime64[D]").astype("datetime64[ns]"),
            "step": np.tile(np.arange(1, horizon + 1, dtype=np.int32), count),
        }
    )
    found = wanted.merge(table[[*keys, "forecast"]], on=keys, how="left", validate="one_to_one")
    recorded: NDArray[np.float64] = found["forecast"].to_numpy(np.float64).reshape(count, horizon)
    return recorded
