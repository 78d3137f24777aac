"""Another device than the processor: held to six digits, for it sums in another order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from forecast.bundle.golden import kept
from forecast.errors import UserError

if TYPE_CHECKING:
    from forecast.model.forecaster import Forecaster

_WINDOWS = 256


def move(directory: Path, forecaster: Forecaster, device: str) -> None:
    """Have another device compute, if its forecasts agree with the recorded ones to six digits.

    Args:
        directory: of the run, with its kept windows.
        forecaster: of the run.
        device: as torch names it.

    Raises:
        UserError: there is no such device, or it computes something else.
    """
    try:
        forecaster.to(device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"engine.accelerator={device}: {' '.join(str(error).split())}") from error
    windows, recorded = kept(directory)
    if not np.allclose(forecaster.predict(windows[:_WINDOWS]), recorded[:_WINDOWS], rtol=1e-6, atol=0):
        raise UserError(
            f"{directory}: on {device} the model does not give the forecasts it was recorded with"
        )
