"""Run directories with a manifest and little else, for tests that only move folders."""

from __future__ import annotations

import json
from pathlib import Path

from forecast import bundle
from forecast.bundle import manifest

_CONFIG = """\
objective: {{metric: val_rmse, mode: min}}
data: {{scope: single, features: {{_target_: forecast.data.features.NoProcessing}}}}
provenance: {{identity: {name}, data_fingerprint: f, choices: {{data: no_processing_single}}}}
hydra: {{run: {{dir: 'outputs/${{now:%Y}}'}}}}
"""


def made_up_run(directory: Path, *, ratio: float = 0.99, size: int = 10) -> Path:
    """A finished run directory.

    Args:
        directory: its name is the run's.
        ratio: RMSE / RMSE of naive, on both splits.
        size: bytes of its largest file.
    """
    texts = {
        "config.yaml": _CONFIG.format(name=directory.name),
        "scaler.json": json.dumps({"tickers": ["AAPL"], "scope": "single"}),
        "metrics.json": json.dumps({"val_rmse": 1.0, "val_theil_u": ratio, "test_theil_u": ratio}),
        "report.html": "x" * size,
    }
    for name in (*manifest.REQUIRED, "plots/moves.png"):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts.get(name, f"{name} of {directory.name}"), "utf-8")
    (directory / "run.log").write_text("done\n")
    bundle.finish(directory, version="1")
    return directory
