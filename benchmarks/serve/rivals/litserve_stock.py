"""LitServe as its README has it: a LitAPI of four methods, defaults for everything else."""

import signal
import sys
from pathlib import Path
from typing import Any

import litserve
import numpy as np
import torch

from benchmarks.serve.rivals.eager import price
from forecast import bundle


class Forecasts(litserve.LitAPI):
    """One window, one forward, in LitServe's worker process."""

    def setup(self, device: str) -> None:  # noqa: ARG002  LitServe's
        """Load the run once a worker."""
        torch.set_num_threads(1)
        self.forecaster = bundle.load(Path(sys.argv[1])).forecaster

    def decode_request(self, request: dict[str, Any]) -> torch.Tensor:
        """(1, L, C) raw rows."""
        return torch.from_numpy(np.asarray(request["sequence"], np.float32)[None])

    @torch.inference_mode()
    def predict(self, window: torch.Tensor) -> float:
        """The price that comes next."""
        return float(price(self.forecaster, window).item())

    def encode_response(self, told: float) -> dict[str, float]:
        """As our answers name it."""
        return {"prediction": told}


if __name__ == "__main__":
    # LitServe leaves its workers behind when it is told to end in any other way.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = litserve.LitServer(Forecasts(api_path="/infer"), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning")
