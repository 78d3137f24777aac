"""`mlflow models serve` on the run directory, with its defaults."""

import os
import sys
import tempfile
from pathlib import Path

import mlflow

if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="mlflow-model-", dir=os.environ.get("BENCHMARK_FOLDER")))
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=str(Path(__file__).with_name("mlflow_model.py")),
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
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[3])  # the model's code imports from here
    os.execv(sys.executable, [sys.executable, *command, "-m", str(folder / "model")])
