"""The same answers from Ray Serve, by the application that the documentation names."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import environment

from forecast.bundle import golden

ROOT = Path(__file__).parents[2]
# On busy cores a proxy takes longer to start than the seconds after which Serve kills it.
PATIENT = {"RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120", "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "120"}
# In a process of its own: Ray leaves threads, signal handlers and warnings behind in the one that starts it.
ASKING = """
import json, socket, sys, urllib.error, urllib.request

import ray
from ray import serve

sys.path.insert(0, "docs/deploy")
import ray_serve

with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
serve.start(http_options={"host": "127.0.0.1", "port": port})
serve.run(ray_serve.app({"directory": sys.argv[1], "replicas": "1"}))
answers = []
for body in json.load(sys.stdin):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/infer", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            answers.append([answer.status, json.load(answer)])
    except urllib.error.HTTPError as error:
        answers.append([error.code, json.load(error)])
print("ANSWERS", json.dumps(answers))
serve.shutdown()
ray.shutdown()
"""


@pytest.mark.slow
def test_it_answers_as_the_run_recorded(bundle):
    from safetensors.numpy import load_file

    kept = load_file(bundle / golden.FILE)
    windows = [[[float(str(number)) for number in row] for row in window] for window in kept["windows"][:5]]
    bodies = [{"sequence": window} for window in windows] + [
        {"sequence": [[1.0, 2.0, 3.0]]},
        {"sequence": "x"},
    ]
    done = subprocess.run(
        [sys.executable, "-c", ASKING, str(bundle)],
        input=json.dumps(bodies), cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
        env=environment(ROOT) | {"RAY_USAGE_STATS_ENABLED": "0"} | PATIENT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.partition("ANSWERS ")[2].splitlines()[0])
    assert [status for status, _ in said] == [200] * 5 + [400, 422]
    predictions = [answer["prediction"] for _, answer in said[:5]]
    assert predictions == pytest.approx(kept["forecast"][:5, 0].tolist(), rel=1e-6)
    assert all(answer["lower"] < answer["prediction"] < answer["upper"] for _, answer in said[:5])
    assert "expected 4" in said[5][1]["detail"]
