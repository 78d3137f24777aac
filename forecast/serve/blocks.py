"""How many windows go through the network together: as few as still answer exactly as in training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from forecast.errors import UserError

if TYPE_CHECKING:
    from forecast.model.forecaster import Forecaster

# Largest batch that a server makes of what waits.
MOST = 64
_TRIED = (1, 2, 4, 8, 16)
_WINDOWS = 256


def quickest_block(directory: Path, forecaster: Forecaster) -> int:
    """The smallest multiple that batches may be padded to.

    Matrix products take other code paths for a few rows and then differ in the last bit; from which multiple on they
    agree depends on the processor, so it is measured: every batch size in question, up to `MOST`, must give the
    forecasts that the run recorded, bit for bit. The forecaster's own multiple is known to.

    Args:
        directory: of the run, with its kept windows.
        forecaster: of the run; left as it was.

    Returns:
        a multiple, the forecaster's own where no smaller one will do.
    """
    from safetensors import safe_open

    with safe_open(directory / "golden.safetensors", framework="numpy") as file:
        windows, recorded = file.get_tensor("windows")[:_WINDOWS], file.get_tensor("forecast")[:_WINDOWS]
    before = forecaster.block
    try:
        for block in _TRIED:
            forecaster.block = 1  # as they come
            sizes = range(block, min(MOST, len(windows)) + 1, block)
            if block < before and all(
                (forecaster.predict(windows[at : at + size]) == recorded[at : at + size]).all()
                for size in sizes
                for at in range(0, len(windows) - size + 1, size)
            ):
                return block
    finally:
        forecaster.block = before
    return before


def move(directory: Path, forecaster: Forecaster, device: str) -> None:
    """Have another device compute, if its forecasts agree with the recorded ones to six digits.

    Args:
        directory: of the run, with its kept windows.
        forecaster: of the run.
        device: as torch names it.

    Raises:
        UserError: there is no such device, or it computes something else.
    """
    import numpy as np
    from safetensors import safe_open

    try:
        forecaster.to(device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"engine.accelerator={device}: {' '.join(str(error).split())}") from error
    with safe_open(directory / "golden.safetensors", framework="numpy") as file:
        windows, recorded = file.get_tensor("windows")[:_WINDOWS], file.get_tensor("forecast")[:_WINDOWS]
    if not np.allclose(forecaster.predict(windows), recorded, rtol=1e-6, atol=0):
        raise UserError(
            f"{directory}: on {device} the model does not give the forecasts it was recorded with"
        )
