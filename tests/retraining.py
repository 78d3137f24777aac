"""A real run on bars from files; its files can be given more bars, and it can become champion."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from composed import compose
from markets import random_bars

from forecast import pipeline
from forecast.champion import ChampionConfig, promote
from forecast.config import check
from forecast.serve.retraining import train
from forecast.serve.training_jobs import JobState

BARS = 500
SMALL = (
    "trainer=smoke",
    "tracker=none",
    "baselines=none",
    "model.hidden_size=4",
    "data.health.sessions=keep",
    "objective.metric=val_rmse",
    "objective.mode=min",
)


def write_bars(folder: Path, count: int = BARS) -> None:
    """The first so many bars of a random walk that never changes."""
    folder.mkdir(parents=True, exist_ok=True)
    random_bars(BARS + 200, seed=3).iloc[:count].to_csv(folder / "AAA.csv")


@dataclass
class World:
    """A folder with bars, runs, jobs and a champion.

    Args:
        folder: of all of it.
        run: finished, on `BARS` bars.
    """

    folder: Path
    run: Path

    @property
    def link(self) -> Path:
        return self.folder / "outputs" / "champion"

    @property
    def bars(self) -> Path:
        return self.folder / "bars"

    def another_run(self, name: str, *overrides: str) -> Path:
        return make_run(self.folder / name, self.bars, *overrides)

    def promote(self, run: Path | None = None) -> Path:
        return promote(run or self.run, champion=ChampionConfig(directory=str(self.link))).folder

    def job(self, kind: str = "train", *, bundle: Path | None = None, **asked) -> JobState:
        """As the server would ask for it now."""
        champion = str(self.link.resolve()) if self.link.exists() else None
        bundle = (bundle or self.run).resolve()
        return JobState(job="1", kind=kind, server="test", bundle=str(bundle), champion=champion, **asked)

    def train(
        self, kind: str = "train", *, allow: tuple[str, ...] = (), job: JobState | None = None, **asked
    ) -> JobState:
        """A job in this process."""
        folder = self.folder / "jobs" / "1"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        state = job or self.job(kind, **asked)
        train(state, folder, champion=self.link, allow=list(allow))
        state.save(folder)
        return JobState.load(folder)


def make_run(directory: Path, bars: Path, *overrides: str) -> Path:
    source = ("source=files", f"source.path={bars}", "data.tickers=[AAA]", "data.health.calendar=null")
    config = compose(*SMALL, *source, *overrides)
    check(config)
    return pipeline.run(config, directory, pipeline.RunHooks(draw_plots=False)).directory


class Noted:
    """A tracker as a plug-in would bring it: writes down what it gets."""

    def __init__(self, *, path: str) -> None:
        self.path = Path(path)
        self.said: dict[str, Any] = {"epochs": 0}

    def start(self, *, tags: dict[str, str], **_: Any) -> None:
        self.said["tags"] = tags

    def log_epoch(self, epoch: int, metrics: dict[str, float]) -> None:  # noqa: ARG002
        self.said["epochs"] += 1

    def finish(self, *, status: str, metrics: dict[str, float], **_: Any) -> None:
        self.path.write_text(json.dumps(self.said | {"status": status, "metrics": metrics}))
