"""Where Ray lives: an address is asked before it is relied on, and a lost machine loses nothing that was finished."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hydra_plugins.ray_tune_sweeper import SweepError, _cluster, connect

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("address", "stated"),
    [
        ("127.0.0.1:1", "cluster.address=127.0.0.1:1: does not answer"),
        ("nowhere", "cluster.address=nowhere: must be host:port"),
        ("host:99999999", "cluster.address=host:99999999: does not answer"),
        ("ray://127.0.0.1:10001", "cluster.address=ray://127.0.0.1:10001: Ray Client is not supported"),
    ],
)
def test_an_address_that_does_not_answer_is_refused_in_one_line(address, stated):
    with pytest.raises(SweepError) as refused:
        _cluster.check_address(address, "cluster.address")
    assert str(refused.value).startswith(stated)
    assert "\n" not in str(refused.value)


def test_a_port_that_listens_and_says_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(_cluster, "PATIENCE_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(SweepError, match=f"^address={address}: no Ray answers there within 1 s$"):
            _cluster.check_address(address, "address")


def test_patience_is_shorter_than_half_a_minute():
    assert _cluster.PATIENCE_S < 28


@pytest.mark.parametrize("cpus", ["many", -1, float("nan"), True])
def test_resources_are_numbers(cpus):
    with pytest.raises(SweepError, match=rf"^cluster\.cpus_per_job={cpus}: must be a number >= 0$"):
        connect({"address": "local"}, cpus=cpus, names={"cpus": "cluster.cpus_per_job"})


def test_what_no_machine_has_is_refused(ray_cluster):
    assert ray_cluster
    connect(cpus=2)
    with pytest.raises(SweepError, match=r"^cpus=3: no node of the cluster has so many; the most is 2$"):
        connect(cpus=3)
    assert _cluster.slots(0.5, 0) == 4


APP = """
import json, os, time
from pathlib import Path
from typing import Any
import hydra
from hydra.core.hydra_config import HydraConfig


@hydra.main(config_path=None, version_base="1.3")
def main(config):
    import ray

    folder = Path(HydraConfig.get().runtime.output_dir)
    here = ray.get_runtime_context().get_node_id()
    with open(folder / "nodes", "a") as file:
        file.write(here + "\\n")
    if here == (folder.parent / "second").read_text():
        (folder.parent / "both").touch()
        while True:
            time.sleep(0.02)  # until its machine is lost
    while not (folder.parent / "both").exists():
        time.sleep(0.02)  # else one machine might have done all before the other is ready
    (folder / "done.json").write_text(json.dumps({"node": here, "value": config.x}))
    return float(config.x)


main()
"""


SMALL = {"num_cpus": 1, "object_store_memory": 80_000_000}


@pytest.fixture(scope="module")
def one_node() -> Iterator[Any]:
    """A cluster of one node of one core, to which others can be added."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # for the nodes' workers
        cluster = Cluster(initialize_head=True, head_node_args={**SMALL, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


@contextlib.contextmanager
def two_nodes(cluster: Any) -> Iterator[tuple[str, list[str], Callable[[], None]]]:
    """Two Ray nodes of one core each: the address, their ids, and a way to lose the second."""
    second = cluster.add_node(**SMALL)

    def lose() -> None:
        if second in cluster.worker_nodes:
            cluster.remove_node(second, allow_graceful=False)

    try:
        yield cluster.address, [node.node_id for node in (cluster.head_node, second)], lose
    finally:
        lose()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["sweeper", "launcher"])
def test_two_nodes_share_the_work_and_one_may_be_lost(tmp_path, way, one_node, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the nodes' workers and for the app
    (tmp_path / "app.py").write_text(APP)
    out = tmp_path / "out"
    out.mkdir()
    with two_nodes(one_node) as (address, (head, second), lose):
        (out / "second").write_text(second)  # what runs there is in flight when it is lost
        keys = [
            f"+hydra.sweeper.init.address={address}",
            "hydra/sweeper=ray_tune",
            "hydra.sweeper.search=grid",
        ]
        if way == "launcher":
            target = "hydra_plugins.ray_cluster_launcher.ray_cluster_launcher.RayClusterLauncher"
            keys = ["hydra/launcher=ray", f"hydra.launcher._target_={target}"]
            keys += [
                f"hydra.launcher.ray.init.address={address}",
                "+hydra.launcher.ray.init.object_store_memory=null",
            ]
            keys += ["+hydra.launcher.ray.remote.num_cpus=1", "+hydra.launcher.ray.remote.max_retries=3"]
        command = [sys.executable, "app.py", "-m", *keys, f"hydra.sweep.dir={out}", "+x=1,2,3,4,5,6"]
        sweep = subprocess.Popen(
            command, cwd=tmp_path,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            held, finished = threading.Event(), list[Path]()
            while not held.wait(0.05) and sweep.poll() is None:
                started = [(path.parent, path.read_text().split()) for path in out.glob("*/nodes")]
                finished = [folder for folder, _ in started if (folder / "done.json").exists()]
                if finished and any(second in nodes for _, nodes in started):
                    held.set()
            before = {folder.name: (folder / "done.json").stat().st_mtime_ns for folder in finished}
            lose()
            said, _ = sweep.communicate(timeout=200)
        finally:
            sweep.kill()
    assert sweep.returncode == 0, said
    done = {path.parent.name: json.loads(path.read_text()) for path in out.glob("*/done.json")}
    assert {name: record["value"] for name, record in done.items()} == {str(n): n + 1 for n in range(6)}
    assert {record["node"] for record in done.values()} == {head}
    ran = {path.parent.name: path.read_text().split() for path in out.glob("*/nodes")}
    assert [nodes for nodes in ran.values() if nodes == [second, head]], f"in flight, then run again: {ran}"
    for name, when in before.items():
        assert (out / name / "done.json").stat().st_mtime_ns == when, "finished jobs stay as they were"


def test_the_probe_takes_a_cluster_that_answers(ray_cluster):
    _cluster.check_address(ray_cluster, "address")


def test_an_address_is_not_taken_for_another_that_was_joined_before(ray_cluster: str) -> None:
    assert ray_cluster
    with pytest.raises(SweepError, match=r"here=127\.0\.0\.1:1: does not answer"):
        connect({"address": "127.0.0.1:1"}, names={"address": "here"})
    connect({"address": ray_cluster})
    connect({"address": "local"})
