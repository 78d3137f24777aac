"""A real MLflow store with real finished runs, made once and copied for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from commands import SMALL, run

from forecast.champion import ChampionConfig, promotion
from forecast.champion.__main__ import main
from forecast.track.connection import connect

SEEDS = (0, 1, 2)


class World(NamedTuple):
    """What the runs left."""

    database: Path
    runs: dict[int, Path]  # seed and run directory


class Said(NamedTuple):
    """What became of a command."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def world(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    shutil.copy(empty_store, folder)
    for seed in SEEDS:
        done = run(folder, *SMALL, "baselines=none", f"seed={seed}", f"hydra.run.dir=runs/{seed}")
        assert done.code == 0, done.err
    return World(folder / "mlflow.db", {seed: folder / "runs" / str(seed) for seed in SEEDS})


@pytest.fixture
def uri(world: World, tmp_path: Path) -> str:
    """The address of a copy of the store; its runs and their files are the originals."""
    shutil.copyfile(world.database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def place(tmp_path: Path) -> ChampionConfig:
    return ChampionConfig(directory=str(tmp_path / "outputs" / "champion"))


@pytest.fixture
def quick_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof as it is, but in this process; that it has one of its own is tested once."""
    from forecast.bundle import load, verify_golden

    monkeypatch.setattr(
        promotion, "replay_check", lambda directory, named: verify_golden(directory, load(directory))
    )


@pytest.fixture
def command(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Said]:
    """`python -m forecast.champion ...` in tmp_path, within this process, on the copied store."""
    monkeypatch.chdir(tmp_path)

    def do(*words: str) -> Said:
        capsys.readouterr()
        code = main([*words, f"tracker.uri={uri}"])
        return Said(code, *capsys.readouterr())

    return do


@pytest.fixture
def spoiled(world: World) -> Iterator[Callable[[int], Path]]:
    """The directory of a run, to be spoiled; it is put back at the end."""
    saved: list[tuple[Path, Path]] = []

    def take(seed: int) -> Path:
        directory = world.runs[seed]
        copy = directory.with_name(f"{seed}.saved")
        shutil.copytree(directory, copy)
        saved.append((copy, directory))
        return directory

    yield take
    for copy, directory in saved:
        shutil.rmtree(directory, ignore_errors=True)
        os.replace(copy, directory)


@pytest.fixture
def client(uri: str) -> Any:
    return connect(uri, patience_s=60.0)


def values(world: World, metric: str = "val_rmse") -> dict[int, float]:
    """A metric of each run, by seed."""
    import json

    return {
        seed: json.loads((directory / "metrics.json").read_text())[metric]
        for seed, directory in world.runs.items()
    }


@pytest.fixture
def ordered(world: World) -> list[int]:
    """Seeds, the best on validation first."""
    found = values(world)
    assert len(set(found.values())) == len(found), "runs that are the same"
    return sorted(found, key=lambda seed: found[seed])
