"""The run directory as an MLflow model, for `mlflow models serve`; a model from code, so nothing is pickled."""

from typing import Any

import mlflow
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.serve.rivals.eager import price


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


mlflow.models.set_model(Forecasts())
