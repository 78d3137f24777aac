"""Small classes to build and a small project to start: the config package is tested without the others."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import os
import runpy
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest

REPOSITORY = Path(__file__).parents[2]

PARTS = """
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from annotated_types import Ge, Gt, Interval, Lt, MinLen

from forecast.errors import UserError

if TYPE_CHECKING:
    from nowhere import Invisible


class Shape(Protocol):
    def area(self) -> float: ...


class Source:
    def __init__(self, *, path: str, adjust: bool = True) -> None:
        self.path, self.adjust = path, adjust


class Scaler:
    def __init__(self, *, floor: float = 0.0) -> None:
        if floor < 0:
            raise UserError(f"data.scaler.floor={floor}: must be >= 0")
        self.floor = floor


class Data:
    def __init__(
        self,
        *,
        source: Source,
        tickers: Annotated[list[str], MinLen(1)] | None = None,
        seq_len: Annotated[int, Ge(1)] = 20,
        ratio: Annotated[float, Gt(0), Lt(1)] = 0.5,
        share: Annotated[float, Interval(ge=0, le=1)] = 0.5,
        embargo: Annotated[int, Ge(0)] | None = None,
        shuffle: bool = True,
        anchor: Literal["last", "none"] = "last",
        scaler: Scaler | None = None,
        weights: dict[str, float] | None = None,
        window: str | int = "year",
        columns: Sequence[str] = (),
        pair: tuple[int, int] = (1, 1),
        hidden: Invisible | None = None,
    ) -> None:
        self.__dict__.update({k: v for k, v in locals().items() if k != "self"})


class Model:
    def __init__(
        self,
        *,
        input_size: int,
        lookback: int,
        output_size: int,
        layer_config: list[str | dict[str, Any]],
        hidden_size: Annotated[int, Ge(1)] = 32,
    ) -> None:
        self.__dict__.update({k: v for k, v in locals().items() if k != "self"})


class Layer:
    def __init__(self, in_features: int, width: Annotated[int, Ge(1)], bias: bool = True) -> None:
        self.in_features, self.width, self.bias = in_features, width, bias


class Trainer:
    def __init__(
        self,
        *,
        metric: str,
        mode: Literal["min", "max"],
        seed: int,
        learning_rate: Annotated[float, Gt(0)] = 0.001,
        progress: Literal["auto", "on", "off"] = "auto",
    ) -> None:
        self.metric, self.mode, self.seed, self.learning_rate = metric, mode, seed, learning_rate


class Tracker:
    def __init__(self, *, uri: str, **extra: Any) -> None:
        self.uri, self.extra = uri, extra


class Faulty:
    def __init__(self, *, value: int = 0) -> None:
        raise ZeroDivisionError("faulty")


NOT_CALLABLE = 3
"""

CONF = {
    "run.yaml": """
defaults:
  - _self_
  - source: folder
  - data: plain
  - model: small
  - trainer: quick
  - tracker: none
  - experiment: null
  - override hydra/job_logging: none
  - override hydra/hydra_logging: none
seed: 0
objective: {metric: val_rmse, mode: min}
on_data_change: error
hydra:
  output_subdir: null
  run: {dir: "outputs/${now:%Y-%m-%d}/${now:%H-%M-%S-%f}"}
  sweep: {dir: "multirun/${now:%Y-%m-%d}/${now:%H-%M-%S-%f}", subdir: "${hydra.job.num}"}
  job: {chdir: false}
  callbacks: {sweep: {_target_: forecast.config.multirun.SweepCallback}}
  help: {template: "nothing"}
""",
    "source/folder.yaml": "_target_: parts.Source\npath: bars\nadjust: true\n",
    "source/unset.yaml": "_target_: parts.Source\npath: ???\n",
    "data/plain.yaml": """
_target_: parts.Data
tickers: [AAPL]
seq_len: 20
scaler: {_target_: parts.Scaler, floor: 0.0}
""",
    "model/small.yaml": """
_target_: parts.Model
_recursive_: false
layer_config: [LSTM, {_target_: parts.Layer, width: 4}]
hidden_size: 32
""",
    "model/large.yaml": "defaults: [small, _self_]\nhidden_size: 512\n",
    "trainer/quick.yaml": "_target_: parts.Trainer\nlearning_rate: 0.001\nprogress: auto\n",
    "tracker/none.yaml": "# @package _global_\ntracker: null\n",
    "tracker/store.yaml": "_target_: parts.Tracker\nuri: sqlite:///store.db\n",
    "experiment/wide.yaml": "# @package _global_\nmodel: {hidden_size: 128}\n",
}

# What a run does with the config package, and ways for a job to go wrong.
RUN = """
from forecast.cli import command


@command(session="session:Session")
def main(config):
    import os, signal
    from forecast.config import check, origin, run_directory, snapshot
    from forecast.errors import UserError

    check(config)
    directory = run_directory(config)
    path = config.source.path
    if path == "unknown":
        raise UserError("source.path=unknown: no such folder")
    if path == "broken":
        raise ZeroDivisionError("our fault")
    if path == "interrupted":
        os.kill(os.getpid(), signal.SIGINT)
    if path == "halfway":
        (directory / "model").write_text("half")
        raise UserError("source.path=halfway: gives up")
    text = snapshot(config, provenance=origin(config))
    (directory / "config.yaml").write_text(text)
    print(directory)
    return 1.0


if __name__ == "__main__":
    main()
"""


SESSION = """
class Session:
    def begin(self, context):
        return run_job

    def end(self, error):
        if error is not None:
            raise error
        return 0


def run_job(job, config, task):
    return task(config)
"""


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The module `parts`, importable."""
    (tmp_path / "parts.py").write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "parts", raising=False)
    importlib.invalidate_caches()
    yield tmp_path
    sys.modules.pop("parts", None)


@pytest.fixture(scope="session")
def make_project() -> Callable[[Path], Path]:
    """Write run.py, conf/ and parts.py into a folder."""

    def make_project(folder: Path) -> Path:
        for name, text in {**{f"conf/{name}": text for name, text in CONF.items()}, "run.py": RUN}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (folder / "parts.py").write_text(PARTS)
        (folder / "session.py").write_text(SESSION)
        return folder

    return make_project


@pytest.fixture
def project(tmp_path: Path, make_project: Callable[[Path], Path]) -> Path:
    """A folder with run.py, conf/ and parts.py."""
    return make_project(tmp_path)


class Done(NamedTuple):
    """What became of a start."""

    returncode: int
    stdout: str
    stderr: str


Start = Callable[..., Done]
# Modules of a project; another project has others of the same name.
PROJECTS_OWN = ("parts", "mine", "session")


@pytest.fixture(scope="session")
def start_in() -> Start:
    """Start the run.py of a folder, there: inside this process, which is quick, or as one of its own."""

    def start_in(folder: Path, *arguments: str, apart: bool = False) -> Done:
        return (_apart if apart else _inside)(folder, *arguments)

    return start_in


def _apart(folder: Path, *arguments: str) -> Done:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("HYDRA_FULL_ERROR", None)
    command = [sys.executable, "run.py", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def _inside(folder: Path, *arguments: str) -> Done:
    from hydra.core.hydra_config import HydraConfig

    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(folder))
        stack.enter_context(patch.object(sys, "argv", ["run.py", *arguments]))
        stack.enter_context(patch.object(sys, "path", [str(folder), *sys.path]))
        stack.enter_context(patch.object(sys, "dont_write_bytecode", True))
        stack.enter_context(patch.dict(sys.modules))
        stack.enter_context(patch.object(HydraConfig.instance(), "cfg", None))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        for name in PROJECTS_OWN:
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        try:
            runpy.run_path("run.py", run_name="__main__")
        except SystemExit as leaving:
            return Done(int(leaving.code or 0), out.getvalue(), err.getvalue())
        except Exception:  # noqa: BLE001 - as a traceback, whatever it is
            return Done(1, out.getvalue(), err.getvalue() + traceback.format_exc())
    raise AssertionError("run.py did not exit")


@pytest.fixture
def start(project: Path, start_in: Start) -> Start:
    """Start the project's run.py."""
    return functools.partial(start_in, project)
