"""The run directory that is served, and questions with their answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

# The network of every figure here: LSTM 4 -> 128 x 2 -> 1 on 20 bars. What it has learnt is beside the point.
KEYS = (
    "model=lstm", "model.hidden_size=128", "model.num_layers=2", "data=no_processing_single", "data.seq_len=20",
    "trainer=smoke", "trainer.progress=off", "baselines=none", "tracker=none",
)  # fmt: skip
_QUESTIONS = 256


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Windows of the run's test split.

    Args:
        sequences: (windows, lookback, columns) as they are sent.
        forecasts: (windows,) what the run recorded for each.
    """

    sequences: list[list[list[float]]]
    forecasts: list[float]

    def bodies(self, shape: str) -> list[str]:
        """JSON texts: `ours` as /infer takes them, `mlflow` as its scoring server does."""
        if shape == "mlflow":
            return [json.dumps({"inputs": [sequence]}) for sequence in self.sequences]
        return [json.dumps({"sequence": sequence}) for sequence in self.sequences]


def make(directory: Path, *, seed: int = 0, also: tuple[str, ...] = ()) -> Path:
    """The run directory, made unless it is there already."""
    import forecast
    from forecast.bundle import is_finished

    if not is_finished(directory):
        forecast.run(*KEYS, f"seed={seed}", *also, directory=directory)
    return directory


def questions(directory: Path) -> Questions:
    """The first windows that the run kept, with the forecasts it recorded."""
    from safetensors.numpy import load_file

    kept = load_file(directory / "golden.safetensors")
    # Each number as short as it can be and still be the same float32: 25.94, as a caller would write it.
    sequences = [
        [[float(str(number)) for number in row] for row in window] for window in kept["windows"][:_QUESTIONS]
    ]
    return Questions(sequences=sequences, forecasts=kept["forecast"][:_QUESTIONS, 0].tolist())
