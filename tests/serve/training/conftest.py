"""A run that is made once, and put right for each test."""

import shutil

import pytest
from retraining import World, make_run, write_bars

from forecast.champion import promotion


@pytest.fixture(scope="package")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_bars(folder / "bars")
    return World(folder, make_run(folder / "run", folder / "bars"))


@pytest.fixture
def world(made):
    """The run on its own bars, and nothing else."""
    write_bars(made.bars)
    for name in ("outputs", "jobs"):
        shutil.rmtree(made.folder / name, ignore_errors=True)
    return made


@pytest.fixture
def quick_proof(monkeypatch):
    """The proof as it is, but in this process, and no plots; both are tested with the champion."""
    from forecast.bundle import load, verify_golden

    monkeypatch.setattr(
        promotion, "replay_check", lambda directory, named: verify_golden(directory, load(directory))
    )
    monkeypatch.setattr(promotion, "draw_plots", lambda _: [])


@pytest.fixture
def make_champion(made, quick_proof):  # noqa: ARG001
    """Promote another run than the one that all begins with."""
    return lambda: made.promote(made.another_run("other", "seed=1"))
