"""Against a real MLflow server: recording through it, and looking at the default store with it."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forecast.track import MLflowTracker
from forecast.track.connection import connect
from forecast.track.delivery import Record


@pytest.mark.slow
def test_recorded_through_a_server_and_seen_there(
    store: str,
    make_directory: Callable[[str], Path],
    free_port: int,
    serve: Callable[[str, int], subprocess.Popen[bytes]],
    runs: Callable[..., list[Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # One run straight into the database, as by default, from its folder; then the server is started over it.
    monkeypatch.chdir(tmp_path)
    direct = MLflowTracker(uri="sqlite:///mlflow.db", experiment_name="direct", patience_s=60.0)
    direct.start(directory=make_directory("direct"), name="direct", params={"seed": 0}, tags={})
    direct.finish(status="FINISHED", metrics={"val_rmse": 1.0})
    monkeypatch.chdir("/")

    address = f"http://127.0.0.1:{free_port}"
    serve(store, free_port)
    through = MLflowTracker(uri=address, experiment_name="through", patience_s=60.0)
    directory = make_directory("through")
    through.start(
        directory=directory, name="through", params={"model": {"hidden_size": 64}}, tags={"git": "a1b2"}
    )
    through.log_epoch(0, {"val_rmse": 2.0})
    through.finish(status="FINISHED", metrics={"val_rmse": 1.5})
    assert Record.load(directory).state == "sent"

    (run,) = runs(address, "through")
    assert run.info.status == "FINISHED"
    assert run.data.params == {"model.hidden_size": "64"}
    assert run.data.metrics == {"val_rmse": 1.5}
    assert run.data.tags["git"] == "a1b2"
    client = connect(address, patience_s=60.0)
    assert len(client.get_metric_history(run.info.run_id, "val_rmse")) == 2
    # The page of a run asks these addresses, whichever way the run came into the store.
    for recorded in (run, *runs(address, "direct")):
        query = f"run_id={recorded.info.run_id}"
        with urllib.request.urlopen(f"{address}/api/2.0/mlflow/artifacts/list?{query}") as answer:
            listed = [file["path"] for file in json.load(answer)["files"]]
        assert sorted(listed) == ["config.yaml", "metrics.json", "plots"]
        with urllib.request.urlopen(f"{address}/get-artifact?{query}&path=config.yaml") as answer:
            assert answer.read() == b"seed: 0\n"
    assert "View run" not in capfd.readouterr().out
