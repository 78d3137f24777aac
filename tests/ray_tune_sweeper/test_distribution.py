"""The sweeper as a distribution of its own, in an environment with nothing of this project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "hydra_plugins" / "ray_tune_sweeper"
APP = """
import hydra
from hydra.core.hydra_config import HydraConfig
from hydra_plugins.ray_tune_sweeper import report
@hydra.main(config_path=None, version_base="1.3")
def main(config):
    report({"loss": config.x**2})
    open(f"{HydraConfig.get().runtime.output_dir}/{config.x}", "w").write(report.__code__.co_filename)
main()
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the built distribution, and the packages it depends on."""
    folder = tmp_path_factory.mktemp("apart")
    source = shutil.copytree(SOURCE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    venv.create(folder / "env", with_pip=False)
    (packages,) = (folder / "env" / "lib").glob("python3*/site-packages")
    # Of this environment only the folders that hold packages, not those that a .pth file of theirs names.
    held = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "dependencies.pth").write_text("\n".join(held))
    install = [
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--target",
        packages,
        source,
    ]
    subprocess.run([sys.executable, "-m", "pip", *map(str, install)], check=True, cwd=folder)
    return folder / "env" / "bin" / "python"


def test_it_is_built_with_what_it_needs(python):
    code = "from importlib.metadata import requires; print(requires('hydra-ray-tune-sweeper'))"
    needed = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "ray[tune]" in needed
    assert "hydra-core" in needed
    assert "forecast" not in needed
    for path in SOURCE.glob("*.py"):
        assert "import forecast" not in path.read_text()
        assert "from forecast" not in path.read_text()


@pytest.mark.slow
def test_an_app_of_eight_lines_sweeps(python, tmp_path):
    (tmp_path / "app.py").write_text(APP.lstrip())
    assert len(APP.strip().splitlines()) == 8
    keys = [
        "hydra/sweeper=ray_tune",
        "hydra.sweeper.metric=loss",
        "hydra.sweeper.search=grid",
        "hydra.sweeper.max_concurrent=1",
    ]
    command = [python, "app.py", "-m", *keys, "hydra.sweep.dir=out", "+x=1,2,3"]
    # A Ray of its own, also where somebody runs one on this machine.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["RAY_ADDRESS"] = "local"
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for number, x in enumerate((1, 2, 3)):
        loaded = (tmp_path / "out" / str(number) / str(x)).read_text()
        assert Path(loaded).is_relative_to(python.parents[1]), loaded
