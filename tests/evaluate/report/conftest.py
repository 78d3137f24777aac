"""Forecast tables, reports and leaderboards, each written once a session."""

from functools import cache

import numpy as np
import pytest
from evaluations import EVIL, evaluation

from forecast.evaluate import Verdict, from_table, report


@pytest.fixture(scope="session")
def table(walk):
    """A maker of forecast tables with intervals around the forecasts of test, and folds."""

    def make(*, folds=1, **kind):
        frame = walk(**kind)
        test = frame["split"] == "test"
        for ending, share in (("", 0.03), ("_50", 0.01)):
            width = np.where(test, share * frame["naive"], np.nan)
            frame[f"lower{ending}"], frame[f"upper{ending}"] = (
                frame["forecast"] - width,
                frame["forecast"] + width,
            )
        if folds > 1:
            order = frame["date"].rank(pct=True).where(test)
            low = order.min()
            share = (order - low) / (1.0001 - low)
            frame["fold"] = (share * folds).fillna(0).astype(int).clip(0, folds - 1)
        return frame

    return make


@pytest.fixture(scope="session")
def reported(tmp_path_factory, table):
    """A maker of reports; gives the path and the shown ticker's forecasts. The same one for the same arguments."""

    @cache
    def make(tickers=("AAPL",), *, horizon=1, folds=1, days=400):
        frame = table(tickers=tickers, days=days, horizon=horizon, folds=folds)
        metrics = from_table(frame) | {"best_epoch": 2}
        records = evaluation(tickers, horizon=horizon, folds=folds)
        shown = frame[frame["ticker"] == tickers[0]]
        verdict = Verdict(
            metrics=metrics, tickers=tickers, strategy="range_panel", horizon=horizon, evaluation=records
        )
        losses = [
            {"epoch": epoch, "train_loss": 1 / (1 + epoch), "val_loss": 0.5, "val_rmse": 1.2 - 0.01 * epoch}
            for epoch in range(4)
        ]
        history = (
            [{"fold": fold, **epoch} for fold in range(folds) for epoch in losses] if folds > 1 else losses
        )
        path = report.write(
            tmp_path_factory.mktemp("report"),
            verdict=verdict,
            metrics=metrics,
            health={"rows": 3270, "faults": [{"ticker": tickers[0], "kind": "jump"}]},
            config_text="seed: 0\n",
            reproduce="python run.py -cd outputs/x -cn config",
            evaluation=records,
            forecasts=shown,
            history=history,
        )
        return path, shown

    return make


def jobs(count=12):
    """Jobs of a sweep, best first: every third was stopped early, the last one failed."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        failed, pruned = number == count - 1, number % 3 == 2
        objective = None if failed else 1.17 + 0.001 * number
        history = [
            {"epoch": epoch, "val_rmse": 1.17 + 0.001 * number + 0.1 / (epoch + 1)} for epoch in range(5)
        ]
        job = {
            "number": count - number,
            "status": "failed" if failed else "pruned" if pruned else "finished",
            "metric": "val_rmse",
            "objective": objective,
            "skill": None if failed else 0.4 - 0.1 * number,
            "test_skill": 0.1,
            "best": number == 0,
            "overrides": {
                "trainer.learning_rate": f"{10 ** rng.uniform(-4, -2):.5g}",
                "model.hidden_size": str(2 ** rng.integers(4, 8)),
                "data": "range_single" if number % 2 else EVIL,
                "trainer.max_epochs": "5",
            },
            "epochs": 5,
            "seconds": 2.5,
            "directory": f"multirun/{number}",
            "error": f"ValueError: {EVIL}" if failed else None,
            "history": [] if failed else history[: 2 if pruned else 5],
        }
        made.append(job)
    return made


@pytest.fixture(scope="session")
def leaderboard(tmp_path_factory):
    """The page of a sweep of twelve jobs."""
    notes = ["the best of many is flattered: best of 12 trials"]
    path = tmp_path_factory.mktemp("sweep") / "leaderboard.html"
    return report.write_leaderboard(path, jobs(), title="2026-11-22", notes=notes)
