"""The routes of training on a real server of two processes, which goes on answering meanwhile."""

import http.client
import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import warm
from commands import REPOSITORY, environment, free_port
from retraining import BARS, write_bars

LONG_S = 300  # more than anything here takes on a busy machine; nothing waits for it to pass

pytestmark = pytest.mark.slow


class Server:
    """`python serve.py` in a process of its own."""

    def __init__(self, folder, *words):
        self.folder = folder
        self.port = free_port()
        self.log = folder / f"server-{self.port}.log"
        with self.log.open("wb") as output:
            self.process = warm.Process(
                [sys.executable, str(REPOSITORY / "serve.py"), f"port={self.port}", *words],
                cwd=folder,
                env=environment(),
                stdout=output,
                stderr=output,
            )
        try:
            until(lambda: self.is_ready(), what=lambda: self.log.read_text())
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def is_ready(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.ask("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def ask(self, method, path, body=None):
        """Status and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG_S)
        try:
            headers = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            stated = json.loads(answer.read(), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
            return answer.status, stated
        finally:
            connection.close()

    def refused(self, method, path, body=None):
        """Status and detail of an error."""
        status, stated = self.ask(method, path, body)
        assert list(stated) == ["detail"]
        assert "\n" not in stated["detail"]
        return status, stated["detail"]

    def versions(self, count=12):
        """Of the models that answer just now, in whichever process."""
        return {self.ask("GET", "/config")[1]["metadata"]["model_version"] for _ in range(count)}

    def serves(self, beginning):
        """Wait until nothing else is served."""
        until(lambda: all(name.startswith(beginning) for name in self.versions()), what=lambda: beginning)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(LONG_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def until(look, *, what):
    deadline = time.monotonic() + LONG_S
    while not look():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


def window(count=20):
    return {"sequence": [[101.0 + at, 99.0 + at, 100.0 + at, 5e5] for at in range(count)]}


@pytest.fixture(scope="module")
def server(made):
    """It serves a plain run directory, and there is no champion."""
    write_bars(made.bars)
    for name in ("outputs", "jobs"):
        subprocess.run(["rm", "-rf", made.folder / name], check=True)
    started = Server(made.folder, f"bundle={made.run}", "workers=2", "champion_poll_s=0.1", "deadline_s=60")
    yield started
    assert started.stop() == 0, started.log.read_text()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/train/update", {"period": "banana"}, 400, "period=banana: must be max, ytd, or a number"),
        ("POST", "/train/update", {"period": ""}, 400, "must be max"),
        ("POST", "/train/update", {"period": "9" * 5000}, 400, "must be max"),
        ("POST", "/train/update", {"period": 30}, 422, "period"),
        ("POST", "/train/update", {"force_download": "yes"}, 422, "force_download"),
        ("POST", "/train/update", {"perod": "30d"}, 422, "perod"),
        ("POST", "/train/update", [], 422, "body"),
        ("POST", "/train?wait=perhaps", None, 422, "wait"),
        ("GET", "/train/20261122-140000-0123abcd", None, 404, "no training of that name"),
        ("DELETE", "/train/..%2f..%2frun", None, 404, ""),
        ("GET", "/train/%00%0a", None, 404, ""),
        ("POST", "/champion/rollback", None, 409, "nothing to return to"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_a_line(server, method, path, body, status, said):
    code, detail = server.refused(method, path, body)
    assert code == status
    assert said in detail
    assert len(detail) < 500


@pytest.mark.usefixtures("quick_proof")
def test_training_from_a_plain_run_to_a_champion_and_back(server, made, make_champion):
    status, stated = server.ask("POST", "/train")
    assert (status, stated["status"], stated["promoted"]) == (200, "success", False), stated
    assert stated["model_path"] == f"outputs/serve/training/{stated['job']}/run"
    assert f"forecast.champion export {stated['model_path']}" in stated["message"]
    assert stated["training_duration_seconds"] > 0
    run = made.folder / stated["model_path"]
    metrics = json.loads((run / "metrics.json").read_text())
    assert {name: stated["metrics"][name] for name in metrics} == metrics
    assert stated["metrics"]["final_train_loss"] == metrics["train_loss"]
    assert stated["metrics"]["final_val_loss"] == metrics["val_loss"]
    assert "Traceback" not in (run.parent / "log.txt").read_text()
    assert not made.link.exists()
    assert server.refused("POST", "/champion/rollback")[0] == 409

    made.promote(made.another_run("bad", "trainer.learning_rate=0.5", "trainer.max_epochs=1"))
    status, stated = server.ask("POST", "/train")
    assert (status, stated["promoted"]) == (200, True), stated
    assert stated["comparison"]["newcomer"] < stated["comparison"]["champion"]
    server.serves("2-")
    status, stated = server.ask("POST", "/champion/rollback/")
    assert (status, stated["model_version"][:2]) == (200, "1-"), stated
    server.serves("1-")

    make_champion()  # by hand, as a sweep would
    server.serves("3-")
    status, stated = server.ask("POST", "/champion/rollback/")
    assert status == 200, stated
    assert stated["model_version"].startswith("1-")
    assert stated["model_path"] == str(made.link.resolve().relative_to(made.folder.resolve()))
    server.serves("1-")

    write_bars(made.bars, BARS + 150)
    status, stated = server.ask("POST", "/train/update", {"force_download": True})
    assert status == 200, stated
    compared = stated["comparison"]
    assert stated["promoted"] == (compared["newcomer"] <= compared["champion"])
    assert (stated["status"], stated["metrics"]["val_rmse"] > 0) == ("success", True)
    assert stated["timestamp"].endswith("Z")
    server.serves("4-" if stated["promoted"] else "1-")


def test_a_job_can_be_watched_and_cancelled_and_the_server_goes_on_answering(server):
    served = server.versions()
    status, stated = server.ask("POST", "/train?wait=false")
    assert status == 202
    job = stated["job"]
    assert stated == {"job": job, "status_url": f"/train/{job}"}
    for path in ("/train", "/train/update", "/train?wait=false"):
        code, detail = server.refused("POST", path)
        assert code == 409
        assert job in detail
    for _ in range(4):  # of either process
        status, seen = server.ask("GET", stated["status_url"])
        assert (status, seen["state"], seen["job"]) == (200, "running", job)
    assert server.ask("POST", "/infer", window())[0] == 200
    status, seen = server.ask("DELETE", stated["status_url"])
    assert (status, seen["state"]) == (200, "cancelled"), seen
    assert server.ask("GET", stated["status_url"])[1]["state"] == "cancelled"
    assert server.refused("DELETE", stated["status_url"])[0] == 409
    assert server.versions() == served


def test_the_end_of_the_server_ends_the_job_and_tells_who_waits(made, tmp_path):
    server = Server(tmp_path, f"bundle={made.run}", f"state={tmp_path}")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.refused, "POST", "/train")
        until(lambda: list(tmp_path.glob("training/*/pid")), what=lambda: server.log.read_text())
        assert server.stop() == 0, server.log.read_text()
        status, detail = waiting.result()
    assert (status, "cancelled" in detail) == (500, True)
    state = json.loads(next(tmp_path.glob("training/*/state.json")).read_text())
    assert state["state"] == "cancelled"
    assert not (tmp_path / "outputs" / "champion").exists()
