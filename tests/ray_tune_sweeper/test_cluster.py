"""Where Ray lives: an address is asked before it is relied on, and a lost machine loses nothing that was finished."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import warm

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


NODES = """
import sys
from ray.cluster_utils import Cluster

small = {"num_cpus": 1, "object_store_memory": 80_000_000}
cluster = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
print("node", cluster.address, cluster.head_node.node_id, flush=True)
for line in sys.stdin:
    if line == "add\\n":
        second = cluster.add_node(**small)
        print("node", second.node_id, flush=True)
    else:
        cluster.remove_node(second, allow_graceful=False)
        print("node", flush=True)
cluster.shutdown()
"""


class Nodes:
    """A cluster of one Ray node of one core, to which a second can be added.

    A process of its own starts them: whoever starts nodes keeps clients of theirs until it ends, and from Python 3.13
    on a process that `multiprocessing` forks from it drops these clients first of all, and crashes.
    """

    def __init__(self) -> None:
        self.process = warm.Process(
            [sys.executable, "-c", NODES],
            env=os.environ | {"PYTHONPATH": str(ROOT)},  # for the nodes' workers
            stdin=warm.PIPE, stdout=warm.PIPE, text=True,
        )  # fmt: skip
        self.address, self.head = self._answer()

    def _answer(self) -> list[str]:
        assert self.process.stdout is not None
        line = next(line for line in self.process.stdout if line.startswith("node"))
        return line.split()[1:]

    def _ask(self, word: str) -> list[str]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return self._answer()

    def add(self) -> str:
        """The id of a second node."""
        (second,) = self._ask("add")
        return second

    def lose(self) -> None:
        """Kill the second node."""
        self._ask("lose")

    def end(self) -> None:
        """Stop all nodes."""
        self.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    started = Nodes()
    yield started
    started.end()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["sweeper", "launcher"])
def test_two_nodes_share_the_work_and_one_may_be_lost(tmp_path, way, nodes, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the nodes' workers and for the app
    (tmp_path / "app.py").write_text(APP)
    out = tmp_path / "out"
    out.mkdir()
    address, head, second = nodes.address, nodes.head, nodes.add()
    with contextlib.ExitStack() as at_the_end:
        at_the_end.callback(nodes.lose)
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
                if finished and any(second in where for _, where in started):
                    held.set()
            before = {folder.name: (folder / "done.json").stat().st_mtime_ns for folder in finished}
            at_the_end.close()  # now: the second node is lost
            said, _ = sweep.communicate(timeout=200)
        finally:
            sweep.kill()
    assert sweep.returncode == 0, said
    done = {path.parent.name: json.loads(path.read_text()) for path in out.glob("*/done.json")}
    assert {name: record["value"] for name, record in done.items()} == {str(n): n + 1 for n in range(6)}
    assert {record["node"] for record in done.values()} == {head}
    ran = {path.parent.name: path.read_text().split() for path in out.glob("*/nodes")}
    assert [where for where in ran.values() if where == [second, head]], f"in flight, then run again: {ran}"
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
