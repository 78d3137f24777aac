"""`mlflow models serve` on the run directory, with its defaults: python -m benchmarks.serve.rivals_mlflow RUN PORT

The same file is the model that MLflow serves, a model from code, so nothing is pickled.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.serve.rivals import price


class Forecasts(mlflow.pyfunc.PythonModel):
    """Windows in, prices out."""

    def load_context(self, context: Any) -> None:
        """Load the run once a server process."""
        from forecast import bundle

        torch.set_num_threads(1)
        self.forecaster = bundle.load(context.artifacts["run"]).forecaster

    @torch.inference_mode()
    def predict(
        self,
        context: Any,  # noqa: ARG002  MLflow's
        model_input: NDArray[np.float32],
        params: dict[str, Any] | None = None,  # noqa: ARG002  MLflow's
    ) -> NDArray[np.float64]:
        """(B, L, C) raw rows -> (B, 1) prices."""
        windows = torch.from_numpy(np.asarray(model_input, np.float32))
        prices: NDArray[np.float64] = price(self.forecaster, windows).numpy()
        return prices


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="mlflow-model-", dir=os.environ.get("BENCHMARK_FOLDER")))
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=__file__,
        artifacts={"run": sys.argv[1]},
        pip_requirements=[],  # the environment that is here
    )
    command = [
        "-m",
        "mlflow",
        "models",
        "serve",
        "--env-manager",
        "local",
        "-h",
        "127.0.0.1",
        "-p",
        sys.argv[2],
    ]
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])  # the model's code imports from here
    os.execv(sys.executable, [sys.executable, *command, "-m", str(folder / "model")])
else:
    mlflow.models.set_model(Forecasts())
