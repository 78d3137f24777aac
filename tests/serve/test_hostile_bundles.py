"""A run directory that somebody put together: nothing in it is run, and it is refused in a line."""

import json
import os
import pickle
import shutil
import socket

import pytest
from forgery import rewrite_manifest, set_config
from safetensors.numpy import load_file, save_file
from service import free_port, refused

from forecast.errors import UserError
from forecast.serve.model_store import load_model


@pytest.fixture
def run(bundle, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "run")
    (copy / "plots").mkdir()
    (copy / "plots" / "errors.png").write_bytes(b"a plot")
    rewrite_manifest(copy, also=["plots/errors.png"])
    return copy


def refusal(run):
    with pytest.raises(UserError) as caught:
        load_model(run)
    said = str(caught.value)
    assert len(said.splitlines()) == 1
    assert len(said) < 1000
    return said


def command(tmp_path):
    return f"touch {tmp_path / 'done'}"


EVIL = [
    "os.system",
    "forecast.data.market.os.system",
    "forecast.data.sources.yfinance.os.system",
    "forecast.model.inference.UserError",
    "forecast.errors.UserError",
    "forecast.champion.promote",
    "forecast.dataset.Evil",
    "builtins.eval",
    "subprocess.Popen",
    "torch.load",
    "torch.hub.load",
    "hydra.utils.call",
    "torch.nn.functional.torch.load",
    "",
    5,
    None,
    ["os.system"],
]


@pytest.mark.parametrize("key", ["model", "data.features", "model.norm", "data.features.inner"])
@pytest.mark.parametrize("target", EVIL, ids=str)
def test_target_that_is_not_allowed(run, tmp_path, key, target):
    set_config(run, key, {"_target_": target, "command": command(tmp_path), "_args_": [command(tmp_path)]})
    rewrite_manifest(run)
    assert f"{key}._target_={target}" in refusal(run)
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("key", ["source", "trainer", "tracker", "evaluation", "anything.at.all"])
def test_target_elsewhere_is_not_allowed_either(run, key):
    """Nothing is built of it to serve, but a retraining would."""
    set_config(run, f"{key}._target_", "os.system")
    rewrite_manifest(run)
    assert "_target_=os.system: is not among the targets" in refusal(run)


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "a ${seed} b", "${oc.decode:${oc.env:HOME}}"])
@pytest.mark.parametrize("key", ["model._target_", "data.tickers", "description"])
def test_nothing_is_looked_up(run, key, text):
    """Whoever asks for GET /config would read it."""
    set_config(run, key, text)
    rewrite_manifest(run)
    said = refusal(run)
    assert f"{key}={text}" in said
    assert os.environ["HOME"] not in said.replace(str(run), "")


def test_no_objects_in_yaml(run, tmp_path):
    with (run / "config.yaml").open("a") as config:
        config.write(f"evil: !!python/object/apply:os.system ['{command(tmp_path)}']\n")
    rewrite_manifest(run)
    assert "ConstructorError" in refusal(run)
    assert not (tmp_path / "done").exists()


class Evil:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("name", ["model.safetensors", "golden.safetensors", "scaler.json", "metrics.json"])
def test_pickle(run, tmp_path, name):
    (run / name).write_bytes(pickle.dumps(Evil(command(tmp_path))))
    assert "was altered" in refusal(run)
    rewrite_manifest(run)
    assert str(run) in refusal(run)
    assert not (tmp_path / "done").exists()


def test_pickle_beside_it(run, tmp_path):
    """What no reader knows of is no reader's."""
    (run / "model.pkl").write_bytes(pickle.dumps(Evil(command(tmp_path))))
    rewrite_manifest(run, also=["model.pkl"])
    assert load_model(run).predictor.tickers == ["AAPL"]
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("name", ["config.yaml", "model.safetensors", "plots/errors.png"])
def test_symlink(run, tmp_path, name):
    outside = tmp_path / "outside"
    shutil.move(run / name, outside)
    (run / name).symlink_to(outside)
    assert refusal(run).endswith(f"{run / name}: leads out of the run directory")


@pytest.mark.parametrize("name", ["../outside", "plots/../../outside", "/etc/hostname"])
def test_traversal(run, tmp_path, name):
    (tmp_path / "outside").write_text("secret")
    rewrite_manifest(run, also=[name])
    assert refusal(run).endswith(f"{run / name}: leads out of the run directory")


MANIFESTS = {
    "empty": "",
    "array": "[]",
    "null": "null",
    "no-files": '{"format": 2}',
    "files-text": '{"format": 2, "files": "config.yaml"}',
    "other-format": '{"format": 99, "files": {}}',
    "deep": "[" * 100_000,
    "no-utf8": "\udcff",
}


@pytest.mark.parametrize("text", MANIFESTS.values(), ids=MANIFESTS.keys())
def test_damaged_manifest(run, text):
    (run / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert str(run) in refusal(run)


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml", "forecasts.parquet", "intervals.json"])
def test_missing_altered_or_cut_short(run, name):
    whole = (run / name).read_bytes()
    (run / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert refusal(run) == f"{run / name}: was altered since the run wrote it"
    (run / name).unlink()
    assert refusal(run) == f"{run / name}: is missing"
    (run / name).write_bytes(whole[: len(whole) // 2])
    assert refusal(run) == f"{run / name}: was altered since the run wrote it"


@pytest.mark.parametrize("value", [float("nan"), 1.5])
def test_other_weights(run, value):
    """Its manifest fits them, but they do not give the forecasts that the run recorded."""
    weights = load_file(run / "model.safetensors")
    last = list(weights)[-1]
    weights[last] = weights[last] * value
    save_file(weights, run / "model.safetensors")
    rewrite_manifest(run)
    assert str(run) in refusal(run)


@pytest.mark.parametrize(
    ("key", "value"), [("hidden_size", 10**9), ("num_layers", "many"), ("layer_config", None)]
)
def test_network_that_cannot_be(run, key, value):
    set_config(run, f"model.{key}", value)
    rewrite_manifest(run)
    assert str(run) in refusal(run)


def only_line(said):
    (line,) = said.splitlines()
    return line


def test_server_refuses_to_start(run, tmp_path):
    set_config(run, "model._target_", "os.system")
    rewrite_manifest(run)
    code, said = refused(tmp_path / "there", f"bundle={run}", f"port={free_port()}")
    assert code == 2
    assert f"{run}: model._target_=os.system: is not among the targets" in only_line(said)
    assert "Traceback" not in said


@pytest.mark.parametrize("name", ["intervals.json", "reference.json", "metadata.json"])
def test_a_file_that_the_run_did_not_write(run, name):
    """It would widen intervals, silence warnings, or make a champion of it."""
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["files"].pop(name, None)
    (run / "manifest.json").write_text(json.dumps(manifest))
    (run / name).write_text("{}")
    assert "is not in the manifest" in refusal(run)


@pytest.mark.parametrize(("threads", "most"), [(10**9, os.cpu_count()), (-3, 1), (None, 1)])
def test_threads_of_a_bundle_are_bounded(run, threads, most):
    set_config(run, "trainer.threads", threads)
    rewrite_manifest(run)
    assert load_model(run).threads == most


def test_port_in_use(bundle, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, said = refused(tmp_path / "there", f"bundle={bundle}", f"port={port}")
    assert code == 2
    assert only_line(said).startswith(f"port={port}: cannot be listened on (Address already in use)")


@pytest.mark.parametrize("state", ["a-file", "a-file/below", "/proc/nowhere"])
def test_unwritable_outputs(bundle, tmp_path, state):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a-file").write_text("")
    code, said = refused(tmp_path / "there", f"bundle={bundle}", f"port={free_port()}", f"state={state}")
    assert code == 2
    assert state in only_line(said)


def test_open_to_others_without_a_key(bundle, tmp_path):
    code, said = refused(tmp_path / "there", f"bundle={bundle}", f"port={free_port()}", "host=0.0.0.0")
    assert code == 2
    assert "api_key" in only_line(said)


def test_nothing_there(tmp_path):
    code, said = refused(tmp_path / "there", "bundle=nowhere", f"port={free_port()}")
    assert code == 2
    assert only_line(said) == "bundle=nowhere: no run directory there"
