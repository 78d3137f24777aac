"""A run of a forecaster without epochs loads nothing that trains networks."""

from __future__ import annotations

import json
import subprocess
import sys

from commands import REPOSITORY, environment

_PROBE = """
import sys, time
import forecast.pipeline, pandas, torch, scipy.stats  # what every run needs
began = time.monotonic()
import forecast
done = forecast.run(
    "target=volatility", "model=har", "tracker=none", "baselines.only=[ewma]", directory=sys.argv[1]
)
names = ("pytorch_lightning", "lightning_fabric", "forecast.model.training", "sklearn.ensemble", "mlflow", "ray")
import json
print(json.dumps({"loaded": [name for name in names if name in sys.modules], "seconds": time.monotonic() - began}))
"""


def test_a_har_run_loads_no_training(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(REPOSITORY),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["loaded"] == []
    assert (tmp_path / "run" / "manifest.json").is_file()
